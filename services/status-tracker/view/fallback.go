package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Log is the truth behind the view.
type Log interface {
	Scanner
	// End is the log's epoch and its last sequence.
	End(ctx context.Context) (Checkpoint, error)
}

// Scanner reads the log: every event from a sequence on whose subject matches a filter.
type Scanner interface {
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
}

// FromLog builds a view of one project in memory from its events alone: slow, exact, and there when
// nothing else is.
func FromLog(ctx context.Context, log Scanner, project string, now func() time.Time) (*View, error) {
	return fromLog(ctx, log, project, time.Time{}, now)
}

// AsOf is FromLog as it was at a past time: of every event until then, and of nothing after. It reads the project's
// whole history.
func AsOf(ctx context.Context, log Scanner, project string, at time.Time) (*View, error) {
	return fromLog(ctx, log, project, at, func() time.Time { return at })
}

func fromLog(ctx context.Context, log Scanner, project string, at time.Time, now func() time.Time) (*View, error) {
	filter, err := events.ProjectFilter(project)
	if err != nil {
		return nil, err
	}
	docs := map[Key]Doc{}
	end, err := log.Scan(ctx, filter, 1, at.IsZero(), func(_ string, s events.Stored) error {
		k, kept := KeyOf(s.Event)
		if !kept || !at.IsZero() && s.Time.After(at) {
			return nil
		}
		d := docs[k]
		d.Key = k
		docs[k], _ = Fold(d, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read project from the log: %w", err)
	}
	changes := make([]Change, 0, len(docs))
	for k, d := range docs {
		if d.Head.Sequence > 0 {
			changes = append(changes, Change{Before: Doc{Key: k}, After: d})
		}
	}
	v := New(NewMemory(now), 1)
	return v, v.Save(ctx, changes, Checkpoint{Epoch: "log", Seq: end})
}

// Fallback reads the view, and the log where the view cannot be read, is of another log, or has not yet what
// this process knows to be there: what it found at its first read, and what it has written since (design.md 2:
// answer after visible). So a view that is being rebuilt is not believed.
type Fallback struct {
	view Reader
	log  Log
	now  func() time.Time

	mu    sync.Mutex
	floor Checkpoint // the least that a view must have; no epoch before the first read
	away  time.Time  // until then nobody waits for a view that is behind
}

// A view that is only moments behind is waited for: the log costs the whole project. One that does not come in
// time is away, and for a while nobody waits for it again.
const (
	catchUp = 500 * time.Millisecond
	awayFor = 5 * time.Second
)

var _ Reader = (*Fallback)(nil)

// NewFallback puts a log behind a view.
func NewFallback(v Reader, log Log, now func() time.Time) *Fallback {
	return &Fallback{view: v, log: log, now: now}
}

// Position implements Reader: that of the view.
func (f *Fallback) Position(ctx context.Context, project string) (Checkpoint, error) {
	return f.view.Position(ctx, project)
}

// Passed implements Reader. If ctx ends first, reads go to the log until the view is there.
func (f *Fallback) Passed(ctx context.Context, project string, seq uint64) error {
	f.mu.Lock()
	f.floor.Seq = max(f.floor.Seq, seq)
	f.mu.Unlock()
	return f.view.Passed(ctx, project, seq)
}

// Reached implements Reader: that of the view.
func (f *Fallback) Reached(ctx context.Context, project string) (uint64, error) {
	return f.view.Reached(ctx, project)
}

// Moved implements Reader. It asks for nothing that is known to be there, so it does not make the view's readers wait.
func (f *Fallback) Moved(ctx context.Context, project string, seq uint64) error {
	return f.view.Moved(ctx, project, seq)
}

// Backup implements Reader.
func (f *Fallback) Backup(ctx context.Context, project, id string) (events.Backup, error) {
	return read(ctx, f, project, func(r Reader) (events.Backup, error) { return r.Backup(ctx, project, id) })
}

// BackupByCloudSQL implements Reader.
func (f *Fallback) BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error) {
	return read(ctx, f, project, func(r Reader) (events.Backup, error) {
		return r.BackupByCloudSQL(ctx, project, instance, runID)
	})
}

// BackupByGaussDB implements Reader.
func (f *Fallback) BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error) {
	return read(ctx, f, project, func(r Reader) (events.Backup, error) { return r.BackupByGaussDB(ctx, project, id) })
}

