package notifier

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/api"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// refusing is a log that refuses every write, and then has the notifier stopped.
type refusing struct {
	delivery.Log
	stop context.CancelFunc
}

func (r refusing) Put(_ context.Context, records []*delivery.Record) []error {
	defer r.stop()
	errs := make([]error, len(records))
	for i := range errs {
		errs[i] = bus.ErrUnavailable
	}
	return errs
}

// Stopped while the records of a full batch could not be stored, a notifier has passed none of the events.
func TestCatchUp_PassesNothingThatWasNotMatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe("shop", "a", newReceiver(t, 200).URL)
	for range batch {
		w.backup("shop", "orders")
	}
	n := w.build()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	e, err := delivery.New(delivery.Deps{Log: refusing{n.records, stop}, Events: stored{n.Bus}, Keeper: n.keeper, Appender: n.Bus, Logger: slog.New(w.handler),
		Now: n.Now, Random: n.Random, Count: n.figures.count, Plan: n.plan, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Set(t.Context(), n.registry.fixed[0], delivery.Health{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	var p position
	err = n.catchUp(ctx, e, &p)
	<-ended
	if p.note(e); !errors.Is(err, context.Canceled) || p.Events != 0 {
		t.Errorf("%v, at %d", err, p.Events)
	}
}

// An event that says it is of another project than its subject, and a message that is none, came while nobody led:
// neither is delivered, both are dead letters.
func TestCatchUp_RefusesWhatContradictsItsSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "a", r.URL)
	good := w.backup("shop", "orders")
	const elsewhere = events.EventRoot + ".bank.sqlite.orders.backup.bk_zzzzzzzzzzzzzzzzzzzzzzzzzz.requested"
	w.server.Publish(t, elsewhere, good.Event)
	w.server.PublishRaw(t, events.EventRoot+".shop.sqlite.orders.backup.bk_yyyyyyyyyyyyyyyyyyyyyyyyyy.requested", []byte("no event"))
	last := w.backup("shop", "orders")
	w.start()
	got := map[string]int{}
	for range 2 {
		got[receive(t, "a request", r.requests).Header.Get("webhook-id")]++
	}
	if diff := cmp.Diff(map[string]int{good.ID: 1, last.ID: 1}, got); diff != "" {
		t.Error(diff)
	}
	if got := w.server.DeadLetters(t, 2); len(got) != 2 {
		t.Errorf("%d dead letters", len(got))
	}
	w.accounted(2)
}

// The settings no longer allow a sink: what it wants is recorded, and sent by a replay when they do again.
func TestNotifier_SinkThatIsRefusedSuppresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	w.withKey(r.URL)
	c := &client{world: w}
	stop := c.restart()
	id, _ := c.make(r.URL, func(b map[string]any) { b["types"] = []string{"dev.backupbus.backup.requested.v1"} })
	stop()
	allowed := w.config.AllowCIDRs
	w.config.AllowCIDRs = nil
	w.backup("shop", "orders")
	stop = c.restart()
	eventually(t, "it is suppressed", func() bool { return w.states()[delivery.Suppressed] == 1 })
	if d := w.deliveries()[0]; d.Reason != delivery.ByAdmin || d.SubscriptionID != id {
		t.Errorf("got %+v", d)
	}
	stop()
	w.config.AllowCIDRs = allowed
	c.restart()
	c.must(202, "POST", "/"+id+":replay", map[string]any{"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "states": []string{"SUPPRESSED"}})
	receive(t, "the replay", r.requests)
	w.accounted(2)
}

// A replay that comes before the engine knows that the subscription was enabled is not thrown away.
func TestReplay_WaitsForTheEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, _ := c.make(r.URL)
	other := w.build() // it knows of no subscription yet
	if err := other.refused(t.Context(), api.Replay{Project: "shop", SubscriptionID: id}); !errors.Is(err, errNotYet) && !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("enabled: %v", err)
	}
	c.must(200, "PATCH", "/"+id, map[string]any{"disabled": true})
	for _, id := range []string{id, "su_aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if err := other.refused(t.Context(), api.Replay{Project: "shop", SubscriptionID: id}); !errors.Is(err, errEnough) {
			t.Errorf("disabled, or not there: %v", err)
		}
	}
}

