package schedule_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

func at(day, hour, minute int) time.Time {
	return time.Date(2027, 3, day, hour, minute, 0, 0, time.UTC)
}

func TestSlots_OneBackupADayOverTwoWeeks(t *testing.T) {
	t.Parallel()
	w := begin(t, 2, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "30 2 * * *", TimeZone: "Europe/Berlin", WindowSeconds: 3600, SpreadSeconds: 600})
	w.until(at(31, 12, 0)) // over the change to summer time
	want := []string{
		"03-22 01:30 SUCCESSFUL", "03-23 01:30 SUCCESSFUL", "03-24 01:30 SUCCESSFUL", "03-25 01:30 SUCCESSFUL", "03-26 01:30 SUCCESSFUL",
		"03-27 01:30 SUCCESSFUL", "03-28 01:00 SUCCESSFUL", "03-29 00:30 SUCCESSFUL", "03-30 00:30 SUCCESSFUL", "03-31 00:30 SUCCESSFUL",
	}
	if diff := cmp.Diff(want, w.outcomes()); diff != "" {
		t.Error(diff)
	}
	for _, b := range w.backups() {
		if b.Trigger != events.Scheduled || b.WindowStartTime != b.DueTime || b.WindowEndTime.Sub(b.DueTime.Time) != time.Hour || b.Door != "schedule" {
			t.Errorf("%+v", b)
		}
	}
}

func TestSlots_ThatANobodyWasThereFor(t *testing.T) {
	t.Parallel()
	for missed, want := range map[events.Missed][]string{
		"":                {"03-22 02:00 OVERDUE late", "03-23 02:00 OVERDUE late", "03-24 02:00 SUCCESSFUL late", "03-25 02:00 SUCCESSFUL"},
		events.MissedSkip: {"03-22 02:00 OVERDUE late", "03-23 02:00 OVERDUE late", "03-24 02:00 OVERDUE late", "03-25 02:00 SUCCESSFUL"},
		events.MissedAll:  {"03-22 02:00 SUCCESSFUL late", "03-23 02:00 SUCCESSFUL late", "03-24 02:00 SUCCESSFUL late", "03-25 02:00 SUCCESSFUL"},
	} {
		t.Run("missed "+string(missed), func(t *testing.T) {
			t.Parallel()
			w := begin(t, 1, "orders")
			w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Missed: missed})
			w.clock = at(24, 12, 0) // every service was away
			w.until(at(24, 12, 1))
			w.Hand.Auto()
			w.settle()
			w.until(at(25, 12, 0))
			if diff := cmp.Diff(want, w.outcomes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOverdue_IsRaisedAtItsTimeAndNamesWhatBlocked(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	blocker, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "acme", Instance: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	w.Await("acme", blocker.Backup.BackupID, events.Started)
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 4 * 3600, Missed: events.MissedSkip})
	w.until(at(22, 5, 59))
	if got := len(w.backups()); got != 1 {
		t.Fatalf("before its window has ended the slot is nothing yet: %d records", got)
	}
	w.until(at(22, 6, 30))
	slot := w.backups()[1]
	if slot.State != "OVERDUE" || slot.Overdue == nil || !slot.Overdue.SinceTime.Equal(at(22, 6, 0)) || slot.Overdue.BlockedByBackupID != blocker.Backup.BackupID ||
		slot.Overdue.Requested || slot.Overdue.Started || slot.EverRequested() {
		t.Errorf("%+v %+v", slot, slot.Overdue)
	}
	w.Hand.Auto()
	w.settle()
	w.until(at(23, 12, 0))
	next := w.backups()[2]
	if next.State != "SUCCESSFUL" || next.Overdue != nil {
		t.Errorf("%+v", next)
	}
}

func TestOverdue_OfOneThatStillRuns(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600})
	w.until(at(22, 2, 0))
	w.Await("acme", w.backups()[0].BackupID, events.Started)
	w.until(at(22, 3, 0))
	b := w.backups()[0]
	if b.State != "RUNNING" || b.Overdue == nil || !b.Overdue.Started || !b.Overdue.Requested {
		t.Errorf("%+v %+v", b, b.Overdue)
	}
}

