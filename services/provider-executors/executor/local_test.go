package executor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// fake is the smallest executor over a Local: its copies are entries of a map.
type fake struct {
	*executor.Local
	store *sync.Map // backup name to size
}

func (f fake) Cancel(ctx context.Context, r executor.Ref) (bool, error) {
	err := f.Local.Cancel(ctx, r)
	_, remains := f.store.Load(r.OperationName)
	return remains, err
}

func (f fake) Recover(ctx context.Context, j executor.Job) (executor.Ref, bool, error) {
	r := executor.LocalRef(j)
	if _, err := f.Poll(ctx, r); err == nil {
		return r, true, nil
	}
	f.store.Delete(r.OperationName)
	return executor.Ref{}, false, nil
}

func (f fake) Delete(_ context.Context, r executor.Ref) (int64, error) {
	if size, ok := f.store.LoadAndDelete(r.BackupName); ok {
		return size.(int64), nil
	}
	return 0, nil
}

func newFake(t testing.TB, store *sync.Map, halted chan struct{}) fake {
	f := fake{store: store}
	f.Local = executor.NewLocal(func(ctx context.Context, j executor.Job, report func(executor.Progress)) (lifecycle.Outcome, error) {
		at := time.Now()
		r := executor.LocalRef(j)
		r.BackupName = r.OperationName
		report(executor.Progress{Phase: events.Copying, BytesDone: 1, BytesTotal: 2})
		if halted != nil {
			close(halted)
			<-ctx.Done()
			return lifecycle.Outcome{}, ctx.Err()
		}
		store.Store(r.BackupName, int64(2))
		return lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 2, Kind: "LOGICAL", ConsistencyTime: at, Ref: &r}, nil
	})
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestLocal_Conformance(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(testing.TB) executortest.Harness {
		store := &sync.Map{}
		return executortest.Harness{
			New: func(t testing.TB) executor.Executor { return newFake(t, store, nil) },
			Job: func(_ testing.TB, backupID string, attempt int) executor.Job {
				return executor.Job{BackupID: backupID, Attempt: attempt}
			},
			Kind: "LOGICAL",
			Stalled: func(t testing.TB) (executor.Executor, <-chan struct{}) {
				halted := make(chan struct{})
				return newFake(t, store, halted), halted
			},
			Lose: func(_ testing.TB, j executor.Job) { store.Store(executor.LocalRef(j).OperationName, int64(1)) },
			Left: func(_ testing.TB, j executor.Job) []string {
				if _, ok := store.Load(executor.LocalRef(j).OperationName); ok {
					return []string{executor.LocalRef(j).OperationName}
				}
				return nil
			},
		}
	})
}

func TestLocal_StartsOnceForManyCallers(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	l := executor.NewLocal(func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) {
		runs.Add(1)
		return lifecycle.Outcome{}, nil
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := l.Start(t.Context(), executor.Job{BackupID: "b", Attempt: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil || runs.Load() != 1 {
		t.Errorf("%d runs, %v", runs.Load(), err)
	}
}

func TestLocal_WorkOutlivesTheCallThatBeganIt(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	l := executor.NewLocal(func(ctx context.Context, _ executor.Job, _ func(executor.Progress)) (lifecycle.Outcome, error) {
		<-goOn
		return lifecycle.Outcome{SizeBytes: 1}, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := l.Start(ctx, executor.Job{BackupID: "b", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	close(goOn)
	if p := finish(t, l, r); p.Err != nil || p.Outcome.SizeBytes != 1 {
		t.Errorf("%+v", p)
	}
	_ = l.Close()
}

func TestLocal_PanicIsAnErrorOfThatJob(t *testing.T) {
	t.Parallel()
	l := executor.NewLocal(func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) {
		panic("of the work")
	})
	r, err := l.Start(t.Context(), executor.Job{BackupID: "b", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := finish(t, l, r)
	if p.Err == nil || !strings.Contains(p.Err.Error(), "of the work") {
		t.Fatalf("error %v", p.Err)
	}
	if f := executor.FailureOf(p.Err); f.Code != events.Internal || strings.Contains(f.Message, "of the work") {
		t.Errorf("failure %+v", f)
	}
	_ = l.Close()
}

func TestLocal_CloseEndsWorkAndIsNotAFailureOfIt(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	ended := false
	l := executor.NewLocal(func(ctx context.Context, _ executor.Job, _ func(executor.Progress)) (lifecycle.Outcome, error) {
		close(started)
		<-ctx.Done()
		ended = true
		return lifecycle.Outcome{}, ctx.Err()
	})
	j := executor.Job{BackupID: "b", Attempt: 1}
	r, err := l.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	if err := l.Close(); err != nil || !ended {
		t.Errorf("close before the end of the work: %v", err)
	}
	if _, err := l.Poll(t.Context(), r); !errors.Is(err, executor.ErrLost) {
		t.Errorf("poll after close: want ErrLost, got %v", err)
	}
	if _, err := l.Start(t.Context(), j); executor.FailureOf(err).Code != events.ProviderUnavailable {
		t.Errorf("start after close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLocal_CancelWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	l := executor.NewLocal(func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) {
		<-release // deaf
		return lifecycle.Outcome{}, nil
	})
	r, err := l.Start(t.Context(), executor.Job{BackupID: "b", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Cancel(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel of deaf work: %v", err)
	}
	close(release)
	if p := finish(t, l, r); p.Err != nil {
		t.Errorf("work that ended well: %v", p.Err)
	}
	if err := l.Cancel(t.Context(), executor.Ref{OperationName: "x/1"}); !errors.Is(err, executor.ErrLost) {
		t.Errorf("cancel of unknown work: %v", err)
	}
	_ = l.Close()
}

func TestLocal_RemembersABoundedNumber(t *testing.T) {
	t.Parallel()
	l := executor.NewLocal(func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) {
		return lifecycle.Outcome{}, nil
	})
	var first executor.Ref
	for i := range 1100 {
		r, err := l.Start(t.Context(), executor.Job{BackupID: "b" + strings.Repeat("x", i), Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		finish(t, l, r)
		if i == 0 {
			first = r
		}
	}
	_ = l.Close()
	if _, err := l.Poll(t.Context(), first); !errors.Is(err, executor.ErrLost) {
		t.Errorf("the first of 1100 is still known: %v", err)
	}

	l = executor.NewLocal(func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) {
		return lifecycle.Outcome{}, errors.New("once")
	})
	one, _ := l.Start(t.Context(), executor.Job{BackupID: "b", Attempt: 1})
	finish(t, l, one)
	two, _ := l.Start(t.Context(), executor.Job{BackupID: "b", Attempt: 2})
	finish(t, l, two)
	_ = l.Close()
	if _, err := l.Poll(t.Context(), one); !errors.Is(err, executor.ErrLost) {
		t.Errorf("the attempt before the newest is still known: %v", err)
	}
	if _, err := l.Poll(t.Context(), two); err != nil {
		t.Errorf("the newest attempt: %v", err)
	}
}

// finish polls until the end.
func finish(t *testing.T, l *executor.Local, r executor.Ref) executor.Progress {
	t.Helper()
	return executortest.Finish(t, fake{Local: l, store: &sync.Map{}}, r)
}
