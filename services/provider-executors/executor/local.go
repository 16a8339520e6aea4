package executor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// keepEnded is how much ended work Local remembers for Poll.
const keepEnded = 1000

var (
	errCancelled = errors.New("cancelled on request")
	errStopped   = errors.New("stopped: it took too long, or the process ends")
	errClosed    = errors.New("the executor was closed")
)

// Abandoned tells why the ctx of work has ended: true if somebody asked to cancel, who wants nothing of it any
// more. Otherwise it took too long or the process ends, and what is complete and proven may be kept.
func Abandoned(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStopped) && !errors.Is(context.Cause(ctx), errClosed)
}

// Work does one job from the beginning to the end. It obeys ctx, reports as often as it likes, and
// when it returns an error it has removed what it wrote.
type Work func(ctx context.Context, j Job, report func(Progress)) (lifecycle.Outcome, error)

// Local turns Work into the asynchronous half of an Executor: Start, Poll and Cancel for engines whose
// tool runs in or under this process. What it knows ends with the process.
//
// Safe for concurrent use. Who made it calls Close, which ends every goroutine it owns.
type Local struct {
	work Work

	mu     sync.Mutex
	tasks  map[string]*task
	ended  []*task // oldest first
	closed bool
	wg     sync.WaitGroup
}

// NewLocal returns a Local over work. It limits nothing: how much runs at once is up to the caller.
func NewLocal(work Work) *Local {
	return &Local{work: work, tasks: map[string]*task{}}
}

// LocalRef names the work of j in a Local: `{backupId}/{attempt}`.
func LocalRef(j Job) Ref {
	return Ref{OperationName: j.BackupID + "/" + strconv.Itoa(j.Attempt)}
}

// Start begins the work of j unless the same backup and attempt was started before, and returns
// LocalRef(j) either way. The work keeps the values of ctx and not its end. Ended work of earlier
// attempts of the backup is forgotten.
func (l *Local) Start(ctx context.Context, j Job) (Ref, error) { return l.StartWith(ctx, j, l.work) }

// StartWith is Start of other work for j than that of the Local.
func (l *Local) StartWith(ctx context.Context, j Job, work Work) (Ref, error) {
	ref := LocalRef(j)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Ref{}, &events.Failure{
			Code: events.ProviderUnavailable, Category: events.BySystem, Retryable: true,
			Message: "this executor is stopping: another one takes the backup",
		}
	}
	if l.tasks[ref.OperationName] != nil {
		return ref, nil
	}
	l.forget(func(t *task) bool { return t.backupID == j.BackupID })
	// The work outlives the call that began it; Cancel and Close end it.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	t := &task{
		key: ref.OperationName, backupID: j.BackupID, cancel: cancel, done: make(chan struct{}),
		last: Progress{Phase: events.Preparing},
	}
	l.tasks[t.key] = t
	l.wg.Go(func() { l.run(ctx, t, j, work) })
	return ref, nil
}

// Poll tells the last report of the work, and after its end the outcome or the error: code CANCELLED
// if Cancel ended it. ErrLost: never started here, forgotten, or ended by Close.
func (l *Local) Poll(_ context.Context, r Ref) (Progress, error) {
	l.mu.Lock()
	t := l.tasks[r.OperationName]
	l.mu.Unlock()
	if t == nil {
		return Progress{}, ErrLost
	}
	p := t.progress()
	if errors.Is(p.Err, errClosed) {
		return Progress{}, ErrLost
	}
	return p, nil
}

// Cancel stops the work and waits until it has ended, or ctx has. Work that ends well all the same
// keeps its outcome, which Poll tells. ErrLost: there is no such work here.
func (l *Local) Cancel(ctx context.Context, r Ref) error { return l.end(ctx, r, errCancelled) }

// Stop is Cancel without anybody's wish: Abandoned is false for the work.
func (l *Local) Stop(ctx context.Context, r Ref) error { return l.end(ctx, r, errStopped) }

func (l *Local) end(ctx context.Context, r Ref, cause error) error {
	l.mu.Lock()
	t := l.tasks[r.OperationName]
	l.mu.Unlock()
	if t == nil {
		return ErrLost
	}
	t.cancel(cause)
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", r.OperationName, ctx.Err())
	}
}

// Close cancels all work, waits for its end and lets nothing start any more. It may be called twice.
func (l *Local) Close() error {
	l.mu.Lock()
	l.closed = true
	for _, t := range l.tasks {
		t.cancel(errClosed)
	}
	l.mu.Unlock()
	l.wg.Wait()
	return nil
}

func (l *Local) run(ctx context.Context, t *task, j Job, work Work) {
	o, err := guarded(ctx, j, work, t.report)
	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errClosed):
		err = errors.Join(errClosed, err)
	case errors.Is(cause, errCancelled):
		err = errors.Join(&events.Failure{
			Code: events.CodeCancelled, Category: events.ByUser, Message: "the backup was cancelled on request",
		}, err)
	}
	t.cancel(nil)

	l.mu.Lock() // ended and listed as ended are one step for Start
	defer l.mu.Unlock()
	t.end(o, err)
	l.ended = append(l.ended, t)
	if len(l.ended) > keepEnded {
		oldest := l.ended[0]
		l.forget(func(t *task) bool { return t == oldest })
	}
}

// guarded keeps a panic of one job from ending the process and every other job in it.
func guarded(ctx context.Context, j Job, work Work, report func(Progress)) (o lifecycle.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("work of %s panicked: %v\n%s", j.BackupID, p, debug.Stack())
		}
	}()
	return work(ctx, j, report)
}

// forget drops the ended tasks that match. l.mu is held.
func (l *Local) forget(match func(*task) bool) {
	kept := l.ended[:0]
	for _, t := range l.ended {
		if match(t) {
			delete(l.tasks, t.key)
		} else {
			kept = append(kept, t)
		}
	}
	clear(l.ended[len(kept):])
	l.ended = kept
}

// task is one started job.
type task struct {
	key      string
	backupID string
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed when nothing of the work runs any more

	mu   sync.Mutex
	last Progress
}

func (t *task) progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// report takes what the work says of itself; only run says that it is done.
func (t *task) report(p Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.Done {
		t.last = Progress{Phase: p.Phase, BytesDone: p.BytesDone, BytesTotal: p.BytesTotal, Beats: p.Beats}
	}
}

func (t *task) end(o lifecycle.Outcome, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last.Done, t.last.Err = true, err
	if err == nil {
		t.last.Outcome = o
	}
	close(t.done)
}
