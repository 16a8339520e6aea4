package lifecycle_test

import (
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// TestSlotOf_CountsWhatShouldHaveRun: each outcome by the steps that lead to it, as its record has it afterwards.
func TestSlotOf_CountsWhatShouldHaveRun(t *testing.T) {
	t.Parallel()
	slot := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", RequestID: "rq_x", Trigger: events.Scheduled, DueTime: events.At(noon)}
	requested := slot
	requested.MaxAttempts = 1
	requested = advance(t, requested, events.Requested)
	started := advance(t, lifecycle.Claim(requested, noon, "ex"), events.Started)
	succeeded := advance(t, lifecycle.Complete(started, noon, lifecycle.Outcome{}), events.Succeeded)
	removed := func(b events.Backup) events.Backup {
		b = advance(t, lifecycle.AskDeletion(b, events.Deletion{Cause: "RETENTION"}), events.DeletionRequested)
		return advance(t, lifecycle.Remove(b, noon, 0), events.Deleted)
	}
	failed := advance(t, lifecycle.Fail(started, noon, &events.Failure{Code: events.Network}, nil, false), events.Failed)
	cancelled := advance(t, lifecycle.Stop(advance(t, lifecycle.AskCancel(started, events.Cancel{}), events.CancelRequested), noon, nil, false), events.Cancelled)
	won := advance(t, lifecycle.Complete(advance(t, lifecycle.AskCancel(started, events.Cancel{}), events.CancelRequested), noon, lifecycle.Outcome{}), events.Succeeded)
	overdue := slot
	overdue.Overdue = &events.OverdueNote{}
	overdue = advance(t, overdue, events.Overdue)
	late := started
	late.Overdue = &events.OverdueNote{Requested: true, Started: true}
	late = advance(t, late, events.Overdue)
	skipped := func(why string) events.Backup {
		b := slot
		b.Skip = &events.Skip{Reason: why}
		return advance(t, b, events.Skipped)
	}
	var slots lifecycle.Slots
	for name, c := range map[string]struct {
		b    events.Backup
		want lifecycle.SlotOutcome
	}{
		"requested":                {requested, lifecycle.SlotPending},
		"started":                  {started, lifecycle.SlotPending},
		"running past its window":  {late, lifecycle.SlotPending},
		"succeeded":                {succeeded, lifecycle.SlotSucceeded},
		"succeeded and removed":    {removed(succeeded), lifecycle.SlotSucceeded},
		"succeeded over a cancel":  {won, lifecycle.SlotSucceeded},
		"failed":                   {failed, lifecycle.SlotFailed},
		"failed and removed":       {removed(failed), lifecycle.SlotFailed},
		"cancelled":                {cancelled, lifecycle.SlotFailed},
		"nobody was there":         {overdue, lifecycle.SlotMissed},
		"nobody, and removed":      {removed(overdue), lifecycle.SlotMissed},
		"no room":                  {skipped("ALREADY_QUEUED"), lifecycle.SlotMissed},
		"the one before runs":      {skipped("PREVIOUS_STILL_RUNNING"), lifecycle.SlotMissed},
		"no changes":               {skipped("NO_CHANGES"), lifecycle.SlotSpared},
		"no changes, and removed":  {removed(skipped("NO_CHANGES")), lifecycle.SlotSpared},
		"stopped by its owner":     {skipped("INSTANCE_STOPPED"), lifecycle.SlotSpared},
		"a reason we do not know":  {skipped("SOMETHING_NEW"), lifecycle.SlotMissed},
		"not asked for by anybody": {removed(good(t)), ""},
	} {
		got, ok := lifecycle.SlotOf(c.b)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
		slots.Count(got)
	}
	want := lifecycle.Slots{Succeeded: 3, Failed: 3, Missed: 5, Pending: 3, Spared: 3}
	if rate, ok := slots.Rate(); slots != want || !ok || rate != 3.0/11 {
		t.Errorf("%+v, %v %v", slots, rate, ok)
	}
	if _, ok := (lifecycle.Slots{Pending: 2, Spared: 1}).Rate(); ok {
		t.Error("a rate of no due slots")
	}
}

func TestDataTime_IsThatOfTheData(t *testing.T) {
	t.Parallel()
	b := events.Backup{EnqueuedTime: events.At(noon)}
	if !lifecycle.DataTime(b).Equal(noon) {
		t.Error("not the enqueued time")
	}
	if b.StartTime = events.At(noon.Add(time.Minute)); !lifecycle.DataTime(b).Equal(noon.Add(time.Minute)) {
		t.Error("not the start")
	}
	if b.ConsistencyTime = events.At(noon.Add(2 * time.Minute)); !lifecycle.DataTime(b).Equal(noon.Add(2 * time.Minute)) {
		t.Error("not the consistency point")
	}
}