func TestSlots_BusyInstanceIsWaitedForWithinTheWindow(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	blocker, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "acme", Instance: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	w.Await("acme", blocker.Backup.BackupID, events.Started)
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 4 * 3600})
	w.plan("orders", "hourly", events.ScheduleConfig{Cron: "0 * * * *"}) // without a window nothing is waited for
	w.until(at(22, 2, 30))
	w.Hand.Auto()
	w.Await("acme", blocker.Backup.BackupID, events.Succeeded)
	w.until(at(22, 2, 59))
	count := map[string]int{}
	for _, b := range w.backups() {
		said := string(b.State)
		if b.Skip != nil {
			said += " " + b.Skip.Reason
		}
		count[said]++
	}
	if count["SUCCESSFUL"] != 2 || count["SKIPPED PREVIOUS_STILL_RUNNING"] < 13 {
		t.Errorf("%v", count)
	}
}

func TestPause_AndUnpause_FireNothingBySurprise(t *testing.T) {
	t.Parallel()
	w := begin(t, 2, "orders")
	w.Hand.Auto()
	c := events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 4 * 3600, SpreadSeconds: 1800}
	w.plan("orders", "nightly", c)
	w.until(at(22, 12, 0))
	c.Paused = true
	w.plan("orders", "nightly", c)
	w.until(at(25, 2, 5)) // within the window of a slot, before its spread
	c.Paused = false
	w.plan("orders", "nightly", c)
	w.until(at(26, 12, 0))
	if diff := cmp.Diff([]string{"03-22 02:00 SUCCESSFUL", "03-26 02:00 SUCCESSFUL"}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}

// What was due and waited, for a busy instance or for its spread, when its schedule was paused, is not forgotten.
func TestPause_OfASlotThatWaits_SkipsItWithAWord(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	blocker, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "acme", Instance: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	w.Await("acme", blocker.Backup.BackupID, events.Started)
	busy := events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600}
	spread := events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 7200, SpreadSeconds: 7000}
	w.plan("orders", "busy", busy)
	w.plan("orders", "spread", spread)
	w.until(at(22, 2, 0))
	busy.Paused, spread.Paused = true, true
	w.clock = w.clock.Add(time.Second)
	w.plan("orders", "busy", busy)
	w.plan("orders", "spread", spread)
	w.until(at(24, 12, 0))
	var skipped []string
	for _, b := range w.backups() {
		if b.Skip != nil {
			skipped = append(skipped, b.DueTime.Format("01-02 15:04")+" "+b.Skip.Reason)
		}
	}
	if diff := cmp.Diff([]string{"03-22 02:00 SCHEDULE_PAUSED", "03-22 02:00 SCHEDULE_PAUSED"}, skipped); diff != "" || len(w.backups()) != 3 {
		t.Errorf("%d records: %s", len(w.backups()), diff)
	}
}

