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

// A notifier that stored its deliveries and died before it noted how far it was: the events come again.
func TestNotifier_EventMatchedTwiceIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	stop := w.start()
	w.backup("shop", "orders")
	receive(t, "a request", r.requests)
	w.allEnded()
	stop()
	e, _, err := w.build().state.Get(t.Context(), positionKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.build().state.Put(t.Context(), positionKey, []byte(`{"events":0,"log":0}`), e.Revision); err != nil {
		t.Fatal(err)
	}
	w.start()
	again := w.backup("shop", "orders")
	if g := receive(t, "a request", r.requests); g.Header.Get("webhook-id") != again.ID {
		t.Errorf("sent again: %s", g.Header.Get("webhook-id"))
	}
	eventually(t, "both are delivered", func() bool { return w.states()["DELIVERED"] == 2 })
	if n := len(w.deliveries()); n != 2 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", n, len(r.requests))
	}
}

func TestNotifier_SubscriptionTakenOutOfTheConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.Delays[0] = 10 * time.Minute
	r := newReceiver(t, 500)
	w.subscribe("shop", "a", r.URL)
	stop := w.start()
	w.backup("shop", "orders")
	receive(t, "the first attempt", r.requests)
	stop()
	w.config.Subscriptions = nil
	w.start()
	w.allEnded()
	if states := w.states(); states["SUPPRESSED"] != 1 || len(r.requests) != 0 {
		t.Errorf("%v, %d requests", states, len(r.requests))
	}
}

// Of two notifiers one is active; the other goes on where it stopped.
func TestNotifier_AnotherReplicaTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	stop := w.start()
	w.start()
	for range 3 {
		w.backup("shop", "orders")
	}
	for range 3 {
		receive(t, "a request", r.requests)
	}
	stop()
	w.backup("shop", "orders")
	receive(t, "a request of the other one", r.requests)
	w.allEnded()
	if states := w.states(); states["DELIVERED"] != 4 || len(r.requests) != 0 {
		t.Errorf("%v, %d more requests", states, len(r.requests))
	}
}
