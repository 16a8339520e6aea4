// Package executortest is the suite that defines executor.Executor: what it asserts is what a runner
// relies on. It is for tests.
package executortest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Harness is one implementation under test with one source, made anew for each case. What is nil is not
// tested: set everything that the implementation promises.
type Harness struct {
	// New is an executor of a new process over the same storage. The harness closes it after the test.
	New func(t testing.TB) executor.Executor
	// Job is a job for the source; equal arguments give equal jobs.
	Job func(t testing.TB, backupID string, attempt int) executor.Job
	// Kind is the backup kind of every outcome.
	Kind string
	// Checksums says that outcomes carry a SHA-256 of the stored bytes.
	Checksums bool

	// Stalled is an executor whose work halts in the middle, when bytes have been written, until it is
	// cancelled; halted is closed then.
	Stalled func(t testing.TB) (e executor.Executor, halted <-chan struct{})
	// Lose begins the job in another process that dies without a trace in the middle of it.
	Lose func(t testing.TB, j executor.Job)
	// Left lists whatever is stored of an attempt, anywhere.
	Left func(t testing.TB, j executor.Job) []string

	// Flip changes one byte of a stored copy; Remove takes its object away and leaves the rest.
	Flip   func(t testing.TB, r executor.Ref)
	Remove func(t testing.TB, r executor.Ref)

	// Target is a place where nothing is; Fill puts other data into it.
	Target func(t testing.TB) events.InstanceConfig
	Fill   func(t testing.TB, target events.InstanceConfig)
	// Content is a digest of what a source or target holds, empty if there is none.
	Content func(t testing.TB, c events.InstanceConfig) string
}

const backup = "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"

// Run runs every case against harnesses that open makes.
func Run(t *testing.T, open func(t testing.TB) Harness) {
	cases := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"StartTwiceIsOneRefAndOneWork", startTwice},
		{"OutcomeIsComplete", outcomeComplete},
		{"PollOfUnknownIsLost", pollUnknown},
		{"FailedWorkLeavesNothingAndIsPolled", failedWork},
		{"DeleteTwice", deleteTwice},
		{"CancelLeavesNothing", cancelLeavesNothing},
		{"CancelAfterTheEndKeepsTheOutcome", cancelTooLate},
		{"RecoverFindsRunningWork", recoverRunning},
		{"RecoverAfterLostProcess", recoverLost},
		{"VerifyOfWholeAndDamagedCopy", verify},
		{"VerifyOfAnotherChecksum", verifyOther},
		{"RestoreGivesEqualContent", restoreEqual},
		{"RestoreRefusesTargetWithData", restoreRefuses},
		{"RestoreOverwrites", restoreOverwrites},
		{"RestoreOfDamagedCopyTouchesNothing", restoreDamaged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

// Finish polls started work to its end. No secret may be in what it tells, nor in what runs meanwhile (Canary).
func Finish(t testing.TB, e executor.Executor, r executor.Ref) executor.Progress {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	defer watched(t)()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		p, err := e.Poll(ctx, r)
		if err != nil {
			t.Fatalf("poll %v: %v", r, err)
		}
		if p.Done {
			unseenIn(t, p)
			return p
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%v has not ended, it is at %+v", r, p)
		}
	}
}

// Take takes a backup and returns its outcome.
func Take(t testing.TB, e executor.Executor, j executor.Job) lifecycle.Outcome {
	t.Helper()
	p := Finish(t, e, start(t, e, j))
	if p.Err != nil {
		t.Fatalf("back up: %v", p.Err)
	}
	return p.Outcome
}

// WantCode asserts that err holds an events.Failure with the code and a message that says something, and no secret.
func WantCode(t testing.TB, err error, want events.Code) {
	t.Helper()
	var f *events.Failure
	if !errors.As(err, &f) {
		t.Fatalf("want %s, got %v", want, err)
	}
	if f.Code != want || f.Message == "" || f.Category == "" {
		t.Fatalf("want %s, got %+v (%v)", want, f, err)
	}
	unseenInError(t, err)
}

func start(t testing.TB, e executor.Executor, j executor.Job) executor.Ref {
	t.Helper()
	r, err := e.Start(t.Context(), j)
	if err != nil {
		t.Fatalf("start %s: %v", j.BackupID, err)
	}
	return r
}

