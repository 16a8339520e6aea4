package postgres

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Restore implements engine.Engine.
func (e *Engine) Restore(ctx context.Context, j executor.RestoreJob, c engine.Copy) error {
	if c.Manifest.Kind == engine.Physical {
		return e.restorePhysical(ctx, j, c)
	}
	r, err := e.restoring(ctx, j, c)
	if err != nil {
		return err
	}
	defer bye(ctx, r.admin)
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.load(ctx); err != nil {
		return r.left(err, r.undo(ctx))
	}
	return r.finish(ctx)
}

// left adds to the failure of a load that what it made could not be removed, as nobody else will.
func (r *restoring) left(err, undone error) error {
	var f *events.Failure
	if undone == nil || errors.Is(undone, errKept) || !errors.As(err, &f) {
		return errors.Join(err, undone)
	}
	more := *f
	more.Message += "; what was loaded may be left there: drop the databases whose names begin with " + stageBase(r.job)
	return errors.Join(&more, err, undone)
}

// restoring is a restore of a logical copy at work.
type restoring struct {
	job     executor.RestoreJob
	copy    engine.Copy
	server  server
	admin   *pgx.Conn
	program program // pg_restore
	major   int     // version of the target
	marker  string
	globals bool
	swaps   []swap
}

// swap is one database on its way: loaded under a temporary name, to stand under its own.
type swap struct {
	described
	to, stage, old string
	replaces       bool
}

func (e *Engine) restoring(ctx context.Context, j executor.RestoreJob, c engine.Copy) (*restoring, error) {
	r := &restoring{job: j, copy: c, marker: marker("restore", j.RestoreID, 0)}
	o, whole := part(c.Manifest, globalsPart)
	r.globals = whole && j.Database == ""
	if r.globals { // they are looked through, then read for the roles and for their comments
		c.Expect(2 * o.SourceBytes)
	} else {
		c.Expect(-o.SourceBytes)
	}
	all, err := describe(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.swaps, err = swapsOf(j, all); err != nil {
		return nil, err
	}
	if r.program, err = e.restoreProgram(ctx, c.Manifest); err != nil {
		return nil, err
	}
	if r.server, err = e.server(j.Target); err != nil {
		return nil, err
	}
	r.admin, err = r.server.administer(ctx, r.targets(), r.marker)
	return r, err
}

// maxName is the length of a name in PostgreSQL.
const maxName = 63

func swapsOf(j executor.RestoreJob, all []described) ([]swap, error) {
	if j.Database != "" && len(all) != 1 {
		return nil, rejected("the copy holds %d databases, so it cannot be restored under one new name: restore it without a name, or take a copy of the one database", len(all))
	}
	var swaps []swap
	for i, d := range all {
		s := swap{described: d, to: d.Name, stage: stageName(j, "new", i), old: stageName(j, "old", i)}
		if j.Database != "" {
			s.to = j.Database
		}
		if len(s.to) > maxName || strings.ContainsRune(s.to, 0) || s.to == "template0" || s.to == "template1" || strings.HasPrefix(s.to, stagePrefix) {
			return nil, rejected("the name of the database to restore into cannot be used: choose one of at most %d bytes that is not one of the server's templates", maxName)
		}
		swaps = append(swaps, s)
	}
	return swaps, nil
}

func (r *restoring) targets() []string {
	var all []string
	for _, s := range r.swaps {
		all = append(all, s.to)
	}
	return all
}

// administer connects to a database that is not one of those to be replaced.
func (s server) administer(ctx context.Context, not []string, marker string) (*pgx.Conn, error) {
	for _, name := range maintenance {
		if slices.Contains(not, name) {
			continue
		}
		c, err := s.connect(ctx, name, marker)
		if sqlState(err) == "3D000" {
			continue
		}
		return c, err
	}
	return nil, rejected("the target has neither a database postgres nor template1 to work from: create postgres there")
}

// prepare refuses what cannot be restored, before anything is made.
func (r *restoring) prepare(ctx context.Context) error {
	f, err := factsOf(ctx, r.admin)
	switch {
	case err != nil:
		return err
	case f.standby:
		return rejected("the target is a standby, into which nothing can be restored: name its primary")
	case r.globals && !f.superuser:
		return denied("a copy of a whole server holds roles, which only a superuser can put back: restore as one, or restore a copy of one database under a name")
	}
	r.major = f.version.Major
	for i := range r.swaps {
		s := &r.swaps[i]
		if s.replaces, err = r.vacant(ctx, s.to); err != nil {
			return err
		}
		if err := held(ctx, r.admin, s.to); err != nil { // loading would be in vain
			return err
		}
	}
	if r.globals {
		return nil
	}
	return r.rolesExist(ctx)
}

// vacant finds out whether the target is there, and refuses it if it holds something and may not be replaced.
func (r *restoring) vacant(ctx context.Context, name string) (exists bool, err error) {
	if err := r.admin.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return false, failure("look for the target", err)
	}
	if !exists || r.job.Overwrite {
		return exists, nil
	}
	c, err := r.server.connect(ctx, name, r.marker)
	if err != nil {
		return true, err
	}
	defer bye(ctx, c)
	holds, err := holdsData(ctx, c)
	if err == nil && holds {
		err = &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
			Message: "the target database holds tables, functions or other objects: restore under another name, or allow overwriting"}
	}
	return true, err
}

