package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// provePhysical reads the files to their end and compares them with their manifest; for RESTORED a scratch
// server recovers them and reads every table.
func (e *Engine) provePhysical(ctx context.Context, level events.Proof, c engine.Copy) (engine.Loaded, error) {
	o, err := baseOf(c.Manifest)
	if err != nil {
		return engine.Loaded{}, err
	}
	if level != events.ProofRestored {
		return engine.Loaded{}, unpackBase(ctx, c, o, nowhere{})
	}
	programs, err := e.scratchPrograms(ctx, tool.ParseVersion(c.Manifest.EngineVersion).Major)
	if err != nil {
		return engine.Loaded{}, err
	}
	dir, err := c.Scratch(c.Manifest.SourceBytes() + scratchSelf)
	if err != nil {
		return engine.Loaded{}, err
	}
	as, err := e.account()
	if err != nil {
		return engine.Loaded{}, err
	}
	home, err := handOver(dir, "server", as)
	if err != nil {
		return engine.Loaded{}, err
	}
	to := folderOf{root: filepath.Join(home, "data"), as: as, space: spaceForServer}
	if err := to.folder("."); err != nil {
		return engine.Loaded{}, err
	}
	if err := unpackBase(ctx, c, o, to); err != nil {
		return engine.Loaded{}, err
	}
	return e.recover(ctx, programs.postgres, home, to)
}

func baseOf(m archive.Manifest) (archive.Object, error) {
	o, ok := part(m, basePart)
	if !ok || len(m.Objects) != 1 {
		return archive.Object{}, corrupt("the copy does not hold the files of a server: it cannot be used", nil)
	}
	return o, nil
}

// ownSettings replace those of the source, which may name folders, programs and libraries of its machine.
const (
	ownSettings = "# of a scratch server\nautovacuum = off\narchive_mode = off\nrestore_command = ''\nmax_wal_senders = 0\nwal_level = minimal\n" +
		"max_prepared_transactions = 1000\n" // at least as many as the source had, or recovery stops
	ownAccess = "local all " + scratchUser + " trust\n"
)

// recover starts a server over the files. The names of its roles are not known, so a role of the proof's
// own is made first, in single-user mode, which recovers the files too.
func (e *Engine) recover(ctx context.Context, postgres program, home string, to folderOf) (loaded engine.Loaded, err error) {
	for name, text := range map[string]string{"postgresql.conf": ownSettings, "pg_hba.conf": ownAccess, "pg_ident.conf": "", "postgresql.auto.conf": ""} {
		if err := replaceFile(to, name, text); err != nil {
			return loaded, err
		}
	}
	for _, signal := range []string{"standby.signal", "recovery.signal"} { // of a standby: single-user mode refuses them
		if err := os.RemoveAll(filepath.Join(to.root, signal)); err != nil {
			return loaded, to.space.Failure(err)
		}
	}
	_, err = tool.Run(ctx, tool.Command{
		Path: postgres.path, As: to.as, Dir: home, Working: engine.Alive(ctx),
		Args:  []string{"--single", "-D", to.root, "-c", "fsync=off", "-c", "exit_on_error=on", "template1"},
		Stdin: strings.NewReader("CREATE ROLE " + scratchUser + " SUPERUSER LOGIN\n"),
	})
	if err != nil {
		return loaded, recoveryFailure(err)
	}
	s, err := e.startScratch(ctx, postgres, home, to.root, scratchUser)
	if err != nil {
		return loaded, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return s.readAll(ctx)
}

// lackOf is what a server says of a machine that lacks something, and not of its files.
var lackOf = []string{
	"FATAL:  out of memory", "PANIC:  out of memory", "Cannot allocate memory", "could not map anonymous shared memory",
	"could not create shared memory", "could not resize shared memory", "Too many open files", "Input/output error",
}

// recoveryFailure gives the bad end of a recovering server its Failure: CORRUPT if the server gave up, with an
// error or a panic, and not if it was killed or the machine lacks something.
func recoveryFailure(err error) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) || isFailure(err) {
		return err
	}
	said := func(text string) bool { return strings.Contains(exit.Stderr, text) }
	raw := fmt.Errorf("%w: %s", err, exit.Stderr)
	switch {
	case said("No space left on device"):
		return scratchFull(raw)
	case slices.ContainsFunc(lackOf, said):
		return fmt.Errorf("%w: %w", internal("the machine of the executor lacks what a scratch server needs, memory say: see the executor's log, then try again"), raw)
	case exit.Exit > 0, said("PANIC:"): // a panic ends with a signal of its own
		return corrupt("a scratch server cannot recover the stored files: the copy cannot be used; the executor's log has what it said", raw)
	}
	return toolFailure(raw, "the scratch server was ended: the executor's log has what it said")
}

func replaceFile(to folderOf, name, text string) error {
	if err := os.RemoveAll(filepath.Join(to.root, name)); err != nil {
		return to.space.Failure(err)
	}
	f, err := to.file(name)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Close())
}

// readAll counts every table of every database. There is nothing to compare the numbers with.
func (s *scratchServer) readAll(ctx context.Context) (loaded engine.Loaded, err error) {
	names, err := s.names(ctx)
	if err != nil {
		return loaded, err
	}
	for _, name := range names {
		rows, err := s.readDatabase(ctx, name)
		if err != nil {
			return loaded, scratchFailure(err, "a table of the recovered files cannot be read: the copy cannot be used")
		}
		note(&loaded, rows)
	}
	return loaded, nil
}

func (s *scratchServer) names(ctx context.Context) ([]string, error) {
	c, err := s.connect(ctx, "template1", "backupbus-scratch")
	if err != nil {
		return nil, err
	}
	defer bye(ctx, c)
	rows, err := c.Query(ctx, `SELECT datname FROM pg_database WHERE datallowconn`)
	if err != nil {
		return nil, failure("list the databases", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, failure("list the databases", err)
}

func (s *scratchServer) readDatabase(ctx context.Context, name string) (map[string]int64, error) {
	c, err := s.connect(ctx, name, "backupbus-scratch")
	if err != nil {
		return nil, err
	}
	defer bye(ctx, c)
	return countRows(ctx, c)
}
