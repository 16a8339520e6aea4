package executors_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/requester"
)

type shown struct {
	BackupID, State, Proof string
	Attempt                int
	Error                  *struct{ Code, Message string }
}

const base = "/api/v1/projects/shop/backups"

func create(p *pipelinetest.Pipeline, instance string) string {
	return pipelinetest.JSON[shown](p, http.MethodPost, base, `{"instance":"`+instance+`"}`).BackupID
}

func get(p *pipelinetest.Pipeline, id string) shown {
	return pipelinetest.JSON[shown](p, http.MethodGet, base+"/"+id, "")
}

func cancel(t *testing.T, p *pipelinetest.Pipeline, id string) {
	t.Helper()
	if code, body := p.Call(http.MethodPost, base+"/"+id+":cancel", `{"reason":"wrong day"}`); code != http.StatusAccepted {
		t.Fatalf("cancel: %d %s", code, body)
	}
}

func setup(t *testing.T, o pipelinetest.Options, instances ...string) *pipelinetest.Pipeline {
	t.Helper()
	p := pipelinetest.Start(t, o)
	for _, i := range instances {
		p.Register("shop", i)
	}
	return p
}

// steps are a backup's events in the order of the log.
func steps(p *pipelinetest.Pipeline, id string) []string {
	var out []string
	for n, s := range p.Events("shop") {
		if s.PartitionKey == id {
			out = append(out, string(s.Step()))
			if want := events.FormatSequence(uint64(len(out))); s.Sequence != want {
				out = append(out, fmt.Sprintf("event %d has sequence %s, not %s", n, s.Sequence, want))
			}
		}
	}
	return out
}

func started(t *testing.T, p *pipelinetest.Pipeline, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	if err := p.Hand.Started(ctx, id); err != nil {
		t.Fatalf("work on %s did not begin: %v", id, err)
	}
}

// Case S9.
func TestBackup_TwoFailedTriesThenSuccess(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	lost := &events.Failure{Code: events.Network, Category: events.BySystem, Retryable: true, Message: "the line was cut"}
	for n := 1; n <= 2; n++ {
		started(t, p, id)
		awaitStarts(t, p, n)
		p.Hand.Finish(id, lost)
	}
	awaitStarts(t, p, 3)
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
	want := []string{"requested", "started", "attempt_failed", "started", "attempt_failed", "started", "succeeded"}
	if diff := cmp.Diff(want, steps(p, id)); diff != "" {
		t.Error(diff)
	}
	if b := get(p, id); b.State != "SUCCESSFUL" || b.Attempt != 3 || b.Error != nil || b.Proof != "CHECKED" {
		t.Errorf("%+v", b)
	}
}

func awaitStarts(t *testing.T, p *pipelinetest.Pipeline, n int) {
	t.Helper()
	for end := time.Now().Add(pipelinetest.Patience); p.Hand.Starts() < n; {
		if time.Now().After(end) {
			t.Fatalf("%d starts, want %d", p.Hand.Starts(), n)
		}
	}
}

func TestBackup_FailsWhenNoTryIsLeft(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	for n := 1; n <= 3; n++ {
		awaitStarts(t, p, n)
		p.Hand.Finish(id, &events.Failure{Code: events.Network, Category: events.BySystem, Retryable: true, Message: "cut"})
	}
	p.Await("shop", id, events.Failed)
	if b := get(p, id); b.State != "FAILED" || b.Error == nil || b.Error.Code != "NETWORK" {
		t.Errorf("%+v", b)
	}
	again := create(p, "a") // the next one is not blocked
	p.Hand.Auto()
	p.Await("shop", again, events.Succeeded)
}

