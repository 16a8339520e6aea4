package intake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// A restore into an instance has it until it ends, for whoever asks for the instance as a whole (PD-5).
func TestLock_AnOpenRestoreHasItsTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders", "copy")
	ctx := t.Context()
	b := w.taken("orders")
	old := w.taken("copy")
	r, err := w.Restore(ctx, intake.Restore{Caller: intake.Caller{Door: "native"}, Project: "shop", BackupID: b.BackupID, Target: events.Target{Instance: "copy"}})
	if err != nil {
		t.Fatal(err)
	}
	drop := intake.Change{Caller: intake.Caller{Door: "cloudsql"}, Project: "shop", BackupID: old.BackupID, WholeInstance: true}
	out := intake.Deregister{Project: "shop", Instance: "copy"}
	refused(t, "create", second(w.Create(ctx, create("copy"))), intake.PendingBackupExists)
	refused(t, "delete", second(w.Delete(ctx, drop)), intake.PendingBackupExists)
	refused(t, "change of settings", second(w.Plan(ctx, plan("copy", "0 1 * * *"))), intake.PendingBackupExists)
	refused(t, "deregistration", second(w.Deregister(ctx, out)), intake.PendingBackupExists)
	if _, err := w.Plan(ctx, plan("orders", "0 1 * * *")); err != nil {
		t.Errorf("of the instance that is read: %v", err)
	}
	if _, err := w.RequestSlot(ctx, slot("copy", "sqlite")); err != nil {
		t.Errorf("a slot of a provider without that lock: %v", err)
	}
	w.endRestore(r.Restore)
	for _, open := range active(t, w, "copy") { // the slot's
		w.move(open, events.Failed, 0, func(b events.Backup) events.Backup {
			return lifecycle.Fail(b, time.Now(), &events.Failure{Code: events.NotFound, Category: events.ByUser}, nil, false)
		})
	}
	for what, err := range map[string]error{
		"change of settings": second(w.Plan(ctx, plan("copy", "0 1 * * *"))),
		"create":             second(w.Create(ctx, create("copy"))),
	} {
		if err != nil {
			t.Errorf("%s after the restore: %v", what, err)
		}
	}
}

// A slot of a Cloud SQL instance waits for the restore.
func TestLock_SlotOfCloudSQLWaitsForTheRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if _, _, err := w.Apply(ctx, intake.Apply{Project: "shop", Provider: "cloudsql", Instance: "orders"}); err != nil {
		t.Fatal(err)
	}
	b := w.taken("orders")
	if _, err := w.Restore(ctx, intake.Restore{Caller: intake.Caller{Door: "native"}, Project: "shop", BackupID: b.BackupID, Target: events.Target{Instance: "orders"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RequestSlot(ctx, slot("orders", "cloudsql")); !isBusy(err) {
		t.Errorf("%v, want Busy", err)
	}
}

// A change of settings is decided on the log, not on a view that is behind.
func TestLock_SettingsSeeWhatTheViewHasNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	ctx := t.Context()
	behind, err := view.FromLog(ctx, w.bus, "shop", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	late := w.over(w.bus, behind)
	w.apply("orders", "/data/b.db")
	ask := plan("orders", "0 1 * * *")
	decide, seen := ask.Change, 0
	ask.Change = func(i events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
		seen = i.Generation
		return decide(i, before)
	}
	if _, err := late.Plan(ctx, ask); err != nil || seen != 2 {
		t.Errorf("decided on generation %d of the instance: %v", seen, err)
	}
	if _, err := w.Create(ctx, create("orders")); err != nil {
		t.Fatal(err)
	}
	refused(t, "while a backup waits", second(late.Plan(ctx, plan("orders", "0 2 * * *"))), intake.PendingBackupExists)
}

func TestDeregister(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	ctx := t.Context()
	out := intake.Deregister{Project: "shop", Instance: "orders"}
	r, err := w.Create(ctx, create("orders"))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "while a backup waits", second(w.Deregister(ctx, out)), intake.PendingBackupExists)
	if _, err := w.Cancel(ctx, intake.Change{Project: "shop", BackupID: r.Backup.BackupID}); err != nil {
		t.Fatal(err)
	}
	gone, err := w.Deregister(ctx, out)
	if err != nil || gone.Generation != 2 {
		t.Fatalf("%+v, %v", gone, err)
	}
	refused(t, "again", second(w.Deregister(ctx, out)), intake.InstanceNotFound)
	refused(t, "get", second(w.Instance(ctx, "shop", "orders")), intake.InstanceNotFound)
	refused(t, "create", second(w.Create(ctx, create("orders"))), intake.InstanceNotFound)
	refused(t, "change of settings", second(w.Plan(ctx, plan("orders", "0 1 * * *"))), intake.InstanceNotFound)
	if _, err := w.Backup(ctx, "shop", r.Backup.BackupID); err != nil {
		t.Errorf("its backups stay: %v", err)
	}
	if back := w.apply("orders", "/data/orders.db"); back.Generation != 3 {
		t.Errorf("the name again: %+v", back)
	}
	if diff := cmp.Diff([]string{"registered-1", "deregistered-2", "registered-3"}, w.steps(gone.Aggregate())); diff != "" {
		t.Error(diff)
	}
}

func TestDeregister_LostPubAckUnderAnotherChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	rival := w.rival()
	gone, err := losing(w, func(ctx context.Context) (events.Instance, error) {
		return w.Deregister(ctx, intake.Deregister{Project: "shop", Instance: "orders"})
	}, func() {
		if _, _, err := rival.Apply(t.Context(), applied("orders", "/data/c.db")); err != nil {
			t.Error(err)
		}
	})
	if err != nil || gone.Generation != 2 {
		t.Fatalf("%+v, %v", gone, err)
	}
	if diff := cmp.Diff([]string{"registered-1", "deregistered-2", "registered-3"}, w.steps(gone.Aggregate())); diff != "" {
		t.Error(diff)
	}
}

