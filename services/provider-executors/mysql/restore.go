package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// undoTime bounds the removal of what a failed restore left, which goes on when it was cancelled.
const undoTime = 2 * time.Minute

// restoring is one restore of a dump.
type restoring struct {
	*server
	client program
	copy   engine.Copy
	object archive.Object
	mark   string // table by which a half-filled database is known to be ours
}

// Restore implements engine.Engine.
func (e *Engine) Restore(ctx context.Context, j executor.RestoreJob, c engine.Copy) error {
	if c.Manifest.Kind == engine.Physical {
		return e.restorePhysical(ctx, j, c)
	}
	o, err := dumpOf(c.Manifest)
	if err != nil {
		return err
	}
	mark, err := markOf(j.RestoreID)
	if err != nil {
		return err
	}
	s, err := e.connect(ctx, j.Target)
	if err != nil {
		return err
	}
	r := &restoring{server: s, copy: c, object: o, mark: mark}
	return errors.Join(r.run(ctx, e, j), s.close())
}

func (r *restoring) run(ctx context.Context, e *Engine, j executor.RestoreJob) (err error) {
	if ofMariaDB(r.copy.Manifest) != r.mariadb {
		return rejected("the target is a server of %s and the copy is not: restore it to a server of its own kind", r.flavour())
	}
	if r.client, err = e.fitting(ctx, r.server, r.names("mariadb", "mysql")...); err != nil {
		return err
	}
	names, err := r.targets(ctx, j)
	if err != nil {
		return err
	}
	before, err := r.look(ctx, names)
	if err != nil {
		return err
	}
	full := false
	for _, t := range before {
		full = full || !t.empty
	}
	if full && !j.Overwrite {
		return &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
			Message: "a database of the target holds tables, views, routines or events: choose another name or ask for overwrite"}
	}
	if full && len(names) == 1 && r.object.Database != "" {
		if err := r.try(ctx); err != nil {
			return fmt.Errorf("try the copy on the target's server: %w", err)
		}
	}
	return r.replace(ctx, before)
}

// targets are the databases that the restore fills.
func (r *restoring) targets(ctx context.Context, j executor.RestoreJob) ([]string, error) {
	switch {
	case r.object.Database == "" && j.Database != "":
		return nil, rejected("the copy holds all databases of an instance, which keep their names: restore it without a name for the database, or take a backup of the one database")
	case r.object.Database == "":
		seen := newScan()
		if err := r.copy.Unpack(ctx, r.object, seen); err != nil {
			return nil, err
		}
		return seen.databases, nil
	case j.Database != "":
		return []string{j.Database}, nil
	case len(j.Target.Databases) == 1:
		return j.Target.Databases, nil
	}
	return []string{r.object.Database}, nil
}

// try loads the copy into a database of its own first: what can go wrong does so before the target is touched.
func (r *restoring) try(ctx context.Context) error {
	t := target{schema: schema{name: r.mark}, empty: true}
	if err := r.make(ctx, t); err != nil {
		return err
	}
	return errors.Join(r.load(ctx, t.name), r.undo(ctx, []target{t}))
}

// replace fills the targets. On an error those that were empty are empty again, and those that were not
// there are gone; what was overwritten is lost, which the message says.
func (r *restoring) replace(ctx context.Context, all []target) (err error) {
	var begun []target
	defer func() {
		if err != nil {
			err = errors.Join(lost(err, begun), r.undo(ctx, begun))
		}
	}()
	for _, t := range all {
		begun = append(begun, t)
		if err := r.make(ctx, t); err != nil {
			return err
		}
	}
	into := ""
	if r.object.Database != "" {
		into = all[0].name
	}
	if err := r.load(ctx, into); err != nil {
		return err
	}
	for _, t := range all {
		if err := r.do(ctx, "DROP TABLE "+quote(t.name)+"."+quote(r.mark)); err != nil {
			return failure(err)
		}
	}
	return nil
}

// lost adds to the failure that the old content is gone.
func lost(err error, begun []target) error {
	var f *events.Failure
	for _, t := range begun {
		if !t.empty && errors.As(err, &f) {
			more := *f
			more.Message = "the old content of the target is gone and the copy is not in it: restore again. " + f.Message
			return fmt.Errorf("%w: %w", &more, err)
		}
	}
	return err
}

// load fills a database, and ends the client's session with the client.
func (r *restoring) load(ctx context.Context, database string) error {
	way, err := newRelay(ctx, r.endpoint, true)
	if err != nil {
		return err
	}
	err = load(ctx, r.client, way.options(), database, r.copy, r.object, io.Discard)
	if why := way.reason(); err != nil && why != nil && ctx.Err() == nil {
		err = errors.Join(failure(why), err)
	}
	way.close()
	return errors.Join(err, r.endSessions(ctx, way.sessions()))
}
