package janitor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/janitor"
	"github.com/backupbus/backupbus/services/status-tracker/projector"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

const (
	patience = 30 * time.Second
	limit    = 90 * 24 * time.Hour
)

// world is a log with a projector that keeps a view of it.
type world struct {
	t     *testing.T
	nats  *bustest.Server
	bus   *bus.Bus
	store *recorder
	view  *view.View
	proj  *projector.Projector
	n     map[string]uint64
	tally map[lifecycle.Left]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, nats: bustest.Run(t), store: record(), n: map[string]uint64{}, tally: map[lifecycle.Left]int{}}
	w.bus = w.nats.Connect(t)
	bustest.Provision(t, w.bus)
	source, err := w.bus.Batches(t.Context(), bus.TrackerDurable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Stop)
	w.view = view.New(w.store, 4)
	w.proj = projector.New(w.bus, source, w.view, folded{}, slog.New(slog.DiscardHandler))
	w.run(w.proj)
	return w
}

// run runs a projector until the test ends, and returns when it has caught up.
func (w *world) run(p *projector.Projector) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.Run(ctx, func() { close(ready) }) }()
	w.t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case <-time.After(patience):
		w.t.Fatal("the projector is not ready")
	}
}

// folded counts nothing.
type folded struct{}

func (folded) Folded(lifecycle.Verdict, int) {}

// Purged implements janitor.Stats.
func (w *world) Purged(l lifecycle.Left, n int) { w.tally[l] += n }

// cleaner is a janitor for whom it is a history limit after a moment.
func (w *world) cleaner(log janitor.Log, before time.Time) *janitor.Janitor {
	now := func() time.Time { return before.Add(limit) }
	return janitor.New(clocked{log, now}, w.proj, w, slog.New(slog.DiscardHandler), now)
}

// clocked is a log whose server has another clock.
type clocked struct {
	janitor.Log
	now func() time.Time
}

// State implements janitor.Log.
func (c clocked) State(ctx context.Context) (bus.LogState, error) {
	s, err := c.Log.State(ctx)
	s.Now = c.now()
	return s, err
}

// write stores an event as its writer would.
func (w *world) write(p events.Payload, step events.Step) {
	w.t.Helper()
	a := p.Aggregate()
	w.n[a.ID]++
	ev, err := events.New("bus.local", p, step, fmt.Sprintf("%s-%s-%d", a.ID, step, w.n[a.ID]), w.n[a.ID], time.Unix(1, 0), events.Cause{})
	if err != nil {
		w.t.Fatal(err)
	}
	subject, err := a.EventSubject(step)
	if err != nil {
		w.t.Fatal(err)
	}
	w.nats.Publish(w.t, subject, ev)
}

// settle waits until the view has the whole log.
func (w *world) settle() uint64 {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	state, err := w.bus.State(ctx)
	if err == nil {
		err = w.view.Passed(ctx, "p", state.Last)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Last
}

// end is a moment right after everything that is stored.
func (w *world) end() time.Time {
	w.t.Helper()
	var last time.Time
	if _, err := w.bus.Scan(w.t.Context(), events.AllEvents, 1, false, func(_ string, s events.Stored) error { last = s.Kept; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return last.Add(1)
}

// left is what the log has of each aggregate: its steps.
func (w *world) left() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	if _, err := w.bus.Scan(w.t.Context(), events.AllEvents, 1, false, func(_ string, s events.Stored) error {
		all[s.PartitionKey] = strings.TrimSpace(all[s.PartitionKey] + " " + string(s.Step()))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) clean(j *janitor.Janitor) {
	w.t.Helper()
	if err := j.Clean(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// rebuilt compares the view with one that is made anew from the log: case S17.
func (w *world) rebuilt() {
	w.t.Helper()
	w.settle()
	fresh := record()
	w.run(projector.New(w.bus, silent{}, view.New(fresh, 4), folded{}, slog.New(slog.DiscardHandler)))
	if diff := cmp.Diff(fresh.content(), w.store.content()); diff != "" {
		w.t.Errorf("rebuilt (-) and live (+):\n%s", diff)
	}
}

// silent is a durable that has nothing new.
type silent struct{}

func (silent) Next(ctx context.Context, _ int) ([]bus.Message, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (silent) Ack(bus.Message) error { return errors.New("nothing was taken") }

// recorder is a store in memory that knows all its keys.
type recorder struct {
	view.Store
	mu  sync.Mutex
	all map[string]string
}

func record() *recorder {
	return &recorder{Store: view.NewMemory(time.Now), all: map[string]string{}}
}

func (r *recorder) Commit(ctx context.Context, w view.Writes) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range w.Delete {
		delete(r.all, k)
	}
	for _, m := range w.Remove {
		delete(r.all, m.Set+" has "+m.Value)
	}
	for _, p := range w.Put {
		r.all[p.Key] = string(p.Value)
	}
	for _, m := range w.Add {
		r.all[m.Set+" has "+m.Value] = ""
	}
	return r.Store.Commit(ctx, w)
}

func (r *recorder) content() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.all)
}

// keysWith are the keys of the view that name an id.
func (r *recorder) keysWith(id string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.content())), func(k string) bool { return !strings.Contains(k, id) })
}
