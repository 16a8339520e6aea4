package delivery

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a pipeline with everything around it faked.
type world struct {
	*Pipeline
	clock *clock

	mu     sync.Mutex
	queued []Delivery
	drafts []events.Draft
	dead   []events.DeadDelivery
	counts map[Outcome]int
}

func (w *world) Put(_ context.Context, d Delivery) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = append(w.queued, d)
	return nil
}

func (w *world) Append(ctx context.Context, d events.Draft) (events.Appended, error) {
	p, err := d.Decide(ctx, events.Prior{})
	if err != nil {
		return events.Appended{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drafts, w.dead = append(w.drafts, d), append(w.dead, p.(events.DeadDelivery))
	return events.Appended{}, nil
}

func (w *world) count(o Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[o]++
}

func newWorld(t testing.TB, subs ...Subscription) *world {
	t.Helper()
	w := &world{clock: &clock{at: noon}, counts: map[Outcome]int{}}
	p, err := New(Deps{Queue: w, Appender: w, Log: slog.New(slog.DiscardHandler), Now: w.clock.now,
		Random: func() float64 { return 0.5 }, Count: w.count, Plan: ContractPlan(), Window: 1000}, subs)
	if err != nil {
		t.Fatal(err)
	}
	w.Pipeline = p
	return w
}

// deliver hands the delivery of ev to s out for the count-th time.
func (w *world) deliver(ctx context.Context, t testing.TB, s Subscription, ev events.Event, count int) error {
	t.Helper()
	body, err := events.Structured(ev)
	if err != nil {
		t.Fatal(err)
	}
	id, err := events.DeliveryID(s.ID, ev.Source, ev.ID)
	if err != nil {
		t.Fatal(err)
	}
	return w.Deliver(ctx, Received{Delivery{ID: id, SubscriptionID: s.ID, Matched: noon, Body: body}, count})
}

// endpoint is a sink that answers what it is told and keeps what it got.
type endpoint struct {
	answer func(ctx context.Context, r Request) Answer

	mu  sync.Mutex
	got []Request
}

func (e *endpoint) Post(ctx context.Context, r Request) Answer {
	e.mu.Lock()
	e.got = append(e.got, r)
	e.mu.Unlock()
	return e.answer(ctx, r)
}

func (e *endpoint) requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got
}

func (e *endpoint) Origin() string { return "https://hooks.example.com:443" }
func (e *endpoint) String() string { return "https://hooks.example.com/in?…" }

// always answers with a status.
func always(status int) *endpoint {
	return &endpoint{answer: func(context.Context, Request) Answer { return Answer{Status: status} }}
}

type everything struct{}

func (everything) Wants(events.Event) bool { return true }

func subscribe(t testing.TB, project, name string, e Endpoint) Subscription {
	t.Helper()
	id, err := events.SubscriptionID(project, name)
	if err != nil {
		t.Fatal(err)
	}
	return Subscription{ID: id, Name: name, Project: project, Interest: everything{}, Secret: secret(t, secretA),
		Endpoint: e, Timeout: time.Minute, MaxInFlight: 8}
}

// vector is the event of events.md 10; it belongs to project shop.
func vector(t testing.TB) events.Event {
	t.Helper()
	ev, err := events.Parse(structured, longBody(t))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}