// A replay of more than may wait is put off and goes on where it was; begun anew, it makes no delivery twice.
func TestReplay_OfMoreThanMayWait(t *testing.T) {
	t.Parallel()
	for name, byID := range map[string]bool{"of a time": false, "by id": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := newReceiver(t, 200)
			id := w.subscribe("shop", "a", r.URL)
			n := w.build()
			e, err := delivery.New(delivery.Deps{Log: n.records, Events: stored{n.Bus}, Keeper: n.keeper, Appender: n.Bus, Logger: n.Log,
				Now: n.Now, Random: n.Random, Count: n.figures.count, Plan: n.plan, Slots: slots, MaxOpen: 4})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Set(t.Context(), n.registry.fixed[0], delivery.Health{}); err != nil {
				t.Fatal(err)
			}
			asked := api.Replay{ReplayID: events.NewReplayID(), Project: "shop", SubscriptionID: id, To: n.Now().Add(time.Hour), MaxEvents: 5}
			want := map[string]int{}
			for range 5 {
				ev := w.backup("shop", "orders")
				want[ev.ID] = 1
				if byID {
					asked.EventIDs = append(asked.EventIDs, ev.ID)
				}
			}
			if err := (backend{n}).Replay(t.Context(), asked); err != nil {
				t.Fatal(err)
			}
			entry, there, err := n.state.Get(t.Context(), replayPrefix+id)
			if err != nil || !there {
				t.Fatal(there, err)
			}
			p := &putOff{entry: entry}
			for range 2 {
				if err := n.replayOne(t.Context(), e, p); !errors.Is(err, delivery.ErrFull) || p.count != 2 {
					t.Fatalf("%d taken in: %v", p.count, err)
				}
			}
			if err := n.replayOne(t.Context(), e, &putOff{entry: entry}); !errors.Is(err, delivery.ErrFull) {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				e.Run(ctx)
			}()
			defer func() {
				stop()
				<-ended
			}()
			eventually(t, "the replay is taken in", func() bool { return n.replayOne(ctx, e, p) == nil })
			if p.count != 5 {
				t.Errorf("%d were counted", p.count)
			}
			if err := n.replayOne(ctx, e, &putOff{entry: entry}); err != nil {
				t.Errorf("anew: %v", err)
			}
			got := map[string]int{}
			for range 5 {
				got[receive(t, "a replay", r.requests).Header.Get("webhook-id")]++
			}
			eventually(t, "all have ended", func() bool { return w.states()[delivery.Delivered] == 5 })
			if diff := cmp.Diff(want, got); diff != "" || len(r.requests) != 0 || len(w.deliveries()) != 5 {
				t.Errorf("%d more requests, %d deliveries: %s", len(r.requests), len(w.deliveries()), diff)
			}
		})
	}
}

// A subscription has one replay at a time that is not yet taken in, so that they cannot pile up.
func TestReplay_OneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withKey()
	b := backend{w.build()} // nobody leads
	const a, other = "su_aaaaaaaaaaaaaaaaaaaaaaaaaa", "su_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	for _, step := range []struct {
		id   string
		want error
	}{{a, nil}, {a, api.ErrReplaying}, {other, nil}} {
		if err := b.Replay(t.Context(), api.Replay{ReplayID: events.NewReplayID(), Project: "shop", SubscriptionID: step.id}); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.id, err, step.want)
		}
	}
}

// Many at once pass neither the quota nor a name.
func TestAPI_ManyAtOnceKeepQuotaAndName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.MaxSubscriptions = 3
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	made := make(chan int, 16)
	var all sync.WaitGroup
	for n := range cap(made) {
		name := []string{"same", ""}[n%2]
		all.Go(func() {
			status, _, _ := (&client{world: w, base: c.base}).do("POST", "", map[string]any{"sink": r.URL, "protocol": "HTTP", "config": map[string]any{"name": name}})
			made <- status
		})
	}
	all.Wait()
	close(made)
	got := map[int]int{}
	for s := range made {
		got[s]++
	}
	if diff := cmp.Diff(map[int]int{201: 3, 409: 13}, got); diff != "" {
		t.Error(diff)
	}
	same := 0
	for _, s := range c.must(200, "GET", "", nil)["subscriptions"].([]any) {
		if config, ok := s.(map[string]any)["config"].(map[string]any); ok && config["name"] == "same" {
			same++
		}
	}
	if same > 1 {
		t.Errorf("%d have the same name", same)
	}
}