// The number of a removed schedule goes on, so that settingsVersion never falls back.
func TestGenerations_OfARemovedSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	ctx := t.Context()
	s, err := w.Plan(ctx, plan("orders", "0 1 * * *"))
	if err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	if _, err := w.bus.Append(ctx, events.Draft{Aggregate: s.Aggregate(), Step: events.Deleted, At: time.Now(), EventID: events.EventID(s.ScheduleID, events.Schedules, events.Deleted, 2),
		Decide: func(context.Context, events.Prior) (events.Payload, error) { return s, nil }}); err != nil {
		t.Fatal(err)
	}
	if list, err := w.Automated(ctx, "shop", "orders"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	got, err := w.Generations(ctx, "shop", "none", "orders")
	if diff := cmp.Diff(map[string]int{"orders": 2}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if s, err := w.Plan(ctx, plan("orders", "0 1 * * *")); err != nil || s.Generation != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

func slot(instance, provider string) intake.Slot {
	due := time.Date(2026, 1, 15, 2, 0, 0, 0, time.UTC)
	id, _ := events.ScheduleID("shop", instance, "", events.Automated)
	return intake.Slot{Due: due, End: due.Add(time.Hour), Schedule: events.Schedule{Project: "shop", ScheduleID: id, Name: events.Automated, Provider: provider, Instance: instance}}
}

func isBusy(err error) bool {
	var by intake.Busy
	busy := errors.As(err, &by)
	return busy
}

func active(t *testing.T, w world, instance string) []events.Backup {
	t.Helper()
	all, _, err := w.Backups(t.Context(), "shop", instance, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var open []events.Backup
	for _, b := range all {
		if lifecycle.Occupies(b, true) {
			open = append(open, b)
		}
	}
	return open
}

// endRestore ends a restore as an executor does.
func (w world) endRestore(r events.Restore) {
	w.t.Helper()
	if _, err := w.bus.Append(w.t.Context(), events.Draft{Aggregate: r.Aggregate(), Step: events.Failed, At: time.Now(), EventID: events.EventID(r.RestoreID, events.Restores, events.Failed, 0),
		Decide: func(context.Context, events.Prior) (events.Payload, error) {
			return lifecycle.AdvanceRestore(lifecycle.FailRestore(r, time.Now(), &events.Failure{Code: events.NotFound, Category: events.ByUser}), events.Failed)
		}}); err != nil {
		w.t.Fatal(err)
	}
}