func TestBackup_WhatMakesNoSenseToRepeatFailsAtOnce(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	started(t, p, id)
	p.Hand.Finish(id, &events.Failure{Code: events.NotFound, Category: events.ByUser, Message: "no such file"})
	p.Await("shop", id, events.Failed)
	if diff := cmp.Diff([]string{"requested", "started", "failed"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

// Case S5: an executor that comes back, or another one, goes on with the work that runs.
func TestBackup_TakenOverWithoutASecondProviderCall(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	started(t, p, id)
	p.Executors.Stop()
	p.Executors.Start()
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
	if n := p.Hand.Starts(); n != 1 {
		t.Errorf("%d provider backups", n)
	}
	if diff := cmp.Diff([]string{"requested", "started", "succeeded"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

func TestCancel_StopsRunningWork(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	started(t, p, id)
	cancel(t, p, id)
	p.Await("shop", id, events.Cancelled)
	if diff := cmp.Diff([]string{"requested", "started", "cancel_requested", "cancelled"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
	if code, body := p.Call(http.MethodPost, base+"/"+id+":cancel", `{}`); code != http.StatusConflict {
		t.Errorf("second cancel: %d %s", code, body)
	}
	p.Hand.Auto()
	p.Await("shop", create(p, "a"), events.Succeeded)
}

// Case S8.
func TestCancel_OfAWaitingBackupNeedsNoExecutor(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	p.Executors.Stop()
	id := create(p, "a")
	cancel(t, p, id)
	if b := get(p, id); b.State != "CANCELLED" {
		t.Errorf("right after the call: %s", b.State)
	}
	p.Executors.Start()
	next := create(p, "a")
	p.Hand.Auto()
	p.Await("shop", next, events.Succeeded)
	if diff := cmp.Diff([]string{"requested", "cancel_requested", "cancelled"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

// Case S7: a cancel needs no free slot.
func TestCancel_WhileAllSlotsAreBusy(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{Executors: executors.Config{Concurrency: 1}}, "a", "b")
	busy := create(p, "a")
	started(t, p, busy)
	waiting := create(p, "b")
	cancel(t, p, busy)
	p.Await("shop", busy, events.Cancelled)
	started(t, p, waiting)
	p.Hand.Finish(waiting, nil)
	p.Await("shop", waiting, events.Succeeded)
}

// Case S6.
func TestCancel_LosesAgainstASuccess(t *testing.T) {
	t.Parallel()
	fast := &faster{Hand: pipelinetest.NewHand()}
	p := pipelinetest.Start(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 20 * time.Millisecond},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return fast, nil }}}})
	p.Hand = fast.Hand
	p.Register("shop", "a")
	id := create(p, "a")
	started(t, p, id)
	cancel(t, p, id)
	p.Await("shop", id, events.Succeeded)
	if diff := cmp.Diff([]string{"requested", "started", "cancel_requested", "succeeded"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

// faster finishes its work in the moment in which it is cancelled.
type faster struct{ *pipelinetest.Hand }

func (f *faster) Cancel(ctx context.Context, r executor.Ref) (bool, error) {
	f.Auto()
	return f.Hand.Cancel(ctx, r)
}

func TestAttempt_ThatDoesNotMoveIsStopped(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{events.Preparing, events.Copying, events.Finalizing} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			still := &inPhase{pipelinetest.NewHand(), phase}
			p := pipelinetest.Start(t, pipelinetest.Options{Requester: oneTry(), Executors: executors.Config{StallAfter: 50 * time.Millisecond},
				Providers: []executors.Provider{{Name: "sqlite", Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond},
					Open: func(context.Context, executors.Shared) (executors.Opened, error) { return still, nil }}}})
			p.Register("shop", "a")
			id := create(p, "a")
			p.Await("shop", id, events.Failed)
			if b := get(p, id); b.Error.Code != "DEADLINE_EXCEEDED" || !strings.Contains(b.Error.Message, "no progress") {
				t.Errorf("%+v", b.Error)
			}
		})
	}
}

// inPhase is at work in one phase and does not move.
type inPhase struct {
	*pipelinetest.Hand
	phase string
}

func (i *inPhase) Poll(ctx context.Context, r executor.Ref) (executor.Progress, error) {
	p, err := i.Hand.Poll(ctx, r)
	p.Phase = i.phase
	return p, err
}

func TestAttempt_ThatRunsTooLongIsStopped(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{Executors: executors.Config{Deadline: 50 * time.Millisecond}}, "a")
	id := create(p, "a")
	p.Await("shop", id, events.Failed)
	if b := get(p, id); b.Error.Code != "DEADLINE_EXCEEDED" || b.Attempt != 1 {
		t.Errorf("%+v", b)
	}
}

// What a running backup tells of itself reaches the reader, and only while it runs.
func TestProgress_IsShownWhileTheBackupRuns(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	started(t, p, id)
	type running struct{ Progress *struct{ Phase string } }
	for end := time.Now().Add(pipelinetest.Patience); ; {
		if b := pipelinetest.JSON[running](p, http.MethodGet, base+"/"+id, ""); b.Progress != nil && b.Progress.Phase == events.Preparing {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no progress is shown")
		}
	}
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
	if b := pipelinetest.JSON[running](p, http.MethodGet, base+"/"+id, ""); b.Progress != nil {
		t.Errorf("after the end: %+v", b.Progress)
	}
}

// Case S4: two executors read the same request; one starts it.
func TestBackup_TwoExecutorsOneStart(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	p.Executors.Stop()
	id := create(p, "a")
	request := p.Await("shop", id, events.Requested)
	p.Hand.Auto()
	done := make(chan error, 2)
	for range 2 {
		b := p.NATS.ConnectAs(t, bus.ExecutorsUser)
		r := executor.NewRunner(p.Hand, executor.Capabilities{PollEvery: time.Millisecond}, b, time.Now, pipelinetest.Logger(t), executor.Config{})
		quiet, err := b.AnswerWorking(r.ExecutorID(), r.InWork) // one that says nothing is taken for dead
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(quiet)
		go func() { done <- r.Handle(t.Context(), request) }()
	}
	for range 2 {
		var later executor.Later // who comes when the other is at work
		if err := <-done; err != nil && !errors.As(err, &later) {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"requested", "started", "succeeded"}, steps(p, id)); diff != "" || p.Hand.Starts() != 1 {
		t.Errorf("%d starts\n%s", p.Hand.Starts(), diff)
	}
}

func TestDeletion_FailsAndIsAskedForAgain(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	p.Hand.Auto()
	id := create(p, "a")
	p.Await("shop", id, events.Succeeded)
	p.Hand.FailDeletions(&events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the storage does not let us"})
	remove := func() {
		t.Helper()
		if code, body := p.Call(http.MethodDelete, base+"/"+id, ""); code != http.StatusAccepted {
			t.Fatalf("delete: %d %s", code, body)
		}
	}
	remove()
	p.Await("shop", id, events.DeletionFailed)
	if p.Hand.Copies() != 1 {
		t.Error("the copy is gone")
	}
	p.Hand.FailDeletions(nil)
	remove()
	p.Await("shop", id, events.Deleted)
	if p.Hand.Copies() != 0 {
		t.Error("the copy is still there")
	}
	want := []string{"requested", "started", "succeeded", "deletion_requested", "deletion_failed", "deletion_requested", "deleted"}
	if diff := cmp.Diff(want, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

func TestBus_RestartedInTheMiddleOfABackup(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	started(t, p, id)
	p.NATS.Restart(t)
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
	if diff := cmp.Diff([]string{"requested", "started", "succeeded"}, steps(p, id)); diff != "" || p.Hand.Starts() != 1 {
		t.Errorf("%d starts\n%s", p.Hand.Starts(), diff)
	}
}

func TestConfig_ReportsAllMistakes(t *testing.T) {
	t.Parallel()
	err := executors.Config{Concurrency: 1000, StallAfter: -1, Backoff: []time.Duration{0}}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	want := "storages: name at least one, as default: file:///var/backups\n" +
		"scratch: name a private folder for copies that are being checked\n" +
		"concurrency: 1000 is not between 1 and 64\n" +
		"stallAfter: -1ns is negative\n" +
		"backoff[0]: 0s is not a pause"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func oneTry() requester.Config { return requester.Config{MaxAttempts: 1} }

// Backups that wait for their next try hold no slot: others go on.
func TestBackup_ThatWaitsBlocksNoOther(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{Executors: executors.Config{Concurrency: 1, Backoff: []time.Duration{time.Hour}}}, "a", "b", "c")
	for _, i := range []string{"a", "b"} {
		id := create(p, i)
		started(t, p, id)
		p.Hand.Finish(id, &events.Failure{Code: events.StorageFull, Category: events.ByUser, Retryable: true, Message: "full"})
		p.Await("shop", id, events.AttemptFailed)
	}
	id := create(p, "c")
	started(t, p, id)
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
}

// A second executor that gets the trigger of work that another one is at leaves it alone.
func TestBackup_LiveWorkIsNotTakenOver(t *testing.T) {
	t.Parallel()
	p := setup(t, pipelinetest.Options{}, "a")
	id := create(p, "a")
	request := p.Await("shop", id, events.Requested)
	started(t, p, id)
	other := executor.NewRunner(p.Hand, executor.Capabilities{}, p.NATS.ConnectAs(t, bus.ExecutorsUser), time.Now, pipelinetest.Logger(t), executor.Config{})
	var later executor.Later
	if err := other.Handle(t.Context(), request); !errors.As(err, &later) {
		t.Errorf("the other executor: %v", err)
	}
	p.Hand.Finish(id, nil)
	p.Await("shop", id, events.Succeeded)
	if diff := cmp.Diff([]string{"requested", "started", "succeeded"}, steps(p, id)); diff != "" {
		t.Error(diff)
	}
}

// Work that does not obey a cancel ends all the same, and says that something may be left.
func TestAttempt_DeafWorkEndsWithoutAnotherTry(t *testing.T) {
	t.Parallel()
	deaf := &deafHand{pipelinetest.NewHand()}
	p := pipelinetest.Start(t, pipelinetest.Options{Executors: executors.Config{StallAfter: 30 * time.Millisecond, CancelLimit: 30 * time.Millisecond},
		Providers: []executors.Provider{{Name: "sqlite", Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond},
			Open: func(context.Context, executors.Shared) (executors.Opened, error) { return deaf, nil }}}})
	p.Register("shop", "a")
	id := create(p, "a")
	last := p.Await("shop", id, events.Failed)
	b, err := events.Decode[events.Backup](last.Event)
	if err != nil || !b.PartialRemains || b.ProviderRef == nil || b.Attempt != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}

// deafHand does not obey.
type deafHand struct{ *pipelinetest.Hand }

func (d *deafHand) Cancel(ctx context.Context, _ executor.Ref) (bool, error) {
	<-ctx.Done()
	return true, ctx.Err()
}

// complete is an executor whose earlier process had finished its copy before it died.
type complete struct {
	*pipelinetest.Hand
	cleaned atomic.Int32
}

func (c *complete) Recover(_ context.Context, j executor.Job) (executor.Ref, bool, error) {
	return executor.LocalRef(j), true, nil
}
func (c *complete) Cancel(context.Context, executor.Ref) (bool, error) { return true, nil }
func (c *complete) Clean(context.Context, executor.Job) (int64, error) {
	c.cleaned.Add(1)
	return 0, nil
}

// Whoever cancels wants nothing of it, also where the executor died with a copy that was complete.
func TestCancel_OfACompleteCopyOfADeadExecutorLeavesNothing(t *testing.T) {
	t.Parallel()
	x := &complete{Hand: pipelinetest.NewHand()}
	p := pipelinetest.Start(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 20 * time.Millisecond, Local: true},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return x, nil }}}})
	p.Hand = x.Hand
	p.Register("shop", "a")
	id := create(p, "a")
	started(t, p, id)
	p.Executors.Stop()
	cancel(t, p, id)
	p.Executors.Start()
	b, err := events.Decode[events.Backup](p.Await("shop", id, events.Cancelled).Event)
	if err != nil || b.PartialRemains || x.cleaned.Load() != 1 {
		t.Errorf("remains %v, cleaned %d times, %v", b.PartialRemains, x.cleaned.Load(), err)
	}
}
