package delivery

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/backupbus/backupbus/events"
)

// W2: retries keep id and body; timestamp and signature are the attempt's.
func TestDeliver_RetriesAreSignedAnew(t *testing.T) {
	t.Parallel()
	e := always(500)
	s, ev := subscribe(t, "shop", "a", e), vector(t)
	w := newWorld(t, s)
	for n := 1; n <= 3; n++ {
		var later Later
		if err := w.deliver(t.Context(), t, s, ev, n); !errors.As(err, &later) {
			t.Fatalf("want Later, got %v", err)
		}
		w.clock.advance(later.After)
	}
	wh, err := standardwebhooks.NewWebhook(secretA)
	if err != nil {
		t.Fatal(err)
	}
	signatures := map[string]bool{}
	for i, r := range e.requests() {
		if r.EventID != ev.ID || string(r.Body) != string(longBody(t)) || r.Attempt != i+1 {
			t.Errorf("request %d: id %s, attempt %d", i, r.EventID, r.Attempt)
		}
		h := http.Header{}
		h.Set("webhook-id", r.EventID)
		h.Set("webhook-timestamp", strconv.FormatInt(r.At.Unix(), 10))
		h.Set("webhook-signature", r.Signature)
		if err := wh.VerifyIgnoringTimestamp(r.Body, h); err != nil {
			t.Error(err)
		}
		signatures[r.Signature] = true
	}
	if len(signatures) != 3 {
		t.Errorf("%d signatures in three attempts", len(signatures))
	}
}

// W5: after 429 with Retry-After nothing is sent to the endpoint, and waiting uses no attempts.
func TestDeliver_RetryAfterPausesTheWholeEndpoint(t *testing.T) {
	t.Parallel()
	e := &endpoint{answer: func(context.Context, Request) Answer { return Answer{Status: 429, RetryAfter: "120"} }}
	free := always(200)
	s, other := subscribe(t, "shop", "a", e), subscribe(t, "shop", "b", free)
	w := newWorld(t, s, other)
	first, second := vector(t), vector(t)
	second.ID += "-b"
	wantLater := func(err error, after time.Duration) {
		t.Helper()
		var later Later
		if !errors.As(err, &later) || later.After != after {
			t.Fatalf("want Later in %s, got %v", after, err)
		}
	}
	wantLater(w.deliver(t.Context(), t, s, first, 1), 2*time.Minute)
	w.clock.advance(30 * time.Second)
	for n := 1; n <= 2; n++ {
		wantLater(w.deliver(t.Context(), t, s, second, n), 90*time.Second)
	}
	if err := w.deliver(t.Context(), t, other, second, 1); err != nil {
		t.Errorf("another subscription waits too: %v", err)
	}
	if n := len(e.requests()); n != 1 {
		t.Fatalf("%d requests during the pause", n)
	}
	w.clock.advance(90 * time.Second)
	wantLater(w.deliver(t.Context(), t, s, second, 3), 2*time.Minute)
	if got := e.requests(); len(got) != 2 || got[1].Attempt != 1 {
		t.Errorf("want a first attempt of the second delivery, got %+v", got)
	}
}

// W6, the DEAD part; 413 and 415 are the same.
func TestDeliver_FinalAnswersAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for status, reason := range map[int]string{410: "GONE", 413: "PERMANENT_STATUS", 415: "PERMANENT_STATUS"} {
		s, ev := subscribe(t, "shop", "a", always(status)), vector(t)
		w := newWorld(t, s)
		if err := w.deliver(t.Context(), t, s, ev, 1); err != nil {
			t.Fatal(err)
		}
		if len(w.dead) != 1 {
			t.Fatalf("%d: %d events", status, len(w.dead))
		}
		d := w.dead[0]
		if d.Reason != reason || d.LastStatusCode != status || d.Attempts != 1 || d.EventID != ev.ID ||
			d.FirstAttemptTime != events.At(noon) || d.Project != "shop" {
			t.Errorf("%d: %+v", status, d)
		}
		if c := w.drafts[0].Cause; c.CausationID != ev.ID || c.CorrelationID != ev.CorrelationID || c.Trace.Parent != ev.TraceParent {
			t.Errorf("%d: cause %+v", status, c)
		}
	}
}

func TestDeliver_DeadEventAboutADeliveryMakesNoOther(t *testing.T) {
	t.Parallel()
	a, b := subscribe(t, "shop", "a", always(200)), subscribe(t, "shop", "b", always(410))
	w := newWorld(t, a, b)
	if err := w.deliver(t.Context(), t, b, deadOf(t, a), 1); err != nil {
		t.Fatal(err)
	}
	if len(w.dead) != 0 || w.counts[Gone] != 1 {
		t.Errorf("events %v, counts %v", w.dead, w.counts)
	}
}

func TestDeliver_EndsWithoutARequestIfTheSubscriptionIsGone(t *testing.T) {
	t.Parallel()
	e := always(200)
	w := newWorld(t)
	if err := w.deliver(t.Context(), t, subscribe(t, "shop", "a", e), vector(t), 1); err != nil || len(e.requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(e.requests()))
	}
}

func TestDeliver_UnreadableIsToldAsSuch(t *testing.T) {
	t.Parallel()
	s := subscribe(t, "shop", "a", always(200))
	w := newWorld(t, s)
	err := w.Deliver(t.Context(), Received{Delivery{ID: "dl_x", SubscriptionID: s.ID, Body: []byte("{")}, 1})
	if !errors.Is(err, events.ErrUnreadable) {
		t.Errorf("got %v", err)
	}
}

// A stop lets a request finish that answers in time, and gives up on one that does not, without a verdict.
func TestDeliver_AStopLetsTheRequestFinish(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		took time.Duration
		ends bool
	}{{"in time", 9 * time.Second, true}, {"too late", 11 * time.Second, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := make(chan struct{})
				e := &endpoint{answer: func(ctx context.Context, _ Request) Answer {
					close(began)
					select {
					case <-time.After(c.took):
						return Answer{Status: 200}
					case <-ctx.Done():
						return Answer{Failure: Reset, Err: ctx.Err()}
					}
				}}
				s := subscribe(t, "shop", "a", e)
				w := newWorld(t, s)
				ctx, stop := context.WithCancel(t.Context())
				go func() {
					<-began
					stop()
				}()
				err := w.deliver(ctx, t, s, vector(t), 1)
				if c.ends && err != nil || !c.ends && !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				if !c.ends && len(w.counts) != 0 {
					t.Errorf("an attempt of which nothing is known was counted: %v", w.counts)
				}
			})
		})
	}
}
