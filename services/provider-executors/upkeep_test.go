package executors_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// keeper is a Hand that verifies and restores as the test says, and remembers what it was told.
type keeper struct {
	*pipelinetest.Hand
	verify, restore func(context.Context) error

	mu     sync.Mutex
	sizes  []int64
	levels []events.Proof
}

func (k *keeper) Start(ctx context.Context, j executor.Job) (executor.Ref, error) {
	k.mu.Lock()
	k.sizes = append(k.sizes, j.LastSize)
	k.mu.Unlock()
	return k.Hand.Start(ctx, j)
}

func (k *keeper) Verify(ctx context.Context, _ executor.Job, _ executor.Ref, _ *events.Checksum, to events.Proof) (lifecycle.Checked, error) {
	k.mu.Lock()
	k.levels = append(k.levels, to)
	k.mu.Unlock()
	return lifecycle.Checked{Bytes: 4096, Evidence: events.Evidence{Copies: 1, Objects: 1, Rows: 7}}, k.verify(ctx)
}

func (k *keeper) Restore(ctx context.Context, _ executor.RestoreJob) (int64, error) {
	return 4096, k.restore(ctx)
}

func keeping(t *testing.T, k *keeper, c executors.Config) *pipelinetest.Pipeline {
	t.Helper()
	k.Hand = pipelinetest.NewHand().Auto()
	return setup(t, pipelinetest.Options{Executors: c, Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return k, nil }}}}, "a", "b")
}

func good(ctx context.Context) error { return nil }

// admitting is a Hand that does one backup at a time.
type admitting struct {
	*pipelinetest.Hand
	mu      sync.Mutex
	busy    bool
	refused chan struct{}
}

func (a *admitting) Close() error { return nil }

func (a *admitting) Admit(executor.Job) (func(), bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy {
		select {
		case a.refused <- struct{}{}:
		default:
		}
		return nil, false
	}
	a.busy = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy = false
	}, true
}

func TestBackup_ThatALimitHoldsBack_StaysEnqueuedAndIsTakenLater(t *testing.T) {
	t.Parallel()
	a := &admitting{Hand: pipelinetest.NewHand(), refused: make(chan struct{}, 1)}
	p := setup(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return a, nil }}}}, "a", "b")
	first := create(p, "a")
	if err := a.Started(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := create(p, "b")
	<-a.refused
	if b := get(p, second); b.State != "ENQUEUED" || a.Starts() != 1 {
		t.Errorf("%+v, %d started", b, a.Starts())
	}
	a.Auto()
	p.Await("shop", first, events.Succeeded)
	p.Await("shop", second, events.Succeeded)
	if b := get(p, second); b.Attempt != 1 {
		t.Errorf("waiting counted as an attempt: %+v", b)
	}
}

func TestBackup_KnowsTheSizeOfTheLastGoodOne(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	p := keeping(t, k, executors.Config{})
	for range 2 {
		p.Await("shop", create(p, "a"), events.Succeeded)
	}
	p.Await("shop", create(p, "b"), events.Succeeded)
	k.mu.Lock()
	defer k.mu.Unlock()
	if diff := cmp.Diff([]int64{0, 4096, 0}, k.sizes); diff != "" {
		t.Error(diff)
	}
}

func TestVerify_EachMethodHasItsProofAndItsOutcome(t *testing.T) {
	t.Parallel()
	torn := &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: "the copy is damaged"}
	k := &keeper{verify: good}
	p := keeping(t, k, executors.Config{})
	id := create(p, "a")
	p.Await("shop", id, events.Succeeded)
	type checked struct {
		Verification string
		Check        struct {
			Run          int
			Method       string
			CheckedBytes int64
			Evidence     struct{ Copies, Objects, Rows int }
			Error        *struct{ Code string }
		}
	}
	for n, method := range []string{"", "CHECKSUM", "RESTORE_TEST"} {
		body := `{}`
		if method != "" {
			body = `{"method":"` + method + `"}`
		}
		if code, answer := p.Call(http.MethodPost, base+"/"+id+":verify", body); code != http.StatusAccepted {
			t.Fatalf("verify: %d %s", code, answer)
		}
		awaitCheck(t, p, id, n+1)
		if b := pipelinetest.JSON[checked](p, http.MethodGet, base+"/"+id, ""); b.Verification != "PASSED" || b.Check.Run != n+1 || b.Check.CheckedBytes != 4096 || b.Check.Evidence.Rows != 7 || b.Check.Error != nil {
			t.Errorf("%+v", b)
		}
	}
	k.verify = func(context.Context) error { return torn }
	p.Call(http.MethodPost, base+"/"+id+":verify", `{}`)
	awaitCheck(t, p, id, 4)
	if b := pipelinetest.JSON[checked](p, http.MethodGet, base+"/"+id, ""); b.Verification != "FAILED" || b.Check.Error == nil || b.Check.Error.Code != "CORRUPT" {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff([]events.Proof{events.ProofStored, events.ProofStored, events.ProofRestored, events.ProofStored}, k.levels); diff != "" {
		t.Error(diff)
	}
	if code, answer := p.Call(http.MethodPost, base+"/"+id+":verify", `{"method":"GUESS"}`); code != http.StatusUnprocessableEntity && code != http.StatusBadRequest {
		t.Errorf("an unknown method: %d %s", code, answer)
	}
}

