package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// load runs the client program on the dump of a copy. database is what it is loaded into, empty if the
// stream chooses for itself; options is the option file; through is put in front of the client.
func load(ctx context.Context, client program, options, database string, c engine.Copy, o archive.Object, through func(io.Writer) io.Writer) error {
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe to the client: %w", err)
	}
	tool.WidenPipe(in)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := tool.Run(ctx, tool.Command{
			Path: client.path, Stdin: out, Files: []tool.File{{Content: options}},
			Args:  []string{"--defaults-file={0}", "--binary-mode", "--comments", "--batch", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"},
			Plain: databaseArgument(database),
		})
		ended <- err
	}()
	seen := &ends{}
	to := through(in)
	cut := c.Unpack(ctx, o, io.MultiWriter(seen, to))
	if last, ok := to.(*eventless); ok && cut == nil {
		cut = last.end()
	}
	if cut != nil && !errors.Is(cut, syscall.EPIPE) { // then the client has ended, and knows why
		cancel(cut) // before the client sees the end of its input and takes it for a good one
	}
	cut = errors.Join(cut, in.Close())
	err = <-ended
	var exit *tool.ExitError
	switch {
	case errors.As(err, &exit):
		return ofLoad(err)
	case err != nil:
		return err
	case cut != nil:
		return cut
	}
	return seen.verdict()
}

// databaseArgument is an option, since MySQL's client takes a name that begins with - for one even behind "--".
func databaseArgument(name string) []string {
	if name == "" {
		return nil
	}
	return []string{"--database=" + name}
}

// ofLoad is ofTool where another sense of a number is meant.
func ofLoad(err error) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	n, message := numberIn(exit.Stderr), ""
	switch n {
	case erNoSuchTable, erBadDB, 1305, 1356:
		message = "a view or routine of the copy refers to a database that is not on the server it is loaded into: restore that database first, or back up both in one copy"
	case 1449:
		message = "the copy names an account, as definer, that the server does not have: create it there first"
	default:
		return ofTool(err)
	}
	f := rejected("%s", message)
	f.ProviderCode = strconv.Itoa(n)
	return fmt.Errorf("%w: %w", f, err)
}
