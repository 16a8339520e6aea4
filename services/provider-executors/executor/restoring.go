package executor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// watched runs a restore under the deadline, publishes how far it is, and ends one that does not move, if it reports
// at all. While no bytes are read the target's server is at work, of which nothing is seen.
func (r *Runner) watched(ctx context.Context, started events.Stored, rec events.Restore, to Restorer, job RestoreJob) (int64, error) {
	var mu sync.Mutex
	var last Progress
	job.Report = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		last = p
	}
	var t told
	about := events.Progress{RestoreID: rec.RestoreID, BackupID: rec.BackupID, Project: rec.Project, Provider: rec.Provider, Instance: rec.Instance}
	guarded, end := r.guard(ctx, func() (Progress, bool) {
		mu.Lock()
		defer mu.Unlock()
		return last, last.Phase == "" || last.Unseen
	}, func(now Progress) {
		if now.Phase != "" {
			r.progress(ctx, started, about, &t, now)
		}
	})
	defer end()
	n, err := to.Restore(guarded, job)
	var why *events.Failure
	if err != nil && errors.As(context.Cause(guarded), &why) {
		why.Retryable, why.Message = false, why.Message+"; look at the target, then ask again"
		err = errors.Join(why, err)
	}
	return n, err
}

// proving runs a verification, and ends one that does not say that it goes on. One that does not obey, as it hangs in
// a storage, is left to itself after CancelLimit.
func (r *Runner) proving(ctx context.Context, verify func(ctx context.Context) (lifecycle.Checked, error)) (lifecycle.Checked, error) {
	var beats atomic.Int64
	ctx, end := r.guard(ctx, func() (Progress, bool) { return Progress{Beats: beats.Load()}, false }, func(Progress) {})
	defer end()
	type answer struct {
		checked lifecycle.Checked
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("verification panicked: %v\n%s", p, debug.Stack())
			}
			done <- a
		}()
		a.checked, a.err = verify(WithAlive(ctx, func() { beats.Add(1) }))
	}()
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done():
		select {
		case a = <-done:
		case <-time.After(r.c.CancelLimit):
			a.err = context.Cause(ctx)
		}
	}
	var why *events.Failure
	if a.err != nil && errors.As(context.Cause(ctx), &why) {
		a.err = errors.Join(why, a.err)
	}
	return a.checked, a.err
}

// guard ends ctx with a *events.Failure when work of which look tells stalls or runs too long. moves: it is taken for
// work that moves. Each look that ends nothing is handed to tell. end ends the guard.
func (r *Runner) guard(ctx context.Context, look func() (p Progress, moves bool), tell func(Progress)) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := watch{began: r.now(), moved: r.now()}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(min(r.caps.PollEvery, r.c.StallAfter/4+1, r.c.Deadline/4+1))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			p, moves := look()
			if w.see(r.now(), p); moves {
				w.moved = r.now()
			}
			if why := w.over(r.now(), r.c); why != nil {
				cancel(why)
				return
			}
			tell(p)
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}
