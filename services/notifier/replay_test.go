package notifier

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/api"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// ever is a replay of all that there is.
func ever(more ...map[string]any) map[string]any {
	out := map[string]any{"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
	for _, m := range more {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// A replay of a time sends what the subscription wants and the replay asks for; an event by its id is sent as asked.
func TestReplay_OfATimeKeepsToWhatIsWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, _ := c.make(r.URL, func(b map[string]any) {
		b["types"] = []string{"dev.backupbus.backup.requested.v1"}
		b["filters"] = []any{map[string]any{"exact": map[string]any{"instance": "orders"}}}
	})
	unwanted := w.backup("shop", "users") // and subscription.created
	want := []string{w.backup("shop", "orders").ID, w.backup("shop", "orders").ID}
	next := func() string { return receive(t, "a replay", r.requests).Header.Get("webhook-id") }
	for range want { // as they happen
		next()
	}
	asked := func(replay map[string]any) { // once the one before is taken in
		eventually(t, "the replay is accepted", func() bool {
			status, _, _ := c.do("POST", "/"+id+":replay", replay)
			return status == 202
		})
	}
	sent := func(n int, replay map[string]any) map[string]bool {
		asked(replay)
		asked(map[string]any{"eventIds": []string{unwanted.ID}}) // taken in after it
		got := map[string]bool{}
		for range n + 1 {
			got[next()] = true
		}
		return got
	}
	both := map[string]bool{want[0]: true, want[1]: true, unwanted.ID: true}
	if diff := cmp.Diff(both, sent(2, ever())); diff != "" {
		t.Error(diff)
	}
	wider := map[string]any{"types": []string{"dev.backupbus.backup.requested.v1", "dev.backupbus.subscription.created.v1"}}
	if diff := cmp.Diff(both, sent(2, ever(wider))); diff != "" {
		t.Errorf("of types that it does not want too: %s", diff)
	}
	narrower := map[string]any{"types": []string{"dev.backupbus.backup.failed.v1"}}
	if diff := cmp.Diff(map[string]bool{unwanted.ID: true}, sent(0, ever(narrower))); diff != "" {
		t.Errorf("of a type that there was not: %s", diff)
	}
	w.allEnded()
	if n := len(w.deliveries()); n != 9 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", n, len(r.requests))
	}
}

// slowLog stores the replays of one subscription when it is let.
type slowLog struct {
	delivery.Log
	id       string
	begun    chan struct{}
	released chan struct{}
}

func (s *slowLog) Put(ctx context.Context, list []*delivery.Record) []error {
	for _, r := range list {
		if r.SubscriptionID == s.id && r.ReplayID != "" {
			s.begun <- struct{}{}
			select {
			case <-s.released:
			case <-ctx.Done():
			}
		}
	}
	return s.Log.Put(ctx, list)
}

// A replay that takes long holds up none of another subscription; its own goes on in the order of the log.
func TestReplay_HoldsUpNoOtherSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, other := newReceiver(t, 200), newReceiver(t, 200)
	ids := []string{w.subscribe("shop", "slow", r.URL), w.subscribe("shop", "quick", other.URL)}
	n := w.build()
	log := &slowLog{Log: n.records, id: ids[0], begun: make(chan struct{}, 10), released: make(chan struct{})}
	e, err := delivery.New(delivery.Deps{Log: log, Events: stored{n.Bus}, Keeper: n.keeper, Appender: n.Bus, Logger: n.Log,
		Now: n.Now, Random: n.Random, Count: n.figures.count, Plan: n.plan, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range n.registry.fixed {
		s.MaxInFlight = 1
		if err := e.Set(t.Context(), s, delivery.Health{}); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for range 3 {
		want = append(want, w.backup("shop", "orders").ID)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	for _, run := range []func(){func() { n.replay(ctx, e) }, func() { e.Run(ctx) }} {
		go func() {
			defer func() { ended <- struct{}{} }()
			run()
		}()
	}
	defer func() {
		stop()
		<-ended
		<-ended
	}()
	ask := func(id string) {
		t.Helper()
		asked := api.Replay{ReplayID: events.NewReplayID(), Project: "shop", SubscriptionID: id, To: n.Now().Add(time.Hour), MaxEvents: 100}
		if err := (backend{n}).Replay(ctx, asked); err != nil {
			t.Fatal(err)
		}
	}
	sent := func(what string, r *receiver) (got []string) {
		t.Helper()
		for range want {
			got = append(got, receive(t, what, r.requests).Header.Get("webhook-id"))
		}
		return got
	}
	ask(ids[0])
	receive(t, "the slow one has begun", log.begun)
	ask(ids[1])
	if diff := cmp.Diff(want, sent("a replay of the quick one", other)); diff != "" || len(r.requests) != 0 {
		t.Errorf("%d requests of the slow one: %s", len(r.requests), diff)
	}
	close(log.released)
	if diff := cmp.Diff(want, sent("a replay of the slow one", r)); diff != "" {
		t.Error(diff)
	}
	for _, id := range ids {
		eventually(t, "the replay is taken in", func() bool {
			_, there, err := n.state.Get(ctx, replayPrefix+id)
			return err == nil && !there
		})
	}
}

// Of one subscription they come one after the other, and none twice because it was told twice.
func TestReplays_OfOneSubscriptionStayInOrder(t *testing.T) {
	t.Parallel()
	at := func(key string, revision uint64) bus.Entry { return bus.Entry{Key: key, Revision: revision} }
	var r replays
	var got []string
	for _, entry := range []bus.Entry{at("a", 1), at("b", 2), at("a", 1), at("a", 3), at("b", 2), at("a", 3)} {
		got = append(got, fmt.Sprint(entry.Key, entry.Revision, " ", r.add(entry)))
	}
	for _, entry := range []bus.Entry{at("a", 1), at("a", 3), at("b", 2)} {
		next, more := r.next(entry)
		got = append(got, fmt.Sprint("after ", entry.Key, entry.Revision, " ", next.Key, next.Revision, " ", more))
	}
	got = append(got, fmt.Sprint("a4 ", r.add(at("a", 4))))
	want := []string{"a1 true", "b2 true", "a1 false", "a3 false", "b2 false", "a3 false",
		"after a1 a3 true", "after a3 0 false", "after b2 0 false", "a4 true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
