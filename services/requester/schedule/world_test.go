package schedule_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule"
)

// world is the real log, view and executors with a scheduler whose clock and timers the test holds. What it arms
// goes out when the test's clock comes to it.
type world struct {
	*pipelinetest.Pipeline
	t      *testing.T
	in     *intake.Intake
	timers *timers
	all    []*schedule.Scheduler // replicas; ticks and events go to them in turn
	turn   int
	clock  time.Time
	heard  uint64          // sequence up to which schedulers have been told of the log
	goes   map[string]bool // backups whose deletion has not ended
	named  []string
}

type armed struct {
	at   time.Time
	data []byte
}

type timers struct {
	mu  sync.Mutex
	all map[string]armed
}

func (k *timers) Arm(_ context.Context, key string, at time.Time, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[key] = armed{at, data}
	return nil
}

func (k *timers) Disarm(_ context.Context, key string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, key)
	return nil
}

func (k *timers) Armed(_ context.Context, prefix string) (map[string]bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]bool{}
	for key := range k.all {
		if strings.HasPrefix(key, prefix+".") {
			out[key] = true
		}
	}
	return out, nil
}

// next is the timer that goes out first, at until at the latest.
func (k *timers) next(until time.Time) (string, armed, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	best := ""
	for _, key := range slices.Sorted(maps.Keys(k.all)) {
		if a := k.all[key]; !a.at.After(until) && (best == "" || a.at.Before(k.all[best].at)) {
			best = key
		}
	}
	a := k.all[best]
	delete(k.all, best)
	return best, a, best != ""
}

var quiet = slog.New(slog.DiscardHandler)

// sunday is when the test's clocks begin.
var sunday = time.Date(2027, 3, 21, 12, 0, 0, 0, time.UTC)

func begin(t *testing.T, replicas int, instances ...string) *world {
	t.Helper()
	w := &world{Pipeline: pipelinetest.Start(t, pipelinetest.Options{}), t: t, timers: &timers{all: map[string]armed{}}, clock: sunday, goes: map[string]bool{}, named: instances}
	for _, i := range instances {
		w.Register("acme", i)
	}
	w.Requester.Stop() // it has a scheduler too, by the real clock
	w.in = intake.New(w.Bus, w.View, w.now, quiet, intake.Config{Bus: w.Bus.Name()})
	for range replicas {
		w.all = append(w.all, schedule.New(w.in, w.Bus, w.timers, w.now, quiet))
	}
	w.listen()
	return w
}

func (w *world) now() time.Time { return w.clock }

// any is the replica whose turn it is.
func (w *world) any() *schedule.Scheduler {
	w.turn++
	return w.all[w.turn%len(w.all)]
}

// listen tells the schedulers of what is new in the log.
func (w *world) listen() {
	w.t.Helper()
	for {
		var news []events.Stored
		end, err := w.Bus.Scan(w.t.Context(), events.EventRoot+".>", w.heard+1, false, func(_ string, ev events.Stored) error {
			news = append(news, ev)
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(news) == 0 {
			return
		}
		w.heard = end
		for _, ev := range news {
			if ev.Entity() != events.Schedules && ev.Entity() != events.Backups {
				continue
			}
			switch ev.Step() {
			case events.DeletionRequested:
				w.goes[ev.PartitionKey] = true
			case events.DeletionFailed, events.Deleted:
				delete(w.goes, ev.PartitionKey)
			}
			if err := w.any().Happened(w.t.Context(), ev); err != nil {
				w.t.Fatal(ev.ID, err)
			}
		}
	}
}

// plan makes or changes a schedule.
func (w *world) plan(instance, name string, c events.ScheduleConfig) events.Schedule {
	w.t.Helper()
	s, err := w.in.Plan(w.t.Context(), intake.Plan{Project: "acme", Instance: instance, Name: name,
		Change: func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) { return c, nil }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.listen()
	return s
}

// until lets the clock run to a moment; every timer goes out at its time, and work that was begun is waited for.
func (w *world) until(end time.Time) {
	w.t.Helper()
	for {
		key, a, ok := w.timers.next(end)
		if !ok {
			break
		}
		if a.at.After(w.clock) {
			w.clock = a.at
		}
		if err := w.any().Tick(w.t.Context(), key, a.data); err != nil {
			w.t.Fatal(key, err)
		}
		w.settle()
	}
	w.clock = end
}

// settle waits for the executor, if it works by itself, and tells the schedulers, until neither has more to do.
func (w *world) settle() {
	w.t.Helper()
	w.listen()
	if !w.auto() {
		return
	}
	for deadline := time.Now().Add(pipelinetest.Patience); ; {
		w.seen()
		state, err := w.Bus.State(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		w.listen()
		busy := len(w.goes)
		for _, instance := range w.named {
			active, _, err := w.View.Active(w.t.Context(), "acme", instance)
			if err != nil {
				w.t.Fatal(err)
			}
			busy += len(active)
		}
		if busy == 0 && w.heard >= state.Last {
			if now, err := w.Bus.State(w.t.Context()); err == nil && now.Last == state.Last {
				return
			}
			continue
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("backups do not end: %v", w.outcomes())
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		_ = w.View.Passed(ctx, "acme", state.Last+1) // wakes with the next event
		cancel()
	}
}

// seen waits until the view has everything that is in the log.
func (w *world) seen() {
	w.t.Helper()
	state, err := w.Bus.State(w.t.Context())
	if err == nil {
		err = w.View.Passed(w.t.Context(), "acme", state.Last)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) auto() bool { return w.Hand.IsAuto() }

// backups are those of all instances as the view shows them, oldest slot first.
func (w *world) backups() []events.Backup {
	w.t.Helper()
	w.seen()
	list, _, err := w.View.Backups(w.t.Context(), "acme", "", "", 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b events.Backup) int { return a.DueTime.Compare(b.DueTime.Time) })
	return list
}

// outcomes are the slots with what became of them.
func (w *world) outcomes() (out []string) {
	for _, b := range w.backups() {
		said := b.DueTime.Format("01-02 15:04") + " " + string(b.State)
		if b.Skip != nil {
			said += " " + b.Skip.Reason
		}
		if b.Overdue != nil {
			said += " late"
		}
		out = append(out, said)
	}
	return out
}