// awaitCheck waits until the outcome of that run can be read.
func awaitCheck(t *testing.T, p *pipelinetest.Pipeline, id string, run int) {
	t.Helper()
	type checked struct {
		Check struct {
			Run     int
			EndTime string
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(pipelinetest.Patience); time.Now().Before(end); <-tick.C {
		if b := pipelinetest.JSON[checked](p, http.MethodGet, base+"/"+id, ""); b.Check.Run == run && b.Check.EndTime != "" {
			return
		}
	}
	t.Fatalf("run %d has no outcome", run)
}

func TestVerify_OneAtATime(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	k := &keeper{verify: func(ctx context.Context) error {
		close(begun)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}}
	p := keeping(t, k, executors.Config{})
	id := create(p, "a")
	p.Await("shop", id, events.Succeeded)
	p.Call(http.MethodPost, base+"/"+id+":verify", `{}`)
	<-begun
	if code, answer := p.Call(http.MethodPost, base+"/"+id+":verify", `{}`); code != http.StatusConflict {
		t.Errorf("a second verification: %d %s", code, answer)
	}
	close(release)
	awaitCheck(t, p, id, 1)
}

func TestRestore_AndVerifyObeyTheDeadline(t *testing.T) {
	t.Parallel()
	endless := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	k := &keeper{verify: endless, restore: endless}
	p := keeping(t, k, executors.Config{Deadline: 100 * time.Millisecond})
	id := create(p, "a")
	p.Await("shop", id, events.Succeeded)
	type ended struct {
		RestoreID, State string
		Error            *struct{ Code string }
	}
	r := pipelinetest.JSON[ended](p, http.MethodPost, base+"/"+id+":restore", `{"target":{"instance":"b"}}`)
	p.Await("shop", r.RestoreID, events.Failed)
	r = pipelinetest.JSON[ended](p, http.MethodGet, "/api/v1/projects/shop/restores/"+r.RestoreID, "")
	if r.Error == nil || r.Error.Code != "DEADLINE_EXCEEDED" {
		t.Errorf("%+v", r)
	}
	p.Call(http.MethodPost, base+"/"+id+":verify", `{}`)
	awaitCheck(t, p, id, 1)
	for _, s := range p.Events("shop") {
		if s.Step() == events.VerificationFailed {
			if b, err := events.Decode[events.Backup](s.Event); err != nil || b.Check.Error.Code != events.DeadlineExceeded {
				t.Errorf("%+v, %v", b.Check, err)
			}
		}
	}
}

// Case S16: a restore is requested, started and done, or fails where the backup has vanished; either way the backup's
// record stays as it was.
func TestS16_RestoresLeaveTheBackupAsItIs(t *testing.T) {
	t.Parallel()
	there := true
	k := &keeper{verify: good, restore: func(context.Context) error {
		if there {
			return nil
		}
		return &events.Failure{Code: events.NotFound, Category: events.ByProvider, Message: "the copy is not there"}
	}}
	p := keeping(t, k, executors.Config{})
	id := create(p, "a")
	p.Await("shop", id, events.Succeeded)
	code, record := p.Call(http.MethodGet, base+"/"+id, "")
	if code != http.StatusOK {
		t.Fatal(code)
	}
	ofBackup := func() (n int) {
		for _, ev := range p.Events("shop") {
			if ev.Entity() == events.Backups {
				n++
			}
		}
		return n
	}
	before := ofBackup()
	for _, want := range []events.Step{events.Succeeded, events.Failed} {
		there = want == events.Succeeded
		r := pipelinetest.JSON[struct{ RestoreID string }](p, http.MethodPost, base+"/"+id+":restore", `{"target":{"instance":"b"}}`)
		ev := p.Await("shop", r.RestoreID, want)
		rec, err := events.Decode[events.Restore](ev.Event)
		if err != nil || want == events.Failed && (rec.Error == nil || rec.Error.Code != events.NotFound) {
			t.Errorf("%+v, %v", rec, err)
		}
		var steps []events.Step
		for _, ev := range p.Events("shop") {
			if ev.Entity() == events.Restores && strings.HasPrefix(ev.ID, r.RestoreID) {
				steps = append(steps, ev.Step())
			}
		}
		if !slices.Equal(steps, []events.Step{events.Requested, events.Started, want}) {
			t.Errorf("%v, want %s at the end", steps, want)
		}
		if _, now := p.Call(http.MethodGet, base+"/"+id, ""); string(now) != string(record) || ofBackup() != before {
			t.Errorf("the backup's record was %s and is %s", record, now)
		}
	}
}

// TestAttempt_CopyOfAnExecutorThatLostTheBackupIsRemoved: it was stopped for so long that another one took the
// backup over, and ends its own attempt well when it goes on. No record will ever name that copy.
func TestAttempt_CopyOfAnExecutorThatLostTheBackupIsRemoved(t *testing.T) {
	t.Parallel()
	hand := pipelinetest.NewHand()
	p := setup(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond, Local: true},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return hand, nil }}}}, "a")
	quiet, err := p.Bus.AnswerWorking("ex-other", func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer quiet()
	id := create(p, "a")
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	if err := hand.Started(ctx, id); err != nil {
		t.Fatal(err)
	}
	first := p.Await("shop", id, events.Started)
	b, err := events.Decode[events.Backup](first.Event)
	if err != nil {
		t.Fatal(err)
	}
	lost := &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true, Message: "the executor stopped"}
	for _, step := range []events.Step{events.AttemptFailed, events.Started} {
		_, err := p.Bus.Append(ctx, events.Draft{
			Aggregate: b.Aggregate(), Step: step, At: time.Now(), Cause: events.CausedBy(first.Event),
			EventID: events.EventID(id, events.Backups, step, map[events.Step]int{events.AttemptFailed: 1, events.Started: 2}[step]),
			Decide: func(_ context.Context, prior events.Prior) (events.Payload, error) {
				now, err := events.Decode[events.Backup](prior.Last.Event)
				if err != nil {
					return nil, err
				}
				if step == events.AttemptFailed {
					return lifecycle.Advance(lifecycle.FailAttempt(now, lost, time.Now()), step)
				}
				return lifecycle.Advance(lifecycle.Claim(now, time.Now(), "ex-other"), step)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	hand.Finish(id, nil)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for hand.Copies() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the copy that nobody knows of stays")
		}
	}
	if b := get(p, id); b.State != "RUNNING" || b.Attempt != 2 {
		t.Errorf("%+v", b)
	}
}

// detecting is a Hand that says whether its databases have changed.
type detecting struct {
	*pipelinetest.Hand
	mu     sync.Mutex
	same   bool
	asked  []string // the copies that were compared with
	broken error
}

func (d *detecting) Close() error { return nil }

func (d *detecting) Unchanged(_ context.Context, _ executor.Job, last executor.Ref) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, last.BackupName)
	return d.same, d.broken
}

