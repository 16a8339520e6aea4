package intake_test

import (
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

func (w world) server(provider string) {
	w.t.Helper()
	if _, _, err := w.Apply(w.t.Context(), intake.Apply{Project: "shop", Provider: provider, Instance: "server"}); err != nil {
		w.t.Fatal(err)
	}
}

func of(database, name string) intake.Create {
	return intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "shop", Instance: "server", Database: database, SpannerID: name}
}

// A name is free as soon as its backup no longer stands, and not before, however far the view is behind.
func TestCreate_NameOfTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server("spanner")
	ctx := t.Context()
	r, err := w.Create(ctx, of("d1", "mine"))
	if err != nil {
		t.Fatal(err)
	}
	if b := r.Backup; b.IDs.Spanner != "mine" || b.ConsistencyTime != b.EnqueuedTime {
		t.Errorf("%+v", b)
	}
	refused(t, "another database", second(w.Create(ctx, of("d2", "mine"))), intake.NameTaken)
	refused(t, "a form of ours", second(w.Create(ctx, of("d2", "bk_abcdefghijklmnopqrstuvwxyz"))), intake.NameInvalid)
	refused(t, "no database", second(w.Create(ctx, of("", "other"))), intake.NameInvalid)
	refused(t, "a schedule of none", second(w.Plan(ctx, plan("server", "0 1 * * *"))), intake.NameInvalid)
	if _, err := w.Cancel(ctx, intake.Change{Project: "shop", BackupID: r.Backup.BackupID}); err != nil {
		t.Fatal(err)
	}
	if r, err = w.Create(ctx, of("d2", "mine")); err != nil {
		t.Fatal(err)
	}
	b := w.move(r.Backup, events.Started, 1, func(b events.Backup) events.Backup { return lifecycle.Claim(b, time.Now(), "ex") })
	w.move(b, events.Failed, 1, func(b events.Backup) events.Backup {
		return lifecycle.Fail(b, time.Now(), &events.Failure{Code: events.NotFound, Category: events.ByUser}, nil, false)
	})
	if _, err := w.Create(ctx, of("d3", "mine")); err != nil {
		t.Error(err)
	}
	found, err := w.BackupBySpanner(ctx, "shop", "server", "mine")
	if err != nil || found.Database != "d3" {
		t.Errorf("%+v, %v", found, err)
	}
}

// A slot gets from a schedule of Spanner how long its backup is kept, and the time that it is of; one of the same
// database that somebody asked for is not in its way.
func TestSlot_OfASpannerSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server("spanner")
	ctx := t.Context()
	if _, err := w.Create(ctx, of("db", "mine")); err != nil {
		t.Fatal(err)
	}
	s := slot("server", "spanner")
	s.Schedule.Database = "db"
	s.Schedule.Config.Spanner = &events.SpannerSettings{RetentionSeconds: 86400, Encryption: &events.Encryption{Type: "PROVIDER_MANAGED"}}
	b, err := w.RequestSlot(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if b.ExpireTime.Sub(b.EnqueuedTime.Time) != 24*time.Hour || !b.ConsistencyTime.Equal(s.Due) || b.Encryption == nil {
		t.Errorf("%+v", b)
	}
}

// Who stands in whose way (events.md 3.2).
func TestExcludes(t *testing.T) {
	t.Parallel()
	backup := func(provider, database string, trigger events.Trigger) events.Backup {
		return events.Backup{Provider: provider, Database: database, Trigger: trigger, State: lifecycle.Running, MaxAttempts: 1}
	}
	for _, c := range []struct {
		provider, next, there string
		trigger               events.Trigger
		want                  bool
	}{
		{"spanner", "a", "a", events.OnDemand, true}, {"spanner", "a", "b", events.OnDemand, false}, {"spanner", "a", "a", events.Scheduled, false},
		{"gaussdb", "a", "b", events.OnDemand, true}, {"mysql", "a", "b", events.OnDemand, false}, {"mysql", "a", "a", events.Scheduled, true},
		{"mysql", "", "b", events.OnDemand, true}, {"mysql", "a", "", events.OnDemand, true},
	} {
		if got := lifecycle.Excludes(backup(c.provider, c.next, events.OnDemand), backup(c.provider, c.there, c.trigger), false); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
