package viewtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

var firstDue = time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)

// slot is the backup of the n-th night.
func slot(n int) events.Backup {
	b := newBackup("a", 100+n)
	b.Trigger, b.DueTime, b.MaxAttempts = events.Scheduled, events.At(firstDue.AddDate(0, 0, n)), 0
	return b
}

func (h *history) requested(b events.Backup) events.Backup {
	b.MaxAttempts = 1
	return h.step(b, events.Requested)
}

// nights are seven slots: removed since, succeeded, found bad since, failed, missed, spared, at work.
func nights(h *history) {
	done := func(n int) events.Backup {
		at := firstDue.AddDate(0, 0, n)
		b := h.step(lifecycle.Claim(h.requested(slot(n)), at, "ex"), events.Started)
		return h.step(lifecycle.Complete(b, at, lifecycle.Outcome{Proof: events.ProofStored, ConsistencyTime: at}), events.Succeeded)
	}
	gone := h.step(lifecycle.AskDeletion(done(0), events.Deletion{Cause: "RETENTION"}), events.DeletionRequested)
	h.step(lifecycle.Remove(gone, firstDue, 1), events.Deleted)
	done(1)
	bad := done(2)
	bad.Verification = events.CheckFailed
	bad.Check = &events.Check{Run: 1, Method: "CHECKSUM", Reason: "USER"}
	bad = h.step(bad, events.VerificationRequested)
	h.step(bad, events.VerificationFailed)
	h.step(lifecycle.Fail(h.requested(slot(3)), firstDue, &events.Failure{Code: events.Network}, nil, false), events.Failed)
	missed := slot(4)
	missed.Overdue = &events.OverdueNote{}
	h.step(missed, events.Overdue)
	spared := slot(5)
	spared.Skip = &events.Skip{Reason: "NO_CHANGES"}
	h.step(spared, events.Skipped)
	h.requested(slot(6))
}

// testHealth: the newest copy whose data can be trusted, and all slots by their outcome, from the first event on
// and from the last events alone.
func testHealth(t *testing.T, h Harness) {
	hist := life(t)
	nights(hist)
	v := view.New(h.Open(t), shards)
	apply(t, v, hist.log, 3)
	check := func(since time.Time, want lifecycle.Slots) {
		t.Helper()
		got, err := v.Health(t.Context(), "p", "a", since)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Slots); diff != "" {
			t.Errorf("since %s: %s", since, diff)
		}
		if got.LastGood == nil || got.LastGood.BackupID != slot(1).BackupID {
			t.Errorf("last good: %+v", got.LastGood)
		}
	}
	all := lifecycle.Slots{Succeeded: 3, Failed: 1, Missed: 1, Spared: 1, Pending: 1}
	check(firstDue.Add(-time.Second), all)
	check(firstDue.Add(time.Second), lifecycle.Slots{Succeeded: 2, Failed: 1, Missed: 1, Spared: 1, Pending: 1})
	check(firstDue.AddDate(0, 0, 7), lifecycle.Slots{})

	last := map[string]events.Stored{}
	for _, ev := range hist.log {
		last[ev.PartitionKey] = ev
	}
	var compacted []events.Stored
	for _, ev := range hist.log {
		if last[ev.PartitionKey].Seq == ev.Seq {
			compacted = append(compacted, ev)
		}
	}
	v = view.New(h.Open(t), shards)
	apply(t, v, compacted, 100)
	check(firstDue.Add(-time.Second), all)

	none, err := v.Health(t.Context(), "p", "nobody", firstDue)
	if err != nil || none.LastGood != nil || none.Slots != (lifecycle.Slots{}) {
		t.Errorf("%+v, %v", none, err)
	}
}

func testFleet(t *testing.T, h Harness) {
	hist := &history{t: t, n: map[string]uint64{}}
	for i, n := range []view.Named{{Project: "p", Instance: "a"}, {Project: "example.com:p", Instance: "b c"}, {Project: "p", Instance: "gone"}} {
		inst := events.Instance{Project: n.Project, InstanceID: "in_" + string(rune('a'+i)), Provider: "sqlite", Instance: n.Instance, Generation: 1}
		hist.add(inst, events.Registered)
		if n.Instance == "gone" {
			inst.Generation = 2
			hist.add(inst, events.Deregistered)
		}
	}
	v := view.New(h.Open(t), shards)
	apply(t, v, hist.log, 100)
	fleet, more, err := v.Fleet(t.Context(), 2)
	if err != nil || more || len(fleet) != 2 {
		t.Fatal(fleet, more, err)
	}
	for _, want := range []view.Named{{Project: "p", Instance: "a"}, {Project: "example.com:p", Instance: "b c"}} {
		if fleet[0] != want && fleet[1] != want {
			t.Errorf("%v is not in %v", want, fleet)
		}
	}
	if fleet, more, err = v.Fleet(t.Context(), 1); err != nil || !more || len(fleet) != 1 {
		t.Error(fleet, more, err)
	}
}
