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
	marker string // of the client's sessions
	copy   engine.Copy
	object archive.Object
	mark   string // table by which a half-filled database is known to be ours
	folds  bool   // the server knows names of databases and tables without regard to case
	old    fate   // of what is overwritten
	others bool   // made tables in a target meanwhile, so it was not emptied again
	left   string // what a failed undo did not remove, and what to do about it; empty if it did
	filled *scan  // what was loaded
}

// fate is what has become of the content that a restore overwrites.
type fate uint8

const (
	kept fate = iota
	perhapsGone
	gone
)

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
	r := &restoring{server: s, marker: restoreMarker(j), copy: c, object: o, mark: mark}
	return errors.Join(r.run(ctx, e, j), s.close())
}

func (r *restoring) run(ctx context.Context, e *Engine, j executor.RestoreJob) (err error) {
	if ofMariaDB(r.copy.Manifest) != r.mariadb {
		return rejected("the target is a server of %s and the copy is not: restore it to a server of its own kind", r.flavour())
	}
	if r.client, err = e.fitting(ctx, r.server, r.names("mariadb", "mysql")...); err != nil {
		return err
	}
	if err := r.learnCase(ctx); err != nil {
		return err
	}
	into, err := r.targets(ctx, j)
	if err != nil {
		return err
	}
	before, err := r.look(ctx, into)
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
	if full && len(into) == 1 && r.object.Database != "" {
		r.copy.Expect(r.object.SourceBytes)
		if err := r.try(ctx); err != nil {
			return fmt.Errorf("try the copy on the target's server: %w", err)
		}
	}
	return r.replace(ctx, before)
}

// targets are the databases that the restore fills.
func (r *restoring) targets(ctx context.Context, j executor.RestoreJob) ([]schema, error) {
	switch {
	case r.object.Database == "" && j.Database != "":
		return nil, rejected("the copy holds all databases of an instance, which keep their names: restore it without a name for the database, or take a backup of the one database")
	case r.object.Database == "":
		r.copy.Expect(r.object.SourceBytes) // it is read again when it is loaded
		seen := &listing{scan: newScan()}
		if err := r.copy.Unpack(ctx, r.object, seen); err != nil {
			return nil, err
		}
		return seen.databases()
	case j.Database != "": // the stream of a single one sets its character set itself
		return []schema{{name: j.Database}}, nil
	case len(j.Target.Databases) == 1:
		return []schema{{name: j.Target.Databases[0]}}, nil
	}
	return []schema{{name: r.object.Database}}, nil
}

// try loads the copy into a database of its own first: what can go wrong does so before the target is touched.
// The server would run the events of the copy there, so they are left out.
func (r *restoring) try(ctx context.Context) error {
	t := target{schema: schema{name: r.mark}, empty: true}
	if err := r.make(ctx, t); err != nil {
		return err
	}
	var without *eventless
	err := r.load(ctx, t.name, func(to io.Writer) io.Writer {
		without = &eventless{scan: r.filled, to: to}
		return without
	})
	if err == nil && without.events > 0 { // whether they may be made is seen by one that never runs
		err = failure(r.do(ctx, "CREATE EVENT "+quote(t.name)+"."+quote(r.mark)+" ON SCHEDULE EVERY 1 YEAR DISABLE DO DO 0"))
	}
	undone := r.undo(ctx, []target{t})
	if err != nil && undone != nil {
		r.left = "the copy was tried in a database whose name begins with " + markPrefix + ", which may be left on the server: drop it there. "
		err = r.lost(err)
	}
	return errors.Join(err, undone)
}

// replace fills the targets. On an error those that were empty are empty again, and those that were not
// there are gone; what was overwritten is lost, which the message says.
func (r *restoring) replace(ctx context.Context, all []target) (err error) {
	var begun []target
	defer func() {
		if err != nil {
			undone := r.undo(ctx, begun)
			if undone != nil {
				r.left = "a part of the copy may be left in the target, which could not be emptied again: look at it, then drop the database or restore with overwrite. "
			}
			err = errors.Join(r.lost(err), undone)
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
	if err := r.load(ctx, into, r.watch); err != nil {
		return err
	}
	for _, t := range all {
		if err := r.do(ctx, "DROP TABLE "+quote(t.name)+"."+quote(r.mark)); err != nil {
			return failure(err)
		}
	}
	return nil
}

// lost adds to the failure what has become of the target, also to an error that has none.
func (r *restoring) lost(err error) error {
	if r.old == kept && !r.others && r.left == "" {
		return err
	}
	var f *events.Failure
	var more events.Failure
	switch {
	case errors.As(err, &f):
		more = *f
	case errors.Is(err, context.Canceled):
		more = events.Failure{Code: events.CodeCancelled, Category: events.ByUser, Message: "the restore was cancelled"}
	default:
		more = *unavailable("the restore was interrupted: see the executor's log")
	}
	if r.others {
		more.Message = "a part of the copy may be left in the target, which was not emptied again because others made tables in it meanwhile: look at it. " + more.Message
	}
	more.Message = r.left + more.Message
	switch r.old {
	case gone:
		more.Message = "the old content of the target is gone and the copy is not in it: restore again. " + more.Message
	case perhapsGone:
		more.Message = "the old content of the target may be gone, in whole or in part, and the copy is not in it: look at it and restore again. " + more.Message
	}
	return fmt.Errorf("%w: %w", &more, err)
}

// watch keeps what is loaded, by which an undo tells it from what others made.
func (r *restoring) watch(to io.Writer) io.Writer { return io.MultiWriter(to, r.filled) }

// load fills a database, and ends the client's session with the client.
func (r *restoring) load(ctx context.Context, database string, through func(io.Writer) io.Writer) error {
	r.filled = newScan()
	r.filled.database = database
	way, err := newRelay(ctx, r.endpoint, r.marker, true)
	if err != nil {
		return err
	}
	err = load(ctx, r.client, way.options(), database, r.copy, r.object, through)
	if why := way.reason(); err != nil && why != nil && ctx.Err() == nil {
		err = errors.Join(failure(why), err)
	}
	way.close()
	return errors.Join(err, r.endSessions(ctx, way.sessions()))
}