// InstanceNameByGaussDB implements Reader.
func (f *Fallback) InstanceNameByGaussDB(ctx context.Context, project, id string) (string, error) {
	return read(ctx, f, project, func(r Reader) (string, error) { return r.InstanceNameByGaussDB(ctx, project, id) })
}

// Listed implements Reader.
func (f *Fallback) Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) (list []events.Backup, total int, err error) {
	list, err = read(ctx, f, project, func(r Reader) (list []events.Backup, err error) {
		list, total, err = r.Listed(ctx, project, l, offset, limit)
		return list, err
	})
	return list, total, err
}

// Restorable implements Reader.
func (f *Fallback) Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error) {
	return read(ctx, f, project, func(r Reader) ([]time.Time, error) { return r.Restorable(ctx, project, instance, from, to, limit) })
}

// BackupBySpanner implements Reader.
func (f *Fallback) BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error) {
	return read(ctx, f, project, func(r Reader) (events.Backup, error) {
		return r.BackupBySpanner(ctx, project, instance, name)
	})
}

// Standing implements Reader.
func (f *Fallback) Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Backup, string, error) {
		return r.Standing(ctx, project, instance, cursor, limit)
	})
}

// Creations implements Reader.
func (f *Fallback) Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Backup, string, error) {
		return r.Creations(ctx, project, instance, name, since, cursor, limit)
	})
}

// Restorals implements Reader.
func (f *Fallback) Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Restore, string, error) {
		return r.Restorals(ctx, project, instance, database, since, cursor, limit)
	})
}

// Backups implements Reader.
func (f *Fallback) Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Backup, string, error) {
		return r.Backups(ctx, project, instance, cursor, limit)
	})
}

// Active implements Reader.
func (f *Fallback) Active(ctx context.Context, project, instance string) (list []events.Backup, seq uint64, err error) {
	_, err = read(ctx, f, project, func(r Reader) (struct{}, error) {
		list, seq, err = r.Active(ctx, project, instance)
		return struct{}{}, err
	})
	return list, seq, err
}

// Restoring implements Reader.
func (f *Fallback) Restoring(ctx context.Context, project, backupID string) ([]events.Restore, error) {
	return read(ctx, f, project, func(r Reader) ([]events.Restore, error) { return r.Restoring(ctx, project, backupID) })
}

// RestoringFrom implements Reader.
func (f *Fallback) RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error) {
	return read(ctx, f, project, func(r Reader) ([]events.Restore, error) { return r.RestoringFrom(ctx, project, instance) })
}

// CopyingFrom implements Reader.
func (f *Fallback) CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error) {
	return read(ctx, f, project, func(r Reader) ([]events.Backup, error) { return r.CopyingFrom(ctx, project, instance) })
}

// RestoringInto implements Reader.
func (f *Fallback) RestoringInto(ctx context.Context, project, instance string) ([]events.Restore, error) {
	return read(ctx, f, project, func(r Reader) ([]events.Restore, error) { return r.RestoringInto(ctx, project, instance) })
}

// Progress implements Reader; the log has none.
func (f *Fallback) Progress(ctx context.Context, project, id string) (events.Progress, error) {
	return f.view.Progress(ctx, project, id)
}

// Peaks implements Reader; the log has none.
func (f *Fallback) Peaks(ctx context.Context, project string, ids []string) (map[string]int, error) {
	return f.view.Peaks(ctx, project, ids)
}

// Restore implements Reader.
func (f *Fallback) Restore(ctx context.Context, project, id string) (events.Restore, error) {
	return read(ctx, f, project, func(r Reader) (events.Restore, error) { return r.Restore(ctx, project, id) })
}

// Instance implements Reader.
func (f *Fallback) Instance(ctx context.Context, project, name string) (events.Instance, error) {
	return read(ctx, f, project, func(r Reader) (events.Instance, error) { return r.Instance(ctx, project, name) })
}

