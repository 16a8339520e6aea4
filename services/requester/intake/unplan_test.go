package intake_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

func planned(t *testing.T, w world, cron string) events.Schedule {
	t.Helper()
	s, err := w.Plan(t.Context(), plan("orders", cron))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeleteSchedule_ItsNameCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	s := planned(t, w, "0 1 * * *")
	ask := intake.Unplan{Project: "shop", ScheduleID: s.ScheduleID}
	gone, err := w.DeleteSchedule(t.Context(), ask)
	if err != nil || gone.Generation != 2 || len(gone.Changes) != 2 || gone.Changes[1].Step != events.Deleted {
		t.Fatalf("%+v, %v", gone, err)
	}
	_, err = w.DeleteSchedule(t.Context(), ask)
	refused(t, "again", err, intake.ScheduleNotFound)
	_, err = w.ScheduleByID(t.Context(), "shop", s.ScheduleID)
	refused(t, "read", err, intake.ScheduleNotFound)
	if list, _, err := w.Schedules(t.Context(), "shop", "orders", "", 10); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	planned(t, w, "0 2 * * *")
	if diff := cmp.Diff([]string{"created-1", "deleted-2", "created-3"}, w.steps(s.Aggregate())); diff != "" {
		t.Error(diff)
	}
}

// Of those who take it out at once, one does, and the others are told that it is gone.
func TestDeleteSchedule_AtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	s := planned(t, w, "0 1 * * *")
	answers := make(chan error, 8)
	for range cap(answers) {
		go func() {
			_, err := w.DeleteSchedule(t.Context(), intake.Unplan{Project: "shop", ScheduleID: s.ScheduleID})
			answers <- err
		}()
	}
	done := 0
	for range cap(answers) {
		if err := <-answers; err == nil {
			done++
		} else {
			refused(t, "others", err, intake.ScheduleNotFound)
		}
	}
	if steps := w.steps(s.Aggregate()); done != 1 || len(steps) != 2 {
		t.Errorf("%d took it out: %v", done, steps)
	}
}

// A deletion whose confirmation was lost does not take out what was made since.
func TestDeleteSchedule_LostPubAckUnderAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	rival := w.rival()
	s := planned(t, w, "0 1 * * *")
	gone, err := losing(w, func(ctx context.Context) (events.Schedule, error) {
		return w.DeleteSchedule(ctx, intake.Unplan{Project: "shop", ScheduleID: s.ScheduleID})
	}, func() {
		if _, err := rival.Plan(t.Context(), plan("orders", "0 2 * * *")); err != nil {
			t.Error(err)
		}
	})
	if err != nil || gone.Changes[len(gone.Changes)-1].Step != events.Deleted {
		t.Fatalf("%+v, %v", gone, err)
	}
	if diff := cmp.Diff([]string{"created-1", "deleted-2", "created-3"}, w.steps(s.Aggregate())); diff != "" {
		t.Error(diff)
	}
}

// What is refused leaves the schedule as it was.
func TestPlan_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	s := planned(t, w, "0 1 * * *")
	for name, c := range map[string]events.ScheduleConfig{
		"no time":          {},
		"missed":           {Cron: "@daily", Missed: "TWICE"},
		"tries":            {Cron: "@daily", MaxAttempts: 21},
		"kept":             {Cron: "@daily", Retention: &events.Retention{Weekly: -1}},
		"overflow":         {Cron: "@daily", WindowSeconds: 1 << 62},
		"spread":           {Cron: "@daily", SpreadSeconds: -1},
		"window of months": {Cron: "0 0 1 * *", WindowSeconds: 30 * 24 * 3600}, // February has 28 days
	} {
		ask := plan("orders", "")
		ask.Change = func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) { return c, nil }
		_, err := w.Plan(t.Context(), ask)
		refused(t, name, err, intake.SchemaViolation)
	}
	ask := plan("orders", "@daily")
	ask.Database = "a\nb"
	_, err := w.Plan(t.Context(), ask)
	refused(t, "database", err, intake.NameInvalid)
	if steps := w.steps(s.Aggregate()); len(steps) != 1 {
		t.Errorf("%v", steps)
	}
}
