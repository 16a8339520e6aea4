package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
)

// watched runs a restore under the deadline, and ends one that does not move, if it reports at all.
func (r *Runner) watched(ctx context.Context, to Restorer, job RestoreJob) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	w := watch{began: r.now(), moved: r.now()}
	job.Report = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		w.see(r.now(), p)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(min(r.caps.PollEvery, r.c.StallAfter/4+1, r.c.Deadline/4+1))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			mu.Lock()
			if w.last.Phase == "" || w.last.Phase == events.Finalizing {
				w.moved = r.now()
			}
			why := w.over(r.now(), r.c)
			mu.Unlock()
			if why != nil {
				cancel(why)
				return
			}
		}
	}()
	n, err := to.Restore(ctx, job)
	var why *events.Failure
	if err != nil && errors.As(context.Cause(ctx), &why) {
		why.Retryable, why.Message = false, why.Message+"; look at the target, then ask again"
		err = errors.Join(why, err)
	}
	return n, err
}
