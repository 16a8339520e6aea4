package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// theirs stores what another notifier, which has led before, writes late of an event.
func (w *world) theirs(t *testing.T, s Subscription, ev events.Stored, change func(r *Record)) {
	t.Helper()
	id, err := events.DeliveryID(s.ID, ev.Source, ev.ID)
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{DeliveryID: id, SubscriptionID: s.ID, Project: "shop", EventID: ev.ID, EventSource: ev.Source, EventSeq: ev.Seq,
		State: Pending, CreateTime: events.At(time.Now()), NextAttemptTime: events.At(time.Now())}
	if change != nil {
		change(r)
	}
	if err := w.Put(t.Context(), []*Record{r})[0]; err != nil {
		t.Error(err)
	}
}

// A PENDING record that turns up while a request runs does not undo its outcome: no other is made, and each is counted.
func TestAdopt_OutcomeGoesOverABareRecord(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(n int) Answer
		took   time.Duration
		want   map[string]int
		sent   int
	}{
		"delivered":               {func(int) Answer { return Answer{Status: 200} }, 0, map[string]int{"DELIVERED": 1}, 1},
		"refused":                 {func(int) Answer { return Answer{Status: 413} }, 0, map[string]int{"DEAD PERMANENT_STATUS": 1}, 1},
		"tried again":             {func(n int) Answer { return Answer{Status: map[int]int{1: 503, 2: 200}[n]} }, 0, map[string]int{"DELIVERED": 1}, 2},
		"delivered, after a time": {func(int) Answer { return Answer{Status: 200} }, time.Minute, map[string]int{"DELIVERED": 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := &endpoint{}
				s := subscribe(t, "shop", "a", e)
				w := newWorld(t, s)
				defer w.stop()
				ev := w.event("bk_a", 1)
				e.answer = func(r Request) Answer {
					if r.Attempt == 1 {
						w.theirs(t, s, ev, nil)
					}
					time.Sleep(c.took)
					return c.answer(len(e.requests()))
				}
				w.match(ev)
				pass(3 * soon)
				if w.Matched(1) != 1 {
					t.Error("it has a record, and is not counted as matched")
				}
				pass(time.Hour)
				var numbers []int
				for _, a := range w.list()[0].Attempts {
					numbers = append(numbers, a.Number)
				}
				if diff := cmp.Diff(c.want, w.states()); diff != "" || len(numbers) != c.sent || len(e.requests()) != c.sent {
					t.Errorf("%d requests, attempts %v: %s", len(e.requests()), numbers, diff)
				}
				w.accounted(0)
			})
		})
	}
}

// What another notifier has ended while a request runs stays as it ended.
func TestAdopt_EndOfAnotherStands(t *testing.T) {
	in(t, func(t *testing.T) {
		e := &endpoint{}
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer w.stop()
		ev := w.event("bk_a", 1)
		e.answer = func(Request) Answer {
			w.theirs(t, s, ev, func(r *Record) { r.State, r.Attempts = Delivered, []Attempt{{Number: 1, Outcome: Success}} })
			time.Sleep(30 * time.Second)
			return Answer{Status: 503}
		}
		w.match(ev)
		pass(time.Hour)
		if r := w.list()[0]; r.State != Delivered || len(r.Attempts) != 1 || len(e.requests()) != 1 || w.seq != 1 {
			t.Errorf("%d requests, %d writes: %s after %d attempts", len(e.requests()), w.seq, r.State, len(r.Attempts))
		}
		w.accounted(0)
	})
}

// What is to be tried again is not sent before its time, whoever made the attempts before.
func TestAdopt_KeepsTheTimeOfTheNextAttempt(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t)
		defer w.stop()
		w.subs[s.ID] = s
		if err := w.Set(t.Context(), s, Health{PausedUntil: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		ev, other := w.event("bk_a", 1), w.event("bk_b", 1)
		w.theirs(t, s, ev, func(r *Record) {
			r.State, r.NextAttemptTime = Retrying, events.At(time.Now().Add(time.Hour))
			r.Attempts = []Attempt{{Number: 1, StartTime: events.At(time.Now()), Outcome: Timeout}}
		})
		w.match(ev, other)
		pass(time.Hour - time.Minute)
		if diff := cmp.Diff([]string{"bk_b-step-1"}, e.ids()); diff != "" {
			t.Error(diff)
		}
		pass(2 * time.Minute)
		if got := e.requests(); len(got) != 2 || got[1].Attempt != 2 {
			t.Errorf("%d requests", len(got))
		}
		w.accounted(0)
	})
}

// opaque is a log in which a record that is there cannot be read.
type opaque struct{ Log }

func (opaque) Get(context.Context, *Record) (*Record, error) { return nil, events.ErrUnreadable }