// firstUser is the first id of an object that is not the server's own.
const firstUser = 16384

// holdsData tells whether somebody made anything in the database.
func holdsData(ctx context.Context, c *pgx.Conn) (holds bool, err error) {
	var q strings.Builder
	q.WriteString("SELECT false")
	for _, catalog := range []string{
		"pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_extension", "pg_largeobject_metadata", "pg_operator", "pg_collation",
		"pg_cast", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_publication", "pg_event_trigger", "pg_ts_config", "pg_ts_dict",
	} {
		q.WriteString(" OR EXISTS (SELECT 1 FROM " + catalog + " WHERE oid >= $1)")
	}
	err = c.QueryRow(ctx, q.String(), firstUser).Scan(&holds)
	return holds, failure("look into the target", err)
}

// rolesExist refuses a copy whose objects name roles that the target does not have: without them owners,
// rights and row-level policies would silently be lost.
func (r *restoring) rolesExist(ctx context.Context) error {
	var names []string
	for _, s := range r.swaps {
		names = append(names, s.roles()...)
	}
	var missing int
	err := r.admin.QueryRow(ctx, `SELECT count(DISTINCT n) FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = n)`, names).Scan(&missing)
	if err != nil {
		return failure("look for the roles", err)
	}
	if missing > 0 {
		return rejected("%d roles that own objects of the copy, or have rights on them, are not on the target: CREATE ROLE each of them there (the object databases.sql of the copy lists them), then try again", missing)
	}
	return nil
}

// load makes the roles and loads every database under its temporary name.
func (r *restoring) load(ctx context.Context) error {
	if r.globals {
		if err := r.makeRoles(ctx); err != nil {
			return err
		}
	}
	for _, s := range r.swaps {
		if err := run(ctx, r.admin, s.create(s.stage, s.Owner, r.major)); err != nil {
			return err
		}
		head := &head{to: io.Discard, want: dumpMagic}
		cmd := r.server.command(r.program.path, r.marker, s.stage, "--exit-on-error", "--no-tablespaces")
		if err := feed(ctx, r.copy, s.object, head, cmd); err != nil {
			return loadFailure(err, rejected("the copy does not load into the target: the executor's log names what is in the way; mend it there, restore to a server of the version of the source, or have the copy verified with proof RESTORED"))
		}
		if !head.right() {
			return corrupt("a stored object is no dump of PostgreSQL: the copy cannot be used", errNoMagic)
		}
		if err := run(ctx, r.admin, s.dress(s.stage)...); err != nil {
			return err
		}
	}
	return r.exchange(ctx)
}

// undoTime bounds the removal of what a failed restore made.
const undoTime = time.Minute

// undo removes it, also when ctx has ended.
func (r *restoring) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	c, err := r.server.administer(ctx, nil, r.marker) // the first session may have been cut
	if err != nil {
		return err
	}
	defer bye(ctx, c)
	return r.server.sweep(ctx, c, r.job, r.marker)
}
