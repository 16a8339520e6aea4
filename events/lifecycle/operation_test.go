package lifecycle_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func good(t testing.TB) events.Backup {
	t.Helper()
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", RequestID: "rq_x", MaxAttempts: 1, RequestedBy: "ann",
		IDs: events.NewBackupIDs("bk_x", "", noon), EnqueuedTime: events.At(noon), Trigger: events.OnDemand}
	b = advance(t, b, events.Requested)
	b = advance(t, lifecycle.Claim(b, noon, "ex"), events.Started)
	return advance(t, lifecycle.Complete(b, noon, lifecycle.Outcome{Proof: events.ProofChecked}), events.Succeeded)
}

func advance(t testing.TB, b events.Backup, s events.Step) events.Backup {
	t.Helper()
	b, err := lifecycle.Advance(b, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func find(t testing.TB, b events.Backup, step events.Step, n int) lifecycle.Operation {
	t.Helper()
	id := events.OperationID(events.EventID(b.BackupID, events.Backups, step, n))
	for _, op := range lifecycle.OperationsOf(b) {
		if op.ID == id {
			return op
		}
	}
	t.Fatalf("no operation of %s %d", step, n)
	return lifecycle.Operation{}
}

// What has ended stays as it was, whatever is asked for later.
func TestOperationsOf_AFailedDeletionStaysAsItWas(t *testing.T) {
	t.Parallel()
	b := good(t)
	ask := func(n int) {
		b = advance(t, lifecycle.AskDeletion(b, events.Deletion{Cause: "USER", RequestedBy: "bob", RequestTime: events.At(noon.Add(time.Duration(n) * time.Hour))}), events.DeletionRequested)
	}
	ask(1)
	if op := find(t, b, events.DeletionRequested, 1); op.Done || !op.StartTime.IsZero() {
		t.Errorf("asked for: %+v", op)
	}
	b = advance(t, lifecycle.FailDeletion(b, noon.Add(90*time.Minute), &events.Failure{Code: events.Network, Message: "the storage did not answer"}), events.DeletionFailed)
	ended := find(t, b, events.DeletionRequested, 1)
	if !ended.Done || ended.Failure == nil || ended.EndTime.IsZero() || ended.User != "bob" {
		t.Errorf("failed: %+v", ended)
	}
	ask(2)
	if diff := cmp.Diff(ended, find(t, b, events.DeletionRequested, 1)); diff != "" {
		t.Errorf("rewritten when it was asked for again:\n%s", diff)
	}
	if op := find(t, b, events.DeletionRequested, 2); op.Done {
		t.Errorf("the second try: %+v", op)
	}
	b = advance(t, lifecycle.Remove(b, noon.Add(3*time.Hour), 1), events.Deleted)
	if diff := cmp.Diff(ended, find(t, b, events.DeletionRequested, 1)); diff != "" {
		t.Errorf("rewritten when it was deleted:\n%s", diff)
	}
}

func TestAskDeletion_RemembersTheLatestTries(t *testing.T) {
	t.Parallel()
	b := good(t)
	for range events.MaxEarlierTries + 5 {
		b = advance(t, lifecycle.AskDeletion(b, events.Deletion{Cause: "USER", RequestTime: events.At(noon), RequestedBy: strings.Repeat("b", 256)}), events.DeletionRequested)
		b = advance(t, lifecycle.FailDeletion(b, noon, &events.Failure{Code: events.Network, Message: strings.Repeat("m", 2048)}), events.DeletionFailed)
	}
	if n := len(b.Deletion.Earlier); n != events.MaxEarlierTries || b.Deletion.Earlier[n-1].Try != events.MaxEarlierTries+4 {
		t.Errorf("%d tries, the last %d", n, b.Deletion.Earlier[n-1].Try)
	}
	if doc, err := json.Marshal(b.Deletion.Earlier); err != nil || len(doc) > 8<<10 {
		t.Errorf("%d bytes, %v", len(doc), err)
	}
}

// A policy's deletion is the service's own work, with or without a request; what was found gone is nobody's.
func TestOperationsOf_DeletionByPolicy(t *testing.T) {
	t.Parallel()
	gone := good(t)
	gone.Deletion = &events.Deletion{Cause: "RETENTION", EndTime: events.At(noon)}
	gone = advance(t, gone, events.Deleted)
	op := find(t, gone, events.DeletionRequested, 0)
	if op.Kind != lifecycle.Deletion || !op.Done || op.User != "" || !op.InsertTime.Equal(noon) || !op.EndTime.Equal(noon) {
		t.Errorf("%+v", op)
	}
	asked := advance(t, lifecycle.AskDeletion(good(t), events.Deletion{Cause: "RETENTION", RequestedBy: "schedule", RequestTime: events.At(noon)}), events.DeletionRequested)
	if op := find(t, asked, events.DeletionRequested, 1); op.User != "" || op.Done {
		t.Errorf("%+v", op)
	}
	lost := good(t)
	lost.Deletion = &events.Deletion{Cause: "EXTERNAL", EndTime: events.At(noon)}
	if ops := lifecycle.OperationsOf(advance(t, lost, events.Deleted)); len(ops) != 1 {
		t.Errorf("%+v", ops)
	}
}

// A run that was asked for and then skipped has done its work: there was none.
func TestOperationsOf_SkippedAfterItsRequest(t *testing.T) {
	t.Parallel()
	b := events.Backup{BackupID: "bk_x", MaxAttempts: 1, IDs: events.NewBackupIDs("bk_x", "", noon), EnqueuedTime: events.At(noon)}
	b = advance(t, b, events.Requested)
	for want, skip := range map[time.Time]events.Skip{
		noon.Add(time.Hour): {Reason: "NO_CHANGES", Time: events.At(noon.Add(time.Hour))},
		noon:                {Reason: "NO_CHANGES"}, // written before it had a time
	} {
		skipped := b
		skipped.Skip = &skip
		skipped = advance(t, skipped, events.Skipped)
		if op := lifecycle.OperationsOf(skipped)[0]; !op.Done || op.Failure != nil || !op.EndTime.Equal(want) {
			t.Errorf("%+v", op)
		}
	}
}

// A backup that is cancelled while it waits for its next attempt keeps the error of the last, and was cancelled all
// the same.
func TestOperationsOf_CancelledBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", RequestID: "rq_x", MaxAttempts: 3,
		IDs: events.NewBackupIDs("bk_x", "", noon), EnqueuedTime: events.At(noon), Trigger: events.OnDemand}
	b = advance(t, b, events.Requested)
	b = advance(t, lifecycle.Claim(b, noon, "ex"), events.Started)
	away := &events.Failure{Code: events.Network, Category: events.BySystem, Message: "away", Retryable: true}
	b = advance(t, lifecycle.FailAttempt(b, away, noon.Add(time.Minute)), events.AttemptFailed)
	b = advance(t, lifecycle.AskCancel(b, events.Cancel{RequestTime: events.At(noon)}), events.CancelRequested)
	b = advance(t, lifecycle.Stop(b, noon, nil, false), events.Cancelled)
	if b.Error == nil || !lifecycle.Stopped(b) {
		t.Fatalf("%+v", b)
	}
	if op := find(t, b, events.Requested, 0); op.Failure == nil || op.Failure.Code == events.Network {
		t.Errorf("shown as %+v", op.Failure)
	}
	if good := good(t); lifecycle.Stopped(good) {
		t.Error("a good one is shown as stopped")
	}
}

