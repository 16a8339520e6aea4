package intake_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// losing makes a request whose first PubAck is lost, lets others write meanwhile, and gives its answer.
func losing[T any](w world, ask func(context.Context) (T, error), meanwhile func()) (T, error) {
	w.t.Helper()
	lost := w.nats.Faults.Drop(1, bustest.PubAck)
	var got T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err = ask(w.t.Context())
	}()
	for _, wait := range []<-chan struct{}{lost.Hit(), done} {
		select {
		case <-wait:
		case <-time.After(pipelinetest.Patience):
			w.t.Fatal("no answer")
		}
		if meanwhile != nil {
			meanwhile()
			meanwhile = nil
		}
	}
	return got, err
}

// A change whose confirmation was lost is made once, and is not answered as somebody else's.
func TestPlan_LostPubAckChangesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	ctx := t.Context()
	if _, err := w.Plan(ctx, plan("orders", "0 1 * * *")); err != nil {
		t.Fatal(err)
	}
	ask := plan("orders", "0 2 * * *")
	ask.Change = func(_ events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
		if before.Generation != 1 { // as settingsVersion would
			return events.ScheduleConfig{}, fmt.Errorf("generation is %d", before.Generation)
		}
		return events.ScheduleConfig{Cron: "0 2 * * *"}, nil
	}
	s, err := losing(w, func(ctx context.Context) (events.Schedule, error) { return w.Plan(ctx, ask) }, nil)
	if err != nil || s.Generation != 2 || s.Config.Cron != "0 2 * * *" {
		t.Errorf("%+v, %v", s, err)
	}
	if diff := cmp.Diff([]string{"created-1", "updated-2"}, w.steps(s.Aggregate())); diff != "" {
		t.Error(diff)
	}
}

// The same when another change stands on top of it: that is not undone.
func TestPlan_LostPubAckUnderAnotherChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	rival := w.rival()
	s, err := losing(w, func(ctx context.Context) (events.Schedule, error) { return w.Plan(ctx, plan("orders", "0 1 * * *")) }, func() {
		if _, err := rival.Plan(t.Context(), plan("orders", "0 2 * * *")); err != nil {
			t.Error(err)
		}
	})
	if err != nil || len(s.Changes) != 1 || s.Changes[0].Generation != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if diff := cmp.Diff([]string{"created-1", "updated-2"}, w.steps(s.Aggregate())); diff != "" {
		t.Error(diff)
	}
	now, err := w.Schedule(t.Context(), "shop", "orders", "", events.Automated)
	if err != nil || now.Config.Cron != "0 2 * * *" {
		t.Errorf("%+v, %v", now, err)
	}
}

// A repeat with its key is the change that was made.
func TestPlan_RepeatWithItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	ask := plan("orders", "0 1 * * *")
	ask.Key = "k"
	for range 2 {
		if s, err := w.Plan(t.Context(), ask); err != nil || s.Generation != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestApply_LostPubAckUnderAnotherChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	rival := w.rival()
	type answer struct {
		events.Instance
		outcome string
	}
	got, err := losing(w, func(ctx context.Context) (answer, error) {
		i, outcome, err := w.Apply(ctx, applied("orders", "/data/b.db"))
		return answer{i, outcome}, err
	}, func() {
		if _, _, err := rival.Apply(t.Context(), applied("orders", "/data/c.db")); err != nil {
			t.Error(err)
		}
	})
	if err != nil || got.outcome != intake.Updated || got.Generation != 2 || got.Config.File != "/data/b.db" {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{"registered-1", "updated-2", "updated-3"}, w.steps(got.Aggregate())); diff != "" {
		t.Error(diff)
	}
	if now, err := w.Instance(t.Context(), "shop", "orders"); err != nil || now.Config.File != "/data/c.db" {
		t.Errorf("%+v, %v", now, err)
	}
}