func wantNothingLeft(t *testing.T, h Harness, j executor.Job) {
	t.Helper()
	if left := h.Left(t, j); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func startTwice(t *testing.T, h Harness) {
	e, j := h.New(t), h.Job(t, backup, 1)
	first := start(t, e, j)
	if diff := cmp.Diff(first, start(t, e, j)); diff != "" {
		t.Errorf("second start while it runs (-first +second):\n%s", diff)
	}
	done := Finish(t, e, first)
	if done.Err != nil {
		t.Fatal(done.Err)
	}
	if diff := cmp.Diff(first, start(t, e, j)); diff != "" {
		t.Errorf("start after the end (-first +again):\n%s", diff)
	}
	again, err := e.Poll(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(done, again); diff != "" { // a second run would have another consistency time
		t.Errorf("poll after the end changed (-before +after):\n%s", diff)
	}
}

func outcomeComplete(t *testing.T, h Harness) {
	j := h.Job(t, backup, 1)
	began := time.Now()
	o := Take(t, h.New(t), j)
	want := j.Proof
	if want == "" {
		want = events.ProofChecked
	}
	if o.Proof != want || o.SizeBytes <= 0 || o.Kind != h.Kind || o.Ref == nil || o.Ref.BackupName == "" {
		t.Errorf("outcome %+v, reference %+v", o, o.Ref)
	}
	if o.ConsistencyTime.Before(began) || o.ConsistencyTime.After(time.Now()) {
		t.Errorf("consistency time %v outside of the backup, which began at %v", o.ConsistencyTime, began)
	}
	if h.Checksums && (o.Checksum == nil || o.Checksum.Algorithm != "sha256" || len(o.Checksum.Value) != 64) {
		t.Errorf("checksum %+v", o.Checksum)
	}
}

func pollUnknown(t *testing.T, h Harness) {
	_, err := h.New(t).Poll(t.Context(), executor.Ref{OperationName: "bk_unknown/1"})
	if !errors.Is(err, executor.ErrLost) {
		t.Errorf("want ErrLost, got %v", err)
	}
}

func failedWork(t *testing.T, h Harness) {
	if h.Target == nil || h.Left == nil {
		t.Skip("the harness has no absent source")
	}
	e, j := h.New(t), h.Job(t, backup, 1)
	absent := h.Target(t)
	absent.Storage = j.Config.Storage
	j.Config = absent
	ref := start(t, e, j)
	p := Finish(t, e, ref)
	WantCode(t, p.Err, events.NotFound)
	if diff := cmp.Diff(lifecycle.Outcome{}, p.Outcome); diff != "" {
		t.Errorf("outcome of failed work:\n%s", diff)
	}
	wantNothingLeft(t, h, j)
}

func deleteTwice(t *testing.T, h Harness) {
	e, j := h.New(t), h.Job(t, backup, 1)
	o := Take(t, e, j)
	freed, err := e.Delete(t.Context(), *o.Ref)
	if err != nil || freed < o.SizeBytes {
		t.Errorf("first delete freed %d of %d bytes, %v", freed, o.SizeBytes, err)
	}
	wantNothingLeft(t, h, j)
	if freed, err := e.Delete(t.Context(), *o.Ref); err != nil || freed != 0 {
		t.Errorf("second delete freed %d bytes, %v", freed, err)
	}
}

func cancelLeavesNothing(t *testing.T, h Harness) {
	if h.Stalled == nil {
		t.Skip("the harness cannot stall")
	}
	e, halted := h.Stalled(t)
	j := h.Job(t, backup, 1)
	ref := start(t, e, j)
	<-halted
	remains, err := e.(executor.Canceler).Cancel(t.Context(), ref)
	if err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	p, err := e.Poll(t.Context(), ref)
	if err != nil || !p.Done {
		t.Fatalf("after the cancel: %+v, %v", p, err)
	}
	WantCode(t, p.Err, events.CodeCancelled)
	wantNothingLeft(t, h, j)
	if remains, err := e.(executor.Canceler).Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("second cancel: remains %v, %v", remains, err)
	}
}

func cancelTooLate(t *testing.T, h Harness) {
	e, j := h.New(t), h.Job(t, backup, 1)
	c, ok := e.(executor.Canceler)
	if !ok {
		t.Skip("the executor cannot cancel")
	}
	o := Take(t, e, j)
	remains, err := c.Cancel(t.Context(), *o.Ref)
	if err != nil || !remains {
		t.Errorf("cancel of ended work: remains %v, %v", remains, err)
	}
	p, err := e.Poll(t.Context(), *o.Ref)
	if err != nil || p.Err != nil {
		t.Fatalf("after the cancel: %+v, %v", p, err)
	}
	if diff := cmp.Diff(o, p.Outcome); diff != "" {
		t.Errorf("outcome changed:\n%s", diff)
	}
}
