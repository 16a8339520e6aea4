package engine

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// finished tells whether an attempt of a process that is gone had come to its manifest, which is written after the
// proof, and whether everything is there that it names.
func (x *Executor) finished(ctx context.Context, j executor.Job) (bool, error) {
	c, err := x.Storages.Of(j)
	if err != nil {
		return false, err
	}
	m, err := c.ReadManifest(ctx)
	var f *events.Failure
	switch {
	case errors.As(err, &f) && (f.Code == events.NotFound || f.Code == events.Corrupt):
		return false, nil
	case err != nil:
		return false, err
	case m.BackupID != j.BackupID || m.Attempt != j.Attempt || rank(m.Proof) < rank(level(j)):
		return false, nil
	}
	return c.Complete(ctx, m)
}

// resume makes the further copies of such an attempt that are not there yet. As after any attempt, nothing remains
// after an error.
func (x *Executor) resume(ctx context.Context, j executor.Job, report func(executor.Progress)) (o lifecycle.Outcome, err error) {
	c, err := x.Storages.Of(j)
	if err != nil {
		return o, err
	}
	whole := false
	defer func() {
		if !whole {
			err = errors.Join(err, x.abandonAll(ctx, c, j, true))
		}
	}()
	m, err := c.ReadManifest(ctx)
	if err != nil {
		return o, err
	}
	p := &pace{report: x.watched(ctx, j, report), now: x.Now, phase: events.Finalizing}
	if o, err = x.finish(executor.WithAlive(ctx, p.alive), c, j, m, p); err != nil {
		return o, err
	}
	whole = true
	return o, nil
}