// Instances implements Reader.
func (f *Fallback) Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Instance, string, error) {
		return r.Instances(ctx, project, cursor, limit)
	})
}

// SchedulesByID implements Reader.
func (f *Fallback) SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error) {
	return read(ctx, f, project, func(r Reader) ([]events.Schedule, error) { return r.SchedulesByID(ctx, project, ids) })
}

// Generations implements Reader.
func (f *Fallback) Generations(ctx context.Context, project string, ids []string) (map[string]int, error) {
	return read(ctx, f, project, func(r Reader) (map[string]int, error) { return r.Generations(ctx, project, ids) })
}

// Schedules implements Reader.
func (f *Fallback) Schedules(ctx context.Context, project, instance, cursor string, limit int) ([]events.Schedule, string, error) {
	return page(ctx, f, project, func(r Reader) ([]events.Schedule, string, error) {
		return r.Schedules(ctx, project, instance, cursor, limit)
	})
}

// Operation implements Reader.
func (f *Fallback) Operation(ctx context.Context, project, id string) (lifecycle.Operation, error) {
	return read(ctx, f, project, func(r Reader) (lifecycle.Operation, error) { return r.Operation(ctx, project, id) })
}

// ShortOperation implements Reader.
func (f *Fallback) ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error) {
	return read(ctx, f, project, func(r Reader) (lifecycle.Operation, error) { return r.ShortOperation(ctx, project, digits) })
}

// Operations implements Reader.
func (f *Fallback) Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error) {
	return page(ctx, f, project, func(r Reader) ([]lifecycle.Operation, string, error) {
		return r.Operations(ctx, project, instance, cursor, limit)
	})
}

// Health implements Reader.
func (f *Fallback) Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error) {
	return read(ctx, f, project, func(r Reader) (lifecycle.Health, error) { return r.Health(ctx, project, instance, since) })
}

func read[T any](ctx context.Context, f *Fallback, project string, get func(Reader) (T, error)) (T, error) {
	if f.current(ctx, project) || f.caughtUp(ctx, project) {
		got, err := get(f.view)
		if err == nil || errors.Is(err, events.ErrNotFound) || errors.Is(err, lifecycle.ErrTooMany) || ctx.Err() != nil {
			return got, err
		}
	}
	v, err := FromLog(ctx, f.log, project, f.now)
	if err != nil {
		var none T
		return none, err
	}
	return get(v)
}

func page[T any](ctx context.Context, f *Fallback, project string, get func(Reader) ([]T, string, error)) ([]T, string, error) {
	var next string
	list, err := read(ctx, f, project, func(r Reader) (list []T, err error) {
		list, next, err = get(r)
		return list, err
	})
	return list, next, err
}

// current tells whether the view has at least what this process knows to be there.
func (f *Fallback) current(ctx context.Context, project string) bool {
	f.mu.Lock()
	floor := f.floor
	f.mu.Unlock()
	if floor.Epoch == "" {
		end, err := f.log.End(ctx)
		if err != nil {
			return true // without the log there is nothing better than the view
		}
		f.mu.Lock()
		f.floor = Checkpoint{Epoch: end.Epoch, Seq: max(f.floor.Seq, end.Seq)}
		floor = f.floor
		f.mu.Unlock()
	}
	at, err := f.view.Position(ctx, project)
	return err == nil && at.Epoch == floor.Epoch && at.Seq >= floor.Seq
}

// caughtUp waits for a view of the same log that is behind.
func (f *Fallback) caughtUp(ctx context.Context, project string) bool {
	f.mu.Lock()
	floor, away := f.floor, f.now().Before(f.away)
	f.mu.Unlock()
	at, err := f.view.Position(ctx, project)
	if away || err != nil || at.Epoch != floor.Epoch {
		return false
	}
	wait, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if f.view.Passed(wait, project, floor.Seq) == nil {
		return true
	}
	if ctx.Err() != nil {
		return false // the caller's patience says nothing of the view
	}
	f.mu.Lock()
	f.away = f.now().Add(awayFor)
	f.mu.Unlock()
	return false
}