func TestAmend_RemembersEveryUpdateForAWeek(t *testing.T) {
	t.Parallel()
	b := good(t)
	update := func(at time.Time) {
		b = advance(t, lifecycle.Amend(b, events.Update{RequestTime: events.At(at), RequestID: "rq_y", RequestedBy: "ann"}, func(*events.Backup) []string { return []string{"labels"} }), events.Updated)
	}
	for n := range 5 {
		update(noon.Add(time.Duration(n) * time.Hour))
	}
	for n := 1; n <= 5; n++ {
		if op := find(t, b, events.Updated, n); !op.Done || !op.InsertTime.Equal(noon.Add(time.Duration(n-1)*time.Hour)) {
			t.Errorf("%d: %+v", n, op)
		}
	}
	update(noon.Add(events.KeepChanges + 150*time.Minute))
	if n := len(b.EarlierUpdates); n != 2 || b.EarlierUpdates[0].Number != 4 {
		t.Errorf("%d are remembered of those that are not too old: %+v", n, b.EarlierUpdates)
	}
	for range 2 * events.MaxEarlierUpdates {
		update(noon.Add(events.KeepChanges + 3*time.Hour))
	}
	if n := len(b.EarlierUpdates); n != events.MaxEarlierUpdates {
		t.Errorf("%d are remembered", n)
	}
}

// A schedule remembers the changes of a week, as long as its record is one that the bus takes.
func TestRememberChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by    string
		every time.Duration
		want  int
	}{
		"one an hour":     {"ann@example.com", time.Hour, 193}, // of the last 8 days, both ends
		"many":            {"ann@example.com", time.Minute, events.MaxChanges},
		"of long names":   {strings.Repeat("n", 256), time.Minute, 84},
		"escaped sixfold": {strings.Repeat("<", 256), time.Minute, 19},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := events.Schedule{Project: strings.Repeat("p", 100), ScheduleID: "sc_" + strings.Repeat("a", 26), Name: events.Automated, Provider: "sqlite", Instance: strings.Repeat("i", 100)}
			for n := 1; n <= 1000; n++ {
				s.Generation = n
				s.Changes = lifecycle.RememberChange(s.Changes, events.ScheduleChange{Step: events.Updated, Generation: n,
					Time: events.At(noon.Add(time.Duration(n) * c.every)), RequestID: "rq_" + strings.Repeat("a", 26), RequestedBy: c.by})
			}
			if n := len(s.Changes); n != c.want || s.Changes[n-1].Generation != 1000 {
				t.Errorf("%d changes, want %d", n, c.want)
			}
			ev, err := events.New("bus.local", s, events.Updated, "x", 1000, noon, events.Cause{})
			if err != nil {
				t.Fatal(err)
			}
			if len(ev.Data) > events.MaxData*3/4 {
				t.Errorf("%d bytes", len(ev.Data))
			}
			t.Logf("%d changes, %d bytes", len(s.Changes), len(ev.Data))
		})
	}
}