// A change of the schedule while a slot waits for a busy instance: one that touches no time goes on waiting, and is
// overdue at its time; one that does takes the slot back with a word. A pause that came and went before anybody
// looked changes nothing.
func TestChange_WhileASlotWaits_IsNeverSilent(t *testing.T) {
	t.Parallel()
	base := events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Missed: events.MissedSkip}
	for name, c := range map[string]struct {
		change func(w *world, c events.ScheduleConfig)
		want   string
	}{
		"retention": {func(w *world, c events.ScheduleConfig) {
			c.Retention = &events.Retention{KeepLast: 3}
			w.plan("orders", "nightly", c)
		}, "03-22 02:00 OVERDUE late"},
		"paused and resumed": {func(w *world, c events.ScheduleConfig) {
			paused := c
			paused.Paused = true
			w.plan("orders", "nightly", paused)
			w.clock = w.clock.Add(time.Second)
			w.plan("orders", "nightly", c)
		}, "03-22 02:00 OVERDUE late"},
		"paused and then changed": {func(w *world, c events.ScheduleConfig) {
			c.Paused = true
			w.plan("orders", "nightly", c)
			c.MaxAttempts = 2
			w.plan("orders", "nightly", c)
		}, "03-22 02:00 SKIPPED SCHEDULE_PAUSED"},
		"times": {func(w *world, c events.ScheduleConfig) {
			c.Cron = "0 5 * * *"
			w.plan("orders", "nightly", c)
		}, "03-22 02:00 SKIPPED SCHEDULE_CHANGED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, 1, "orders")
			blocker, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "acme", Instance: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			w.Await("acme", blocker.Backup.BackupID, events.Started)
			w.plan("orders", "nightly", base)
			w.until(at(22, 2, 10))
			w.clock = w.clock.Add(time.Second)
			c.change(w, base)
			w.until(at(22, 4, 0))
			got := w.outcomes()
			if len(got) != 2 || got[1] != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestChange_OfWhatIsNoTime_LosesNoSlot(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	c := events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 4 * 3600, SpreadSeconds: 3600, Retention: &events.Retention{KeepLast: 5}}
	w.plan("orders", "nightly", c)
	w.clock = at(22, 2, 0).Add(time.Second) // due, but it waits for its spread
	c.Retention = &events.Retention{KeepLast: 6}
	w.plan("orders", "nightly", c)
	w.until(at(22, 12, 0))
	if diff := cmp.Diff([]string{"03-22 02:00 SUCCESSFUL"}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}

func TestClock_SteppedEitherWay_EachSlotHasOneOutcome(t *testing.T) {
	t.Parallel()
	w := begin(t, 2, "orders")
	w.Hand.Auto()
	w.plan("orders", "hourly", events.ScheduleConfig{EverySeconds: 3600, WindowSeconds: 1800})
	w.until(at(21, 18, 10))
	w.clock = w.clock.Add(-2 * time.Hour)
	w.until(at(21, 20, 10))
	w.clock = w.clock.Add(2 * time.Hour)
	w.until(at(21, 23, 59))
	seen := map[string]int{}
	for _, b := range w.backups() {
		seen[b.DueTime.Format("15:04")]++
	}
	for hour := 13; hour <= 23; hour++ {
		if seen[fmt.Sprintf("%02d:00", hour)] != 1 {
			t.Errorf("%02d:00 has %d records", hour, seen[fmt.Sprintf("%02d:00", hour)])
		}
	}
}

func TestReconcile_ArmsWhatWasLost(t *testing.T) {
	t.Parallel()
	w := begin(t, 2, "a", "b", "c")
	w.Hand.Auto()
	for _, i := range []string{"a", "b"} {
		w.plan(i, "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600})
	}
	w.plan("c", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", Paused: true})
	w.until(at(22, 12, 0))
	w.timers.all = map[string]armed{} // the stream of timers was lost
	for _, s := range w.all {
		if err := s.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.timers.all); n != 4 { // a slot and a deadline each
		t.Errorf("%d timers", n)
	}
	w.until(at(23, 12, 0))
	if diff := cmp.Diff([]string{"03-22 02:00 SUCCESSFUL", "03-22 02:00 SUCCESSFUL", "03-23 02:00 SUCCESSFUL", "03-23 02:00 SUCCESSFUL"}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}

// A slot whose events were purged at the history limit is not made again when its timers are lost: its id is still taken.
func TestReconcile_MakesNoPurgedSlotAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	w.plan("orders", "yearly", events.ScheduleConfig{Cron: "0 2 22 3 *", WindowSeconds: 3600, Missed: events.MissedAll})
	w.until(at(22, 12, 0))
	made := w.backups()
	if len(made) != 1 {
		t.Fatalf("%d slots", len(made))
	}
	b := made[0]
	subject := events.Subject{Project: b.Project, Provider: b.Provider, Instance: b.Instance, Entity: events.Backups, ID: b.BackupID}
	if _, err := w.Bus.Purge(t.Context(), subject, 1<<40); err != nil {
		t.Fatal(err)
	}
	key := view.Key{Project: b.Project, Entity: events.Backups, ID: b.BackupID}
	docs, err := w.View.Load(t.Context(), []view.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	cp, err := w.View.Checkpoint(t.Context())
	if err == nil {
		err = w.View.Save(t.Context(), []view.Change{{Before: docs[0], After: view.Doc{Key: key}}}, cp)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.timers.all = map[string]armed{}
	w.clock = w.clock.Add(events.LeastHistory)
	if err := w.all[0].Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(w.clock.Add(24 * time.Hour))
	if again := w.outcomes(); len(again) > 0 || len(w.timers.all) != 2 {
		t.Errorf("made again: %v; %d timers", again, len(w.timers.all))
	}
}

func TestTicks_ThatComeTwice_DecideOnce(t *testing.T) { // case R8
	t.Parallel()
	w := begin(t, 3, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600})
	for day := 22; day <= 25; day++ {
		key, a, ok := w.timers.next(at(day, 2, 30))
		for ; ok; key, a, ok = w.timers.next(at(day, 2, 30)) {
			w.clock = a.at
			errs := make(chan error, len(w.all))
			for _, s := range w.all { // every replica at once
				go func() { errs <- s.Tick(t.Context(), key, a.data) }()
			}
			for range w.all {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			w.settle()
		}
	}
	requested := 0
	for _, ev := range w.Events("acme") {
		if ev.Step() == events.Requested {
			requested++
		}
	}
	if requested != 4 || len(w.backups()) != 4 {
		t.Errorf("%d requests, %d records of 4 slots", requested, len(w.backups()))
	}
}

func TestRetention_DeletesJustWhatThePreviewLists(t *testing.T) { // cloudsql.md case 37
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	for range 3 {
		r, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "acme", Instance: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		w.Await("acme", r.Backup.BackupID, events.Succeeded)
	}
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 7}})
	w.until(at(30, 12, 0)) // nine slots
	var onDemand, automated int
	for _, b := range w.backups() {
		if b.Trigger == events.Scheduled {
			automated++
			if b.DueTime.Before(at(24, 0, 0)) {
				t.Errorf("%s is still there", b.DueTime)
			}
		} else {
			onDemand++
		}
	}
	if automated != 7 || onDemand != 3 {
		t.Errorf("%d automated, %d on demand", automated, onDemand)
	}
	for _, ev := range w.Events("acme") {
		if ev.Step() == events.DeletionRequested {
			b, err := events.Decode[events.Backup](ev.Event)
			if err != nil || b.Deletion.Cause != "RETENTION" {
				t.Errorf("%+v, %v", b.Deletion, err)
			}
		}
	}
}

// What another requester has deleted is not counted among what is kept, however late the view is.
func TestRetention_KnowsWhatIsGone(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	sc := w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 3}})
	w.until(at(24, 12, 0))
	before := w.backups()
	if len(before) != 3 {
		t.Fatalf("%v", w.outcomes())
	}
	newest := w.Await("acme", before[2].BackupID, events.Succeeded)
	w.Tracker.Stop()
	if _, err := w.in.Delete(t.Context(), intake.Change{Caller: intake.Caller{Door: "native"}, Project: "acme", BackupID: before[1].BackupID}); err != nil {
		t.Fatal(err)
	}
	fewer := events.ScheduleConfig{Cron: sc.Config.Cron, WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 2}}
	if _, err := w.in.Plan(t.Context(), intake.Plan{Project: "acme", Instance: "orders", Name: "nightly",
		Change: func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) { return fewer, nil }}); err != nil {
		t.Fatal(err)
	}
	pruned := make(chan error, 1)
	go func() { pruned <- w.any().Happened(t.Context(), newest) }()
	w.Tracker.Start()
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	w.settle()
	if left := w.backups(); len(left) != 2 || left[0].BackupID != before[0].BackupID || left[1].BackupID != before[2].BackupID {
		t.Errorf("%v", w.outcomes())
	}
}

