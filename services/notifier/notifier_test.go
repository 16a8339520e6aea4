package notifier

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/eventstest"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

func verified(t testing.TB, g got) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(g.Body, g.Header); err != nil {
		t.Error(err)
	}
	if wh.Verify(append(g.Body, ' '), g.Header) == nil {
		t.Error("other bytes verify too")
	}
}

func TestNotifier_DeliversWhatIsWantedOnceAndSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 204)
	id := w.subscribe("shop", "orders", r.URL+"/in?key=x", func(s *subscription.Subscription) {
		s.Types = []string{"dev.backupbus.backup.requested.v1"}
		s.Filters = filters(t, `[{"exact":{"instance":"orders"}}]`)
	})
	w.start()
	w.backup("shop", "users")
	w.backup("other", "orders")
	want := w.backup("shop", "orders")
	g := receive(t, "a request", r.requests)
	w.allEnded()
	verified(t, g)
	line, err := events.Structured(want.Event)
	if err != nil {
		t.Fatal(err)
	}
	if string(g.Body) != string(line) {
		t.Errorf("want %s\ngot  %s", line, g.Body)
	}
	dl, err := events.DeliveryID(id, want.Source, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{"Webhook-Id": want.ID, "Backupbus-Subscription": id, "Backupbus-Delivery": dl, "Backupbus-Attempt": "1",
		"Webhook-Request-Origin": bus.DefaultName, "User-Agent": "backupbus-notifier/devel", "Content-Type": "application/cloudevents+json; charset=utf-8"}
	for name, v := range header {
		if g.Header.Get(name) != v {
			t.Errorf("%s: want %q, got %q", name, v, g.Header.Get(name))
		}
	}
	if ever := len(w.deliveries()); ever != 1 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", ever, len(r.requests))
	}
	if diff := cmp.Diff(map[string]float64{"SUCCESS": 1}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}

// W2 and W4, on a short plan.
func TestNotifier_GivesUpAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 500)
	id := w.subscribe("shop", "broken", r.URL+"/in?key=x")
	w.start()
	cause := w.backup("shop", "orders")
	first := receive(t, "a request", r.requests)
	verified(t, first)
	last := first
	for _, attempt := range []string{"2", "3", "4"} {
		last = receive(t, "attempt "+attempt, r.requests)
		verified(t, last)
		if last.attempt() != attempt || last.Header.Get("webhook-id") != cause.ID || string(last.Body) != string(first.Body) {
			t.Errorf("want attempt %s of %s, got %v", attempt, cause.ID, last.Header)
		}
	}
	ev, d := w.dead("shop")
	eventstest.Valid(t, ev.Event)
	if d.FirstAttemptTime.After(d.LastAttemptTime.Time) || d.LastAttemptTime.IsZero() {
		t.Errorf("attempts from %s to %s", d.FirstAttemptTime, d.LastAttemptTime)
	}
	want := events.DeadDelivery{
		Project: "shop", DeliveryID: last.Header.Get("Backupbus-Delivery"), SubscriptionID: id, SinkOrigin: r.URL,
		EventID: cause.ID, EventType: cause.Type, EventSource: cause.Source, EventSequence: cause.Sequence, Attempts: 4,
		FirstAttemptTime: d.FirstAttemptTime, LastAttemptTime: d.LastAttemptTime, LastOutcome: "HTTP_ERROR", LastStatusCode: 500, Reason: "EXHAUSTED",
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if ev.CausationID != cause.ID || ev.CorrelationID != cause.CorrelationID {
		t.Errorf("caused by %q, request %q", ev.CausationID, ev.CorrelationID)
	}
	w.allEnded()
	// The event about it is not sent to the same sink: there was one delivery in all.
	if ever := len(w.deliveries()); ever != 1 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", ever, len(r.requests))
	}
	if diff := cmp.Diff(map[string]float64{"HTTP_ERROR": 4}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
	w.accounted(1)
}

func TestNotifier_RecoversWhenTheSinkDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 500, 302, 200)
	w.subscribe("shop", "shaky", r.URL)
	w.start()
	w.backup("shop", "orders")
	for _, attempt := range []string{"1", "2", "3"} {
		if g := receive(t, "attempt "+attempt, r.requests); g.attempt() != attempt {
			t.Errorf("want attempt %s, got %s", attempt, g.attempt())
		}
	}
	w.allEnded()
	if diff := cmp.Diff(map[string]float64{"HTTP_ERROR": 1, "REDIRECT": 1, "SUCCESS": 1}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
	w.accounted(1)
}

