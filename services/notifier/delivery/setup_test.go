package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// world is an engine with everything around it faked, for tests in a synctest bubble: its clock is the bubble's.
type world struct {
	*Engine
	t    testing.TB
	stop func()

	mu      sync.Mutex
	seq     uint64
	records map[string]Record // by delivery id
	events  map[uint64]events.Event
	health  map[string]Health
	turns   []string
	dead    []events.DeadDelivery
	outcome map[Outcome]int
	subs    map[string]Subscription
	began   time.Time
	given   []events.Stored       // to Match
	matched map[string]bool       // delivery ids of what the subscriptions want
	refuse  func(r *Record) error // of a write, before it is stored
	lose    func(r *Record) error // of a write, after it is stored
}

// Put implements Log: compare-and-set on Seq.
func (w *world) Put(_ context.Context, records []*Record) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := make([]error, len(records))
	for i, r := range records {
		if w.records[r.DeliveryID].Seq != r.Seq {
			errs[i] = events.ErrContended
			continue
		}
		if w.refuse != nil {
			if errs[i] = w.refuse(r); errs[i] != nil {
				continue
			}
		}
		w.seq++
		kept := *r
		kept.Seq, kept.Attempts = w.seq, slices.Clone(r.Attempts)
		w.records[r.DeliveryID] = kept
		if w.lose != nil {
			if errs[i] = w.lose(r); errs[i] != nil {
				continue
			}
		}
		r.Seq = w.seq
	}
	return errs
}

// Get implements Log.
func (w *world) Get(_ context.Context, r *Record) (*Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, there := w.records[r.DeliveryID]
	if !there {
		return nil, events.ErrNotFound
	}
	return &kept, nil
}

// At implements Events.
func (w *world) At(_ context.Context, seq uint64) (events.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ev, ok := w.events[seq]; ok {
		return ev, nil
	}
	return events.Event{}, events.ErrNotFound
}

// SaveHealth implements Keeper.
func (w *world) SaveHealth(_ context.Context, id string, h Health) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.health[id] = h
	return nil
}

// Turn implements Keeper.
func (w *world) Turn(ctx context.Context, id string, to Turn, h Health) error {
	w.mu.Lock()
	w.turns = append(w.turns, fmt.Sprintf("%s disable=%v after %s", to.Reason, to.Disable, time.Since(w.began).Round(time.Minute)))
	s := w.subs[id]
	w.mu.Unlock()
	if s.Target != to.Target {
		return ErrTarget
	}
	s.Disabled, s.Reason = to.Disable, to.Reason
	return w.Set(ctx, s, h)
}