// A record that nobody can read ends its delivery, and not those behind it.
func TestAdopt_UnreadableHoldsUpNoLaterOne(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Ordered = true
		w := newWorld(t)
		defer w.stop()
		w.Log = opaque{w}
		w.subs[s.ID] = s
		if err := w.Set(t.Context(), s, Health{PausedUntil: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		lost, next := w.event("bk_a", 1), w.event("bk_a", 2)
		w.theirs(t, s, lost, nil)
		w.match(lost, next)
		pass(time.Hour)
		if diff := cmp.Diff([]string{"bk_a-step-2"}, e.ids()); diff != "" || w.Matched(2) != 2 {
			t.Errorf("matched up to %d: %s", w.Matched(2), diff)
		}
		w.accounted(1) // as it stands
	})
}

// A row that cannot be written holds up no other's outcome, and is tried less and less often.
func TestLate_OneThatCannotBeStoredHoldsUpNoOther(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", &endpoint{answer: func(Request) Answer { time.Sleep(time.Second); return Answer{Status: 200} }})
		w := newWorld(t, s)
		defer w.stop()
		paused := subscribe(t, "shop", "b", always(200))
		w.subs[paused.ID] = paused
		if err := w.Set(t.Context(), paused, Health{PausedUntil: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		tried := 0
		w.faults(func(r *Record) error {
			if r.SubscriptionID != paused.ID {
				return nil
			}
			tried++
			return fmt.Errorf("too large: %w", errAway)
		}, nil)
		w.match(w.event("bk_a", 1))
		pass(2 * time.Second)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		pass(58 * time.Second)
		w.mu.Lock()
		if tried < 10 || tried > 20 {
			t.Errorf("tried %d times in a minute", tried)
		}
		w.mu.Unlock()
		w.faults(nil, nil)
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 2}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// over writes what another notifier, which has led before, had on its way when this one had read the log.
func (w *world) over(t *testing.T, change func(r *Record)) {
	t.Helper()
	r := w.list()[0]
	change(&r)
	if err := w.Put(t.Context(), []*Record{&r})[0]; err != nil {
		t.Error(err)
	}
}

func triedOnce(r *Record) {
	r.State, r.NextAttemptTime = Retrying, events.At(time.Now().Add(time.Minute))
	r.Attempts = []Attempt{{Number: 1, StartTime: events.At(time.Now()), Outcome: Timeout}}
}

// What another notifier wrote late over a record that this one had read does not make it forget the delivery.
func TestAdopt_NothingIsForgottenThatIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		end    bool
		want   map[string]int
	}{
		"delivered":   {200, false, map[string]int{"DELIVERED": 1}},
		"tried again": {503, false, map[string]int{"DELIVERED": 1}},
		"suppressed":  {503, true, map[string]int{"SUPPRESSED ADMIN": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := &endpoint{}
				s := subscribe(t, "shop", "a", e)
				w := newWorld(t, s)
				defer w.stop()
				e.answer = func(r Request) Answer {
					if r.Attempt > 1 {
						return Answer{Status: 200}
					}
					time.Sleep(time.Second)
					if !c.end {
						w.over(t, triedOnce)
					}
					return Answer{Status: c.status}
				}
				w.match(w.event("bk_a", 1))
				pass(2 * time.Second)
				if c.end {
					w.over(t, triedOnce)
					s.Disabled, s.Reason = true, ByAdmin
					if err := w.Set(t.Context(), s, Health{}); err != nil {
						t.Fatal(err)
					}
				}
				pass(time.Hour)
				if diff := cmp.Diff(c.want, w.states()); diff != "" {
					t.Error(diff)
				}
				w.accounted(0)
			})
		})
	}
}

// Who has lost the lease while its request ran changes nothing of what its successor has stored.
func TestAdopt_NothingIsWrittenOverWithoutTheLease(t *testing.T) {
	in(t, func(t *testing.T) {
		e := &endpoint{}
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer w.stop()
		ev, lost := w.event("bk_a", 1), time.Now().Add(time.Millisecond)
		w.Engine.mu.Lock()
		w.Held = func() bool { return time.Now().Before(lost) }
		w.Engine.mu.Unlock()
		e.answer = func(Request) Answer {
			time.Sleep(soon / 2)
			w.theirs(t, s, ev, nil)
			return Answer{Status: 503}
		}
		w.match(ev)
		pass(time.Minute)
		if r := w.list()[0]; r.State != Pending || w.seq != 1 || len(e.requests()) != 1 {
			t.Errorf("%d requests, %d writes: %s", len(e.requests()), w.seq, r.State)
		}
		go w.stop()
		pass(time.Minute)
		if w.Floor(0) > 1 {
			t.Errorf("left at 1, the floor is %d", w.Floor(0))
		}
	})
}