// W6, the DEAD part, and that the project's other subscriptions hear of it.
func TestNotifier_GoneIsToldToTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, watcher := newReceiver(t, 410), newReceiver(t, 200)
	id := w.subscribe("shop", "gone", gone.URL)
	w.subscribe("shop", "watcher", watcher.URL, func(s *subscription.Subscription) {
		s.Types = []string{"dev.backupbus.delivery.dead_lettered.v1"}
	})
	w.start()
	w.backup("shop", "orders")
	g := receive(t, "the event about the delivery", watcher.requests)
	verified(t, g)
	ev, err := events.Parse(map[string][]string{"content-type": g.Header["Content-Type"]}, g.Body)
	if err != nil {
		t.Fatal(err)
	}
	eventstest.Valid(t, ev)
	if d, err := events.Decode[events.DeadDelivery](ev); err != nil || d.Reason != "GONE" || d.SubscriptionID != id || d.Attempts != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	w.allEnded()
	if len(gone.requests) != 1 {
		t.Errorf("%d requests to the one that is gone", len(gone.requests))
	}
	w.accounted(2)
}

// W9: the name is judged when it is dialled.
func TestNotifier_NameThatTurnsToAPrivateAddressIsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "rebound", strings.Replace(r.URL, "127.0.0.1", "hooks.test", 1))
	w.lookups = func(string) ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil }
	w.start()
	w.backup("shop", "orders")
	_, d := w.dead("shop")
	if d.LastOutcome != "BLOCKED_ADDRESS" || d.LastStatusCode != 0 || d.Attempts != 4 || len(r.requests) != 0 {
		t.Errorf("%+v, %d requests", d, len(r.requests))
	}
	ev, _ := w.dead("shop")
	eventstest.Valid(t, ev.Event)
	if strings.Contains(string(ev.Data), "10.0.0.1") {
		t.Error("users see the address")
	}
	w.accounted(1)
}

func TestNotifier_SlowEndpointHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	const each = 5
	w := newWorld(t)
	release, served := make(chan struct{}), make(chan struct{}, each)
	var running, most atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		running.Add(-1)
		served <- struct{}{}
	}))
	t.Cleanup(slow.Close)
	fast := newReceiver(t, 200)
	w.subscribe("shop", "slow", slow.URL, func(s *subscription.Subscription) { s.MaxInFlight = 2; s.TimeoutMs = 30_000 })
	w.subscribe("shop", "fast", fast.URL)
	w.start()
	for range each {
		w.backup("shop", "orders")
	}
	for range each {
		receive(t, "a request to the fast one", fast.requests)
	}
	eventually(t, "the slow one has all its slots full", func() bool { return running.Load() == 2 })
	close(release)
	for range each {
		receive(t, "a request to the slow one", served)
	}
	w.allEnded()
	if n := most.Load(); n != 2 {
		t.Errorf("%d requests at once", n)
	}
}

// Canary: the key and the sink's query are in no log line, no event and no print of what the service holds.
func TestNotifier_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 500)
	w.subscribe("shop", "a", r.URL+"/in?token=sinkcanary")
	n := w.build()
	w.start()
	w.backup("shop", "orders")
	ev, _ := w.dead("shop")
	w.allEnded()
	out := w.log.String() + string(ev.Data)
	for _, v := range []any{n.registry.fixed, n.registry.fixed[0].Endpoint} {
		for _, verb := range []string{"%v", "%+v", "%s"} {
			out += fmt.Sprintf(verb, v)
		}
	}
	if b, err := json.Marshal(n.registry.fixed[0].Endpoint); err == nil {
		out += string(b)
	}
	if !strings.Contains(out, "delivery finished") {
		t.Error("there is no log line of the attempts")
	}
	for _, canary := range []string{"canary-", base64.StdEncoding.EncodeToString(key)[:16], "sinkcanary"} {
		if strings.Contains(out, canary) {
			i := strings.Index(out, canary)
			t.Errorf("output holds %q: …%s…", canary, out[max(0, i-200):i])
		}
	}
}

func TestNew_ReportsAllSecretsThatAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe("shop", "a", "https://hooks.example.com:443")
	w.subscribe("shop", "b", "https://hooks.example.com:443")
	_, err := New(t.Context(), Deps{Bus: w.bus, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Env: func(string) (string, bool) { return "", false }}, w.config)
	if err == nil || !strings.Contains(err.Error(), "subscriptions[0].secretRef: environment variable SECRET is not set") ||
		!strings.Contains(err.Error(), "subscriptions[1].secretRef") {
		t.Errorf("got %v", err)
	}
	if _, err := New(t.Context(), Deps{}, Config{}); err == nil {
		t.Error("dependencies are missing and nobody says so")
	}
}