// Append implements Appender.
func (w *world) Append(ctx context.Context, d events.Draft) (events.Appended, error) {
	p, err := d.Decide(ctx, events.Prior{})
	if err != nil {
		return events.Appended{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = append(w.dead, p.(events.DeadDelivery))
	return events.Appended{}, nil
}

func newWorld(t testing.TB, subs ...Subscription) *world {
	t.Helper()
	w := &world{t: t, records: map[string]Record{}, events: map[uint64]events.Event{}, health: map[string]Health{},
		outcome: map[Outcome]int{}, subs: map[string]Subscription{}, matched: map[string]bool{}, began: time.Now()}
	w.restart(subs...)
	return w
}

// restart runs another engine on what the last one has stored, and matches what it had not.
func (w *world) restart(subs ...Subscription) {
	w.t.Helper()
	var matched, floor uint64
	if w.stop != nil {
		w.stop()
		floor = w.Floor(0)
		matched = w.Matched(math.MaxUint64)
	}
	e, err := New(Deps{Log: w, Events: w, Keeper: w, Appender: w, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Random: func() float64 { return 0.5 }, Plan: ContractPlan(), Slots: 100,
		Count: func(o Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcome[o]++
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Engine = e
	for _, s := range subs {
		w.subs[s.ID] = s
		if err := e.Set(context.Background(), s, w.health[s.ID]); err != nil {
			w.t.Fatal(err)
		}
	}
	var left []*Record
	for _, r := range w.list() {
		if r.Seq >= floor && (r.State.Open() || r.EventSeq > matched) {
			left = append(left, &r)
		}
	}
	e.Load(context.Background(), left, matched, floor)
	for _, ev := range w.given {
		if ev.Seq > matched {
			if err := e.Match(context.Background(), ev); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tend := time.NewTicker(time.Minute)
		defer tend.Stop()
		go e.Run(ctx)
		for {
			select {
			case <-tend.C:
				e.Tend(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	w.stop = func() {
		cancel()
		<-done
		e.running.Wait()
	}
}

// list is the log in the order of matching.
func (w *world) list() []Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Values(w.records), func(a, b Record) int {
		return int(a.EventSeq) - int(b.EventSeq)
	})
}

// states counts the records by their state and reason.
func (w *world) states() map[string]int {
	out := map[string]int{}
	for _, r := range w.list() {
		key := string(r.State)
		if r.Reason != "" {
			key += " " + r.Reason
		}
		out[key]++
	}
	return out
}

// event makes an event of a backup of project shop.
func (w *world) event(backup string, n int) events.Stored {
	w.mu.Lock()
	defer w.mu.Unlock()
	ev := vector(w.t)
	ev.ID = fmt.Sprintf("%s-step-%d", backup, n)
	ev.Source = "//bus.local/projects/shop/instances/i/backups/" + backup
	seq := uint64(len(w.events) + 1)
	w.events[seq] = ev
	return events.Stored{Event: ev, Seq: seq}
}

func (w *world) match(evs ...events.Stored) {
	w.t.Helper()
	for _, ev := range evs {
		w.given = append(w.given, ev)
		for _, s := range w.subs {
			if ok, err := s.Interest.Wants(ev.Event); s.Project != ev.Project || !ok || err != nil {
				continue
			}
			id, err := events.DeliveryID(s.ID, ev.Source, ev.ID)
			if err != nil {
				w.t.Fatal(err)
			}
			w.matched[id] = true
		}
	}
	if err := w.Match(context.Background(), evs...); err != nil {
		w.t.Fatal(err)
	}
}

// accounted ends every test of faults: what was matched is DELIVERED, DEAD or SUPPRESSED, except for so many that are
// still open as the test stops early, and there is nothing else.
func (w *world) accounted(open int) {
	w.t.Helper()
	ended, waiting := 0, 0
	for _, r := range w.list() {
		if !w.matched[r.DeliveryID] && r.ReplayID == "" {
			w.t.Errorf("%s of %s was not matched", r.DeliveryID, r.EventID)
		}
		switch r.State {
		case Delivered, Dead, Suppressed:
			ended++
		case Pending, Retrying:
			waiting++
		default:
			w.t.Errorf("%s is stored as %s", r.DeliveryID, r.State)
		}
	}
	if ended+waiting != len(w.matched) || waiting != open {
		w.t.Errorf("%d matched, %d have ended and %d are open: %v", len(w.matched), ended, waiting, w.states())
	}
}

// endpoint is a sink that answers what it is told and keeps what it got.
type endpoint struct {
	answer func(r Request) Answer

	mu  sync.Mutex
	got []Request
}

func (e *endpoint) Form() string { return "structured" }

func (e *endpoint) Encode(ev events.Event) ([]byte, error) { return events.Structured(ev) }

func (e *endpoint) Post(_ context.Context, r Request) Answer {
	e.mu.Lock()
	e.got = append(e.got, r)
	e.mu.Unlock()
	return e.answer(r)
}

func (e *endpoint) requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// ids are the events that were sent, in order.
func (e *endpoint) ids() []string {
	var out []string
	for _, r := range e.requests() {
		out = append(out, r.Event.ID)
	}
	return out
}

func (e *endpoint) Origin() string { return "https://hooks.example.com:443" }
func (e *endpoint) String() string { return "https://hooks.example.com/in?…" }

// always answers with a status.
func always(status int) *endpoint {
	return &endpoint{answer: func(Request) Answer { return Answer{Status: status} }}
}

type everything struct{}

func (everything) Wants(events.Event) (bool, error) { return true, nil }

func subscribe(t testing.TB, project, name string, e Endpoint) Subscription {
	t.Helper()
	id, err := events.SubscriptionID(project, name)
	if err != nil {
		t.Fatal(err)
	}
	return Subscription{ID: id, Name: name, Project: project, Interest: everything{}, Signer: Keys{Secret: secret(t, secretA)},
		Endpoint: e, Timeout: time.Minute, MaxInFlight: 8, RatePerMinute: 600}
}

// vector is the event of events.md 10; it belongs to project shop.
func vector(t testing.TB) events.Event {
	t.Helper()
	ev, err := events.Parse(map[string][]string{"content-type": {ContentType}}, longBody(t))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}
