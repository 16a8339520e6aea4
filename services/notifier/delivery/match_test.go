package delivery

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// only wants what its name says.
type only string

func (o only) Wants(ev events.Event) bool { return ev.Type == string(o) }

func TestMatch_OneDeliveryForEachSubscriptionThatWantsTheEvent(t *testing.T) {
	t.Parallel()
	ev := vector(t)
	a, b := subscribe(t, "shop", "a", always(200)), subscribe(t, "shop", "b", always(200))
	other, bored := subscribe(t, "other", "a", always(200)), subscribe(t, "shop", "bored", always(200))
	bored.Interest = only("dev.backupbus.backup.failed.v1")
	w := newWorld(t, a, b, other, bored)
	for range 2 { // a repeat makes the same deliveries, which the queue drops
		if err := w.Match(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, d := range w.queued {
		got = append(got, d.SubscriptionID)
		if string(d.Body) != string(longBody(t)) {
			t.Error("the body is not the event in structured mode")
		}
	}
	if diff := cmp.Diff([]string{a.ID, b.ID, a.ID, b.ID}, got); diff != "" {
		t.Error(diff)
	}
	if w.queued[0].ID != w.queued[2].ID || w.queued[0].ID == w.queued[1].ID {
		t.Errorf("ids: %v", w.queued)
	}
}

func TestMatch_EventsAboutASubscriptionGoToTheOthersOnly(t *testing.T) {
	t.Parallel()
	a, b := subscribe(t, "shop", "a", always(200)), subscribe(t, "shop", "b", always(200))
	w := newWorld(t, a, b)
	if err := w.Match(t.Context(), deadOf(t, a)); err != nil {
		t.Fatal(err)
	}
	if len(w.queued) != 1 || w.queued[0].SubscriptionID != b.ID {
		t.Errorf("want one delivery to b, got %v", w.queued)
	}
	if about(events.Event{Subject: "subscriptions/" + a.ID + "x/deliveries/d"}, a.ID) || !about(events.Event{Subject: "subscriptions/" + a.ID}, a.ID) {
		t.Error("another subscription is taken for this one, or an event of its own is not")
	}
}

func TestMatch_ProgressIsNeverDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, subscribe(t, "shop", "a", always(200)))
	ev := vector(t)
	ev.Type = "dev.backupbus.backup.progress.v1"
	if err := w.Match(t.Context(), ev); err != nil || len(w.queued) != 0 {
		t.Errorf("%v, %v", w.queued, err)
	}
}

type full struct{}

func (full) Put(context.Context, Delivery) error { return errors.New("stream is full") }

func TestMatch_ErrorOfTheQueueComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, subscribe(t, "shop", "a", always(200)))
	w.Queue = full{}
	if w.Match(t.Context(), vector(t)) == nil {
		t.Error("the event would be acked although its delivery is not stored")
	}
}

// deadOf is delivery.dead_lettered about a delivery to s.
func deadOf(t testing.TB, s Subscription) events.Event {
	t.Helper()
	id, err := events.DeliveryID(s.ID, "//bus/x", "e")
	if err != nil {
		t.Fatal(err)
	}
	d := events.DeadDelivery{Project: s.Project, DeliveryID: id, SubscriptionID: s.ID, SinkOrigin: "https://x:443",
		EventID: "e", EventType: "t", EventSource: "s", EventSequence: "0000000001", Attempts: 1,
		FirstAttemptTime: events.At(noon), LastAttemptTime: events.At(noon), LastOutcome: "GONE", Reason: "GONE"}
	ev, err := events.New("bus.local", d, events.DeadLettered, id+"-dead_lettered", 1, noon, events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}
