package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// reload is the proof RESTORED of a logical copy: every database is loaded into a scratch server of the
// same major version and its rows are counted.
func (e *Engine) reload(ctx context.Context, c engine.Copy) (err error) {
	restore, err := e.restoreProgram(ctx, c.Manifest)
	if err != nil {
		return err
	}
	programs, err := e.scratchPrograms(ctx, tool.ParseVersion(c.Manifest.EngineVersion).Major)
	if err != nil {
		return err
	}
	all, err := describe(ctx, c)
	if err != nil {
		return err
	}
	dir, err := c.Scratch(2*c.Manifest.SourceBytes() + scratchSelf)
	if err != nil {
		return err
	}
	s, err := e.newScratch(ctx, programs, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	admin, err := s.connect(ctx, "postgres", "backupbus-scratch")
	if err != nil {
		return err
	}
	defer bye(ctx, admin)
	p := reloading{server: s.server, admin: admin, restore: restore, copy: c}
	if err := p.roles(ctx, all); err != nil {
		return err
	}
	for i, d := range all {
		if err := p.database(ctx, fmt.Sprintf("restored_%d", i), d); err != nil {
			return err
		}
	}
	return nil
}

// reloading is a proof at work.
type reloading struct {
	server  server
	admin   *pgx.Conn
	restore program
	copy    engine.Copy
	globals bool
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
		if err := run(ctx, p.admin, statement); err != nil {
			return fmt.Errorf("%w: %w", corrupt("the stored roles of the server do not load into an empty one: the executor's log names what is in the way", nil), err)
		}
	}
	return nil
}

// database loads one, compares and drops it, so that they never lie there all at once.
func (p *reloading) database(ctx context.Context, name string, d described) error {
	if err := p.create(ctx, name, d.database); err != nil {
		return err
	}
	args := []string{"--exit-on-error", "--no-tablespaces"}
	if !p.globals {
		args = append(args, "--no-owner", "--no-privileges")
	}
	head := &head{to: io.Discard, want: dumpMagic}
	err := feed(ctx, p.copy, d.object, head, p.server.command(p.restore.path, "backupbus-scratch", name, args...))
	if err != nil {
		return loadFailure(err, "a dump does not load into an empty database of the same version, so it could not be restored: the executor's log names what is in the way")
	}
	if !head.right() {
		return corrupt("a stored object is no dump of PostgreSQL: the copy cannot be used", errNoMagic)
	}
	if err := p.compare(ctx, name, d.object.Tables); err != nil {
		return err
	}
	return run(ctx, p.admin, "DROP DATABASE "+ident(name))
}

// create makes the database with its encoding. A locale that this machine does not have is replaced by C:
// rows are counted, not sorted.
func (p *reloading) create(ctx context.Context, name string, d database) error {
	_, err := p.admin.Exec(ctx, d.create(name, ""))
	if err == nil {
		return nil
	}
	d.Collate, d.CType, d.Provider = "C", "C", ""
	if again := run(ctx, p.admin, d.create(name, "")); again != nil {
		return errors.Join(again, err)
	}
	return nil
}

// compare counts what was loaded. A copy whose rows were not counted has only been loaded.
func (p *reloading) compare(ctx context.Context, name string, want map[string]int64) error {
	if want == nil {
		return nil
	}
	c, err := p.server.connect(ctx, name, "backupbus-scratch")
	if err != nil {
		return err
	}
	defer bye(ctx, c)
	got, err := countRows(ctx, c)
	if err != nil {
		return err
	}
	if maps.Equal(want, got) {
		return nil
	}
	differ := 0
	for table, n := range want {
		if have, ok := got[table]; !ok || have != n {
			differ++
		}
	}
	for table := range got {
		if _, ok := want[table]; !ok {
			differ++
		}
	}
	return corrupt(fmt.Sprintf("%d tables of the copy hold other rows than the source had: the copy cannot be used", differ), nil)
}

// loadFailure gives the bad end of a loading pg_restore its Failure: CORRUPT unless the fault is known to
// be that of the place.
func loadFailure(err error, otherwise string) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) || isFailure(err) || exit.Exit == -1 {
		return toolFailure(err, otherwise)
	}
	switch {
	case strings.Contains(exit.Stderr, "extension") && (strings.Contains(exit.Stderr, "is not available") || strings.Contains(exit.Stderr, "could not open extension control file")):
		return fmt.Errorf("%w: %w", rejected("the copy needs an extension that the server which it is loaded into does not have: install it there; the executor's log names it"), err)
	case strings.Contains(exit.Stderr, "permission denied"), strings.Contains(exit.Stderr, "must be "):
		return fmt.Errorf("%w: %w", denied("the user may not create everything that the copy holds: restore as a superuser, or as a member of the roles that own the objects"), err)
	case strings.Contains(exit.Stderr, "No space left on device"):
		return toolFailure(err, otherwise)
	case strings.Contains(exit.Stderr, "closed the connection"), strings.Contains(exit.Stderr, "terminating connection"):
		return fmt.Errorf("%w: %w", unavailable("the server that the copy is loaded into went away: see its log and try again"), err)
	}
	return corrupt(otherwise, err)
}