// late is an intake whose lists are of earlier.
type late struct {
	*intake.Intake
	list []events.Backup
}

func (l late) Backups(context.Context, string, string, string, int) ([]events.Backup, string, error) {
	return l.list, "", nil
}

// The newest that a policy leaves may be deleted while it decides: then nothing goes for it.
func TestRetention_WhenTheNewestGoesMeanwhile(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 2}})
	w.until(at(23, 12, 0))
	before := w.backups()
	if len(before) != 2 {
		t.Fatalf("%v", w.outcomes())
	}
	if _, err := w.in.Delete(t.Context(), intake.Change{Caller: intake.Caller{Door: "native"}, Project: "acme", BackupID: before[1].BackupID}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 1}})
	newest := w.Await("acme", before[1].BackupID, events.Succeeded)
	if err := schedule.New(late{w.in, before}, w.Bus, w.timers, w.now, quiet).Happened(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if left := w.backups(); len(left) != 1 || left[0].BackupID != before[0].BackupID {
		t.Errorf("%v", w.outcomes())
	}
}

// Of two requesters one may decide by what was there before the other's deletion failed: its next try has its time.
func TestRetention_AFailedDeletionKeepsItsPauseFromOtherRequesters(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 1}})
	w.until(at(22, 12, 0))
	soon := at(23, 1, 59) // its expiry will have passed
	if _, err := w.in.Amend(t.Context(), intake.Amend{Caller: intake.Caller{Door: "native"}, Project: "acme", BackupID: w.backups()[0].BackupID, ExpireTime: &soon}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	before := w.backups()
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "the storage is away", Retryable: true})
	w.until(at(23, 2, 0))
	now := w.backups()
	if len(before) != 1 || len(now) != 2 || now[0].State != lifecycle.DeletionFailed {
		t.Fatalf("%v", w.outcomes())
	}
	newest := w.Await("acme", now[1].BackupID, events.Succeeded)
	if err := schedule.New(late{w.in, []events.Backup{now[1], before[0]}}, w.Bus, w.timers, w.now, quiet).Happened(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.until(w.clock) // nothing is due
	if b := w.backups()[0]; b.State != lifecycle.DeletionFailed || b.Deletion.Try != now[0].Deletion.Try {
		t.Errorf("%s, try %d: was %d", b.State, b.Deletion.Try, now[0].Deletion.Try)
	}
}

