package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// dumpFlags are what the manifest says of pg_dump: one stream, compressed by the executor alone.
var dumpFlags = []string{"--format=custom", "--compress=0"}

// dumpMagic begins every custom-format dump.
var dumpMagic = []byte("PGDMP")

// stream dumps one database from a snapshot that the engine holds, in which it has read the rows if the proof
// compares them.
func (l *logical) stream(name string) func(context.Context, io.Writer) (archive.Content, error) {
	return func(ctx context.Context, w io.Writer) (archive.Content, error) {
		c, err := l.server.connect(ctx, name, l.marker)
		if err != nil {
			return archive.Content{}, err
		}
		defer bye(ctx, c)
		l.unclean = true
		id, err := exportSnapshot(ctx, c, l.engine.config.LockWait)
		if err != nil {
			return archive.Content{}, err
		}
		var content archive.Content
		if l.job.Proof == events.ProofRestored {
			got, err := sumRows(ctx, c)
			if err != nil {
				return archive.Content{}, err
			}
			content.Tables, content.Checksums = got.rows, got.sums
		}
		if err := l.run(ctx, name, id, w); err != nil {
			return archive.Content{}, err
		}
		l.unclean = false
		return content, nil
	}
}

func (l *logical) run(ctx context.Context, name, snapshot string, w io.Writer) error {
	wait := strconv.FormatInt(max(1, l.engine.config.LockWait.Milliseconds()), 10)
	args := append([]string{"--snapshot=" + snapshot, "--lock-wait-timeout=" + wait}, dumpFlags...)
	head := &head{to: w, want: dumpMagic}
	cmd := l.server.command(l.dump.path, l.marker, name, args...)
	cmd.Stdout = head
	if _, err := tool.Run(ctx, cmd); err != nil {
		return fmt.Errorf("dump: %w", dumpFailure(err))
	}
	if !head.right() {
		return fmt.Errorf("dump: %w", internal("the dump program ended well and wrote no dump: see that it is PostgreSQL's own"))
	}
	return nil
}

// globalsEnd is the last line but blanks of what pg_dumpall writes.
var globalsEnd = []byte("-- PostgreSQL database cluster dump complete")

// streamGlobals dumps roles and what else belongs to no database. Only a superuser may read passwords.
func (l *logical) streamGlobals(through string) func(context.Context, io.Writer) (archive.Content, error) {
	return func(ctx context.Context, w io.Writer) (archive.Content, error) {
		l.unclean = true
		args := []string{"--globals-only"}
		if through != "" {
			args = append(args, "--database="+through)
		}
		if !l.facts.superuser {
			args = append(args, "--no-role-passwords")
		}
		end := &ending{to: w}
		cmd := l.server.command(l.globals.path, l.marker, through, args...)
		cmd.Stdout = end
		if _, err := tool.Run(ctx, cmd); err != nil {
			return archive.Content{}, fmt.Errorf("dump the globals: %w", dumpFailure(err))
		}
		if !end.has(globalsEnd) {
			return archive.Content{}, fmt.Errorf("dump the globals: %w", internal("the dump program ended well and did not finish: see that it is PostgreSQL's own"))
		}
		l.unclean = false
		return archive.Content{}, nil
	}
}

// head looks at the first bytes that pass.
type head struct {
	to   io.Writer
	want []byte
	got  []byte
}

func (h *head) Write(p []byte) (int, error) {
	_ = h.look(p)
	return h.to.Write(p)
}

func (h *head) look(p []byte) error {
	missing := len(h.want) - len(h.got)
	h.got = append(h.got, p[:min(missing, len(p))]...)
	return nil
}

// Pass implements tool.Passer: behind the first bytes it looks at none.
func (h *head) Pass(from *tool.Output, look func([]byte) error) (int64, error) {
	if len(h.got) < len(h.want) {
		return tool.Looking(h.to, h.look).Pass(from, look)
	}
	return tool.PassTo(h.to, from, look)
}

func (h *head) right() bool { return bytes.Equal(h.got, h.want) }

// ending keeps the last bytes that pass.
type ending struct {
	to   io.Writer
	last []byte
}

// endingSize holds an end mark and the blanks after it.
const endingSize = 200

func (e *ending) Write(p []byte) (int, error) {
	e.last = append(e.last, p[max(0, len(p)-endingSize):]...)
	e.last = e.last[max(0, len(e.last)-endingSize):]
	return e.to.Write(p)
}

// has tells whether the stream ended with a line mark, but for blank lines and comments without text.
func (e *ending) has(mark []byte) bool {
	rest := bytes.TrimRight(e.last, "\n -")
	return bytes.HasSuffix(rest, mark)
}

var errNoMagic = errors.New("no PGDMP at the beginning")