func (d *detecting) set(same bool, broken error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.same, d.broken = same, broken
}

func TestBackup_OfADatabaseThatHasNotChanged_IsSkippedIfItIsScheduled(t *testing.T) {
	t.Parallel()
	d := &detecting{Hand: pipelinetest.NewHand().Auto(), same: true}
	p := setup(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return d, nil }}}}, "a")
	id, err := events.ScheduleID("shop", "a", "", "nightly")
	if err != nil {
		t.Fatal(err)
	}
	sc := events.Schedule{Project: "shop", ScheduleID: id, Name: "nightly", Provider: "sqlite", Instance: "a"}
	slot := func(day int) events.Backup {
		t.Helper()
		b := p.Slot(sc, time.Date(2026, 3, day, 2, 0, 0, 0, time.UTC), events.Requested, nil)
		last := p.Await("shop", b.BackupID, events.Succeeded, events.Skipped)
		b, err := events.Decode[events.Backup](last.Event)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := slot(1)
	if first.State != "SUCCESSFUL" || len(d.asked) != 0 {
		t.Errorf("there was nothing to compare with: %s, asked %v", first.State, d.asked)
	}
	second := slot(2)
	if second.State != "SKIPPED" || second.Skip == nil || second.Skip.Reason != "NO_CHANGES" || second.Skip.CoveredByBackupID != first.BackupID || !second.StartTime.IsZero() {
		t.Errorf("%s %+v", second.State, second.Skip)
	}
	if asked := create(p, "a"); p.Await("shop", asked, events.Succeeded).ID == "" {
		t.Error("what somebody asks for is taken")
	}
	d.set(false, nil)
	third := slot(3)
	if third.State != "SUCCESSFUL" {
		t.Errorf("it has changed: %s", third.State)
	}
	d.set(true, &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "the server does not say"})
	if fourth := slot(4); fourth.State != "SUCCESSFUL" {
		t.Errorf("what is not known counts as changed: %s", fourth.State)
	}
}