func TestRetention_ADeletionThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 1}})
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "the storage is away", Retryable: true})
	w.until(at(23, 2, 1))
	if b := w.backups()[0]; b.State != "DELETION_FAILED" || b.Deletion.Try < 1 {
		t.Fatalf("%+v", b)
	}
	w.Hand.FailDeletions(nil)
	w.until(at(23, 12, 0))
	if all := w.backups(); len(all) != 1 || !all[0].DueTime.Equal(at(23, 2, 0)) {
		t.Errorf("%v", w.outcomes())
	}
}

// A deletion by policy that failed is not tried again while nothing newer is left.
func TestRetention_ARetryLeavesTheLast(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 1}})
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "the storage is away", Retryable: true})
	w.until(at(23, 2, 0))
	before := w.backups()
	if len(before) != 2 || before[0].State != "DELETION_FAILED" {
		t.Fatalf("%v", w.outcomes())
	}
	w.Hand.FailDeletions(nil)
	if _, err := w.in.Delete(t.Context(), intake.Change{Caller: intake.Caller{Door: "native"}, Project: "acme", BackupID: before[1].BackupID}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.until(at(23, 23, 0))
	if left := w.backups(); len(left) != 1 || left[0].BackupID != before[0].BackupID {
		t.Errorf("%v", w.outcomes())
	}
	w.until(at(25, 12, 0)) // two more
	if left := w.backups(); len(left) != 1 || !left[0].DueTime.Equal(at(25, 2, 0)) {
		t.Errorf("%v", w.outcomes())
	}
}

// A deletion whose caller was told that the backup is gone is tried again, under its own cause.
func TestDeletion_ThatWasSaidToBeDoneIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	r, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "acme", Instance: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	w.Await("acme", r.Backup.BackupID, events.Succeeded)
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "the storage is away", Retryable: true})
	if _, err := w.in.Delete(t.Context(), intake.Change{Caller: intake.Caller{Door: "spanner"}, Project: "acme", BackupID: r.Backup.BackupID, Insist: true}); err != nil {
		t.Fatal(err)
	}
	w.Await("acme", r.Backup.BackupID, events.DeletionFailed)
	w.Hand.FailDeletions(nil)
	w.settle()
	w.until(at(23, 12, 0))
	gone := w.Await("acme", r.Backup.BackupID, events.Deleted)
	b, err := events.Decode[events.Backup](gone.Event)
	if err != nil || b.Deletion.Cause != "USER" || b.Deletion.Try < 2 {
		t.Errorf("%+v, %v", b.Deletion, err)
	}
}

