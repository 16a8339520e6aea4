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

// Scanner reads the log: every event from a sequence on whose subject matches a filter.
type Scanner interface {
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
}

// FromLog builds a view of one project in memory from its events alone: slow, exact, and there when
// nothing else is.
func FromLog(ctx context.Context, log Scanner, project string, now func() time.Time) (*View, error) {
	filter, err := events.ProjectFilter(project)
	if err != nil {
		return nil, err
	}
	docs := map[Key]Doc{}
	end, err := log.Scan(ctx, filter, 1, true, func(_ string, s events.Stored) error {
		k, kept := KeyOf(s.Event)
		if !kept {
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

// Fallback reads the view, and the log where the view cannot be read or is known to be behind what this
// process has written (design.md 2: answer after visible).
type Fallback struct {
	view Reader
	log  Scanner
	now  func() time.Time

	mu     sync.Mutex
	behind map[string]uint64 // project → sequence that the view had not passed in time
}

var _ Reader = (*Fallback)(nil)

// NewFallback puts a log behind a view.
func NewFallback(v Reader, log Scanner, now func() time.Time) *Fallback {
	return &Fallback{view: v, log: log, now: now, behind: map[string]uint64{}}
}

// Passed implements Reader. If ctx ends first, reads of the project go to the log until the view is there.
func (f *Fallback) Passed(ctx context.Context, project string, seq uint64) error {
	err := f.view.Passed(ctx, project, seq)
	if err != nil {
		f.mu.Lock()
		f.behind[project] = max(f.behind[project], seq)
		f.mu.Unlock()
	}
	return err
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

// Progress implements Reader; the log has none.
func (f *Fallback) Progress(ctx context.Context, project, backupID string) (events.Progress, error) {
	return f.view.Progress(ctx, project, backupID)
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

// Operation implements Reader.
func (f *Fallback) Operation(ctx context.Context, project, id string) (lifecycle.Operation, error) {
	return read(ctx, f, project, func(r Reader) (lifecycle.Operation, error) { return r.Operation(ctx, project, id) })
}

// Operations implements Reader.
func (f *Fallback) Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error) {
	return page(ctx, f, project, func(r Reader) ([]lifecycle.Operation, string, error) {
		return r.Operations(ctx, project, instance, cursor, limit)
	})
}

func read[T any](ctx context.Context, f *Fallback, project string, get func(Reader) (T, error)) (T, error) {
	if !f.stale(ctx, project) {
		got, err := get(f.view)
		if err == nil || errors.Is(err, events.ErrNotFound) || ctx.Err() != nil {
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

// stale tells whether the view has still not passed what it was once too late for.
func (f *Fallback) stale(ctx context.Context, project string) bool {
	f.mu.Lock()
	seq, was := f.behind[project]
	f.mu.Unlock()
	if !was {
		return false
	}
	now, cancel := context.WithTimeout(ctx, staleCheck)
	defer cancel()
	if f.view.Passed(now, project, seq) != nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behind[project] == seq {
		delete(f.behind, project)
	}
	return false
}

// staleCheck bounds the look at a view that may be away.
const staleCheck = 20 * time.Millisecond
