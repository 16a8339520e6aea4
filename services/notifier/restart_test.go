package notifier

import (
	"testing"
	"time"
)

func TestNotifier_RestartLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	w.start()()
	want := w.backup("shop", "orders") // while nobody runs
	w.start()
	if g := receive(t, "a request", r.requests); g.Header.Get("webhook-id") != want.ID {
		t.Errorf("got %s", g.Header.Get("webhook-id"))
	}
	w.allEnded()
}

func TestNotifier_RestartBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.Delays[0] = 300 * time.Millisecond
	r := newReceiver(t, 500, 200)
	w.subscribe("shop", "a", r.URL)
	stop := w.start()
	w.backup("shop", "orders")
	receive(t, "the first attempt", r.requests)
	stop()
	w.start()
	if g := receive(t, "the second attempt", r.requests); g.attempt() != "2" {
		t.Errorf("attempt %s", g.attempt())
	}
	w.allEnded()
}

// A notifier that stored its deliveries and died before the ack: the event comes again.
func TestNotifier_EventMatchedTwiceIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	ev := w.backup("shop", "orders")
	for range 2 {
		if err := w.build().pipeline.Match(t.Context(), ev.Event); err != nil {
			t.Fatal(err)
		}
	}
	w.start() // matches it a third time
	receive(t, "a request", r.requests)
	w.allEnded()
	if ever, _ := w.deliveries(); ever != 1 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", ever, len(r.requests))
	}
}

func TestNotifier_SubscriptionTakenOutOfTheConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	ev := w.backup("shop", "orders")
	if err := w.build().pipeline.Match(t.Context(), ev.Event); err != nil {
		t.Fatal(err)
	}
	w.config.Subscriptions = nil
	w.start()
	w.allEnded()
	if len(r.requests) != 0 {
		t.Error("it was sent")
	}
}