func TestExpiry_DeletesOnTime(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	r, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "acme", Instance: "orders", ExpireTime: at(25, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	w.Await("acme", r.Backup.BackupID, events.Succeeded)
	w.settle()
	w.until(at(24, 23, 59))
	if len(w.backups()) != 1 {
		t.Fatal("it is gone before its time")
	}
	later := at(26, 0, 0)
	if _, err := w.in.Amend(t.Context(), intake.Amend{Caller: intake.Caller{Door: "spanner"}, Project: "acme", BackupID: r.Backup.BackupID, ExpireTime: &later}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.until(at(25, 12, 0))
	if len(w.backups()) != 1 {
		t.Fatal("it was kept longer, and is gone")
	}
	w.until(at(26, 0, 1))
	if all := w.backups(); len(all) != 0 {
		t.Errorf("%v", w.outcomes())
	}
}

// behind is an intake whose view still shows a backup as it was.
type behind struct {
	*intake.Intake
	shown events.Backup
}

func (b behind) Backup(context.Context, string, string) (events.Backup, error) { return b.shown, nil }

// An expiry that was put off elsewhere a moment ago deletes nothing, and is armed for its new time.
func TestExpiry_PutOffWhereTheViewIsBehind(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	r, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "acme", Instance: "orders", ExpireTime: at(25, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Backup.BackupID
	done := w.Await("acme", id, events.Succeeded)
	w.settle()
	old, err := events.Decode[events.Backup](done.Event)
	if err != nil {
		t.Fatal(err)
	}
	key, later := "expire."+id, at(26, 0, 0)
	due := w.timers.all[key]
	if _, err := w.in.Amend(t.Context(), intake.Amend{Caller: intake.Caller{Door: "spanner"}, Project: "acme", BackupID: id, ExpireTime: &later}); err != nil {
		t.Fatal(err)
	}
	w.clock = at(25, 0, 1)
	if err := schedule.New(behind{w.in, old}, w.Bus, w.timers, w.now, quiet).Tick(t.Context(), key, due.data); err != nil {
		t.Fatal(err)
	}
	for _, ev := range w.Events("acme") {
		if ev.Step() == events.DeletionRequested {
			t.Errorf("%s: it was put off", ev.ID)
		}
	}
	if armed := w.timers.all[key]; !armed.at.Equal(later) {
		t.Errorf("armed for %s, want %s", armed.at, later)
	}
}

// A deletion by policy that failed is not tried again once somebody has put off the expiry.
func TestExpiry_PutOffAfterItsDeletionFailed(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	w.Hand.Auto()
	r, err := w.in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "acme", Instance: "orders", ExpireTime: at(25, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Backup.BackupID
	w.Await("acme", id, events.Succeeded)
	w.settle()
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "the storage is away", Retryable: true})
	w.until(at(25, 0, 1))
	w.Await("acme", id, events.DeletionFailed)
	w.Hand.FailDeletions(nil)
	later := at(26, 0, 0)
	if _, err := w.in.Amend(t.Context(), intake.Amend{Caller: intake.Caller{Door: "spanner"}, Project: "acme", BackupID: id, ExpireTime: &later}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.until(at(25, 23, 0))
	if len(w.backups()) != 1 {
		t.Fatal("it was kept longer, and is gone")
	}
	w.until(at(26, 1, 0))
	if len(w.backups()) != 0 {
		t.Errorf("%v", w.outcomes())
	}
}

func TestDeletedSchedule_FiresAndDeletesNothingMore(t *testing.T) {
	t.Parallel()
	w := begin(t, 1, "orders")
	sc := w.plan("orders", "nightly", events.ScheduleConfig{Cron: "0 2 * * *", WindowSeconds: 3600, Retention: &events.Retention{KeepLast: 1}})
	w.Hand.Auto()
	w.until(at(22, 12, 0))
	w.Hand.Pause()
	w.until(at(23, 2, 0)) // its backup is at work when the schedule goes
	running := w.backups()[1]
	w.Await("acme", running.BackupID, events.Started)
	if _, err := w.in.DeleteSchedule(t.Context(), intake.Unplan{Project: "acme", ScheduleID: sc.ScheduleID}); err != nil {
		t.Fatal(err)
	}
	w.Hand.Auto()
	w.settle()
	w.until(at(25, 12, 0))
	if diff := cmp.Diff([]string{"03-22 02:00 SUCCESSFUL", "03-23 02:00 SUCCESSFUL"}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}
