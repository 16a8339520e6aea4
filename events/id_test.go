package events_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// The example of events.md 1.4 (case E2).
func TestIDs_ContractExample(t *testing.T) {
	t.Parallel()
	type ids struct{ Request, Backup, Restore, Instance, Schedule string }
	make := func(o events.Origin) (ids, error) {
		var v ids
		var err error
		for _, f := range []func() error{
			func() (e error) { v.Request, e = events.RequestID("shop", o); return },
			func() (e error) { v.Backup, e = events.BackupID("shop", o); return },
			func() (e error) { v.Restore, e = events.RestoreID("shop", o); return },
			func() (e error) { v.Instance, e = events.InstanceID("shop", "cloudsql", "orders-db"); return },
			func() (e error) { v.Schedule, e = events.ScheduleID("shop", "orders-db", "", "nightly"); return },
		} {
			if e := f(); e != nil {
				err = e
			}
		}
		return v, err
	}
	got, err := make(events.Origin{Source: "https://ops.example.com/cron/nightly", Key: "nightly-2026-01-15"})
	if err != nil {
		t.Fatal(err)
	}
	want := ids{
		Request: "rq_plzjtrhp2jm424uw5tkhrkkx6u", Backup: "bk_oa2dry5sym5ypupjn6gheq6nlr",
		Restore: "rs_fgzjsl4vlaxef4vznlkfsykbjs", Instance: "in_haaqunh6fyq6k6weyzrgmiqkud",
		Schedule: "sc_ey5mmr377gmygv4dshpcvnko46",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	source, err := events.Aggregate{Project: "shop", Instance: "orders-db", Entity: events.Schedules, ID: want.Schedule}.Source("bus.example.com")
	if err != nil {
		t.Fatal(err)
	}
	scheduled, err := make(events.Origin{Source: source, Key: "2026-01-15T02:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	if scheduled.Request != "rq_qjdqjadibeflwmn2gdetytlmlh" || scheduled.Backup != "bk_doqupcrpzxntqom3jot2uvyxno" {
		t.Errorf("scheduled ids %q, %q", scheduled.Request, scheduled.Backup)
	}
	dialects := events.NewBackupIDs(want.Backup, "", time.Date(2026, 1, 15, 2, 0, 0, 250e6, time.UTC))
	if diff := cmp.Diff(events.BackupIDs{
		CloudSQL: "1768442400250", GaussDB: "ff7f17fb48b84e41edd4e9316c640939br07",
		Spanner: want.Backup, Operation: "365195a3-3cf8-4ba2-806f-8902a7d5ed4f",
	}, dialects); diff != "" {
		t.Error(diff)
	}
}

func TestIDs_RefuseALineFeed(t *testing.T) {
	t.Parallel()
	if id, err := events.BackupID("shop", events.Origin{Source: "a\nb", Key: "c"}); err == nil {
		t.Errorf("BackupID = %q; a part with a line feed could stand for two parts", id)
	}
}

func TestEventID_NumbersAsInTheContract(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		id     string
		entity events.Entity
		step   events.Step
		n      int
		want   string
	}{
		{"bk_x", events.Backups, events.Requested, 0, "bk_x-requested"},
		{"bk_x", events.Backups, events.Started, 2, "bk_x-started-2"},
		{"bk_x", events.Backups, events.Failed, 0, "bk_x-failed-0"},
		{"bk_x", events.Backups, events.DeletionRequested, 1, "bk_x-deletion_requested-1"},
		{"bk_x", events.Backups, events.Deleted, 0, "bk_x-deleted"},
		{"rs_x", events.Restores, events.Started, 1, "rs_x-started"},
		{"in_x", events.Instances, events.Registered, 1, "in_x-registered-1"},
		{"dl_x", events.Deliveries, events.DeadLettered, 0, "dl_x-dead_lettered"},
	} {
		if got := events.EventID(row.id, row.entity, row.step, row.n); got != row.want {
			t.Errorf("EventID = %q, want %q", got, row.want)
		}
	}
}

func TestFreshKey_IsLongAndNew(t *testing.T) {
	t.Parallel()
	a, b := events.FreshKey(), events.FreshKey()
	if len(a) != 26 || a == b {
		t.Errorf("FreshKey gave %q and %q", a, b)
	}
}
