package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// reload is the proof RESTORED of a logical copy: every database is loaded into a scratch server of the
// same major version and its rows are compared.
func (e *Engine) reload(ctx context.Context, c engine.Copy) (loaded engine.Loaded, err error) {
	restore, err := e.restoreProgram(ctx, c.Manifest)
	if err != nil {
		return loaded, err
	}
	major := tool.ParseVersion(c.Manifest.EngineVersion).Major
	programs, err := e.scratchPrograms(ctx, major)
	if err != nil {
		return loaded, err
	}
	all, err := describe(ctx, c)
	if err != nil {
		return loaded, err
	}
	dir, err := c.Scratch(2*c.Manifest.SourceBytes() + scratchSelf)
	if err != nil {
		return loaded, err
	}
	s, err := e.newScratch(ctx, programs, dir)
	if err != nil {
		return loaded, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	admin, err := s.connect(ctx, "postgres", "backupbus-scratch")
	if err != nil {
		return loaded, err
	}
	defer bye(ctx, admin)
	p := reloading{server: s.server, admin: admin, restore: restore, copy: c, major: major}
	if err := p.roles(ctx, all); err != nil {
		return loaded, err
	}
	for i, d := range all {
		if err := p.database(ctx, fmt.Sprintf("restored_%d", i), d); err != nil {
			return loaded, err
		}
	}
	return p.loaded, nil
}

// reloading is a proof at work.
type reloading struct {
	server  server
	admin   *pgx.Conn
	restore program
	copy    engine.Copy
	globals bool
	major   int
	loaded  engine.Loaded
	summed  int64 // tables that were compared by checksum
}

// roles makes those that the copy has, or, without globals, those that its databases name.
func (p *reloading) roles(ctx context.Context, all []described) error {
	o, ok := part(p.copy.Manifest, globalsPart)
	p.globals = ok
	if !ok {
		made := map[string]bool{}
		for _, d := range all {
			for _, r := range d.roles() {
				if made[r] {
					continue
				}
				if err := run(ctx, p.admin, "CREATE ROLE "+ident(r)); err != nil {
					return err
				}
				made[r] = true
			}
		}
		return nil
	}
	if err := check(ctx, p.restore, p.copy, o); err != nil {
		return err
	}
	script, err := unpackSmall(ctx, p.copy, o)
	if err != nil {
		return err
	}
	for _, statement := range statements(string(script)) {
		if role, _ := roleOf(statement); role == "" {
			continue
		}
		if err := run(ctx, p.admin, withoutGrantor(statement)); err != nil {
			return scratchFailure(err, "the stored roles of the server do not load into an empty one: the executor's log names what is in the way")
		}
	}
	return nil
}

// database loads one, compares and drops it, so that they never lie there all at once.
func (p *reloading) database(ctx context.Context, name string, d described) error {
	if err := p.create(ctx, name, d.database); err != nil {
		return err
	}
	args := []string{"--exit-on-error", "--no-tablespaces", "--no-subscriptions"} // a subscription would keep the database from being dropped
	if !p.globals {
		args = append(args, "--no-owner", "--no-privileges")
	}
	head := &head{to: io.Discard, want: dumpMagic}
	err := feed(ctx, p.copy, d.object, head, p.server.command(p.restore.path, "backupbus-scratch", name, args...))
	if err != nil {
		return scratchLoadFailure(err)
	}
	if !head.right() {
		return corrupt("a stored object is no dump of PostgreSQL: the copy cannot be used", errNoMagic)
	}
	if err := p.compare(ctx, name, d.object); err != nil {
		return err
	}
	return run(ctx, p.admin, "DROP DATABASE "+ident(name))
}

// create makes the database with its encoding. A locale that this machine does not have is replaced by C:
// rows are compared without their order.
func (p *reloading) create(ctx context.Context, name string, d database) error {
	_, err := p.admin.Exec(ctx, d.create(name, "", p.major))
	if err == nil {
		return nil
	}
	d.Collate, d.CType, d.Provider = "C", "C", ""
	if again := run(ctx, p.admin, d.create(name, "", p.major)); again != nil {
		return errors.Join(again, err)
	}
	return nil
}

// loadFailure gives the bad end of a loading pg_restore its Failure, otherwise where the fault is not known.
func loadFailure(err error, otherwise *events.Failure) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) || isFailure(err) || exit.Exit == -1 {
		return toolFailure(err, otherwise.Message)
	}
	said := func(any ...string) bool {
		return slices.ContainsFunc(any, func(text string) bool { return strings.Contains(exit.Stderr, text) })
	}
	switch {
	case said("extension") && said("is not available", "could not open extension control file"):
		return fmt.Errorf("%w: %w", rejected("the copy needs an extension that the server which it is loaded into does not have: install it there; the executor's log names it"), err)
	case said("permission denied", "must be owner of", "must be superuser", "must be member of", "must be able to SET ROLE"):
		return fmt.Errorf("%w: %w", denied("the user may not create everything that the copy holds: restore as a superuser, or as a member of the roles that own the objects"), err)
	case said("No space left on device", "max_locks_per_transaction", "too many clients", "connection slots are reserved"):
		return toolFailure(err, otherwise.Message)
	case said("out of memory", "Cannot allocate memory"):
		return fmt.Errorf("%w: %w", unavailable("the server that the copy is loaded into, or the loading program, is short of memory: wait, or give it more"), err)
	case said("closed the connection", "terminating connection", "no connection to the server", "connection to server", "Connection refused",
		"could not receive data from server", "could not send data to server"):
		return fmt.Errorf("%w: %w", unavailable("the server that the copy is loaded into went away: see its log and try again"), err)
	}
	return fmt.Errorf("%w: %w", otherwise, err)
}

// scratchLoadFailure is loadFailure for a scratch server, which is empty and of the right version: CORRUPT
// where the fault is not known.
func scratchLoadFailure(err error) error {
	var exit *tool.ExitError
	if errors.As(err, &exit) && !isFailure(err) && strings.Contains(exit.Stderr, "No space left on device") {
		return scratchFull(err)
	}
	return loadFailure(err, &events.Failure{Code: events.Corrupt, Category: events.BySystem,
		Message: "a dump does not load into an empty database of the same version, so it could not be restored: the executor's log names what is in the way"})
}

func scratchFull(err error) error {
	return fmt.Errorf("%w: %w", spaceForServer.Failure(syscall.ENOSPC), err)
}

// scratchFailure gives an error of a session of a scratch server its Failure: CORRUPT if the server says it
// of what it was given, and not if the session was lost or the machine lacks something.
func scratchFailure(err error, damaged string) error {
	state := sqlState(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case state == "53100":
		return scratchFull(err)
	case state == "58P01": // a file is missing
		return corrupt(damaged, err)
	case state == "", slices.Contains([]string{"08", "53", "57", "58"}, state[:2]):
		return fmt.Errorf("%w: %w", internal("the scratch server of the executor went away or lacks something: see whether the machine is short of memory; the executor's log has what it said"), err)
	}
	return corrupt(damaged, err)
}
