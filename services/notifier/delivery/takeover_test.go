package delivery

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An outcome that could not be stored when the notifier stopped leaves an open record: Floor does not pass it.
func TestFloor_CountsWhatAStopLeftOpen(t *testing.T) {
	in(t, func(t *testing.T) {
		hold := make(chan struct{})
		e := &endpoint{answer: func(r Request) Answer {
			if r.Event.ID == "bk_a-step-1" {
				<-hold
			}
			return Answer{Status: 200}
		}}
		w := newWorld(t, subscribe(t, "shop", "a", e))
		w.match(w.event("bk_a", 1), w.event("bk_a", 2))
		pass(3 * soon)
		w.faults(every, nil)
		go w.stop()
		synctest.Wait()
		close(hold)
		pass(time.Minute)
		if first := w.list()[0]; first.State != Pending || w.Floor(0) > first.Seq {
			t.Errorf("%s at %d, the floor is %d", first.State, first.Seq, w.Floor(0))
		}
	})
}

// With nothing open the place does not go back to the beginning of the log.
func TestFloor_StaysWithNothingOpen(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t, subscribe(t, "shop", "a", always(200)))
		defer w.stop()
		w.Load(t.Context(), nil, 0, 42)
		if got := w.Floor(0); got != 42 {
			t.Errorf("got %d", got)
		}
	})
}

// A replay is stored without an answer, and others move the place on before it is asked for again: when it turns up the
// place goes back to it, or nobody would send it after a kill.
func TestFloor_GoesBackToWhatTurnsUp(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(200))
		w := newWorld(t)
		defer w.stop()
		w.subs[s.ID] = s
		if err := w.Set(t.Context(), s, Health{PausedUntil: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		other := subscribe(t, "elsewhere", "b", always(200))
		if err := w.Set(t.Context(), other, Health{}); err != nil {
			t.Fatal(err)
		}
		ev := w.event("bk_a", 1)
		w.faults(nil, every)
		if _, err := w.Replay(t.Context(), s.ID, "rp_1", ev); err == nil {
			t.Fatal("its answer was to be lost")
		}
		w.faults(nil, nil)
		if _, err := w.Replay(t.Context(), other.ID, "rp_2", ev); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		floor := w.Floor(0)
		if floor <= 1 {
			t.Fatalf("the floor is %d: the test is about one that has moved on", floor)
		}
		if _, err := w.Replay(t.Context(), s.ID, "rp_1", ev); err != nil {
			t.Fatal(err)
		}
		if got := w.Floor(floor); got != 1 {
			t.Errorf("open at 1, the floor is %d", got)
		}
	})
}

// What another one had stored of events above its place is read again until these are matched: Floor stays below.
func TestFloor_CountsWhatWasInherited(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stop()
		w.Load(t.Context(), []*Record{{DeliveryID: "dl_a", SubscriptionID: "su_a", EventSeq: 5, State: Delivered, Seq: 7}}, 4, 3)
		w.Engine.mu.Lock()
		w.newest = 9 // others were stored meanwhile
		w.Engine.mu.Unlock()
		if got := w.Floor(0); got != 7 {
			t.Errorf("not matched: %d", got)
		}
		w.Matched(5)
		if got := w.Floor(0); got != 9 {
			t.Errorf("matched: %d", got)
		}
	})
}

// Of a source the first has no record and the second has one when another notifier takes over: they keep their order,
// and what has ended is not sent again. Twice in a row.
func TestTakeover_KeepsTheOrderAndSendsNothingTwice(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Ordered = true
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.faults(func(r *Record) error {
			if r.EventID == "bk_a-step-1" {
				return errAway
			}
			return nil
		}, nil)
		w.match(w.event("bk_a", 1), w.event("bk_a", 2), w.event("bk_b", 1))
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"PENDING": 1, "DELIVERED": 1}, w.states()); diff != "" {
			t.Fatal(diff)
		}
		for range 2 {
			if floor, matched := w.Floor(0), w.Matched(3); matched != 0 || slices.ContainsFunc(w.list(), func(r Record) bool { return r.Seq < floor }) {
				t.Errorf("floor %d, matched up to %d", floor, matched)
			}
			w.restart(s)
			pass(time.Minute)
		}
		w.faults(nil, nil)
		pass(time.Minute)
		got := map[string]int{}
		for _, id := range e.ids() {
			got[id]++
		}
		// One more of the first from each notifier, as its outcome was never stored.
		if diff := cmp.Diff(map[string]int{"bk_a-step-1": 3, "bk_a-step-2": 1, "bk_b-step-1": 1}, got); diff != "" || e.ids()[4] != "bk_a-step-2" {
			t.Errorf("%v: %s", e.ids(), diff)
		}
		w.accounted(0)
	})
}

// Who may have lost the lease begins no request; what waits is sent when the lease is surely held.
func TestHeld_NothingIsSentWithoutTheLease(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		from := time.Now().Add(time.Minute)
		w.Held = func() bool { return !time.Now().Before(from) }
		w.match(w.event("bk_a", 1))
		pass(time.Minute - time.Second)
		if n := len(e.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		pass(time.Minute)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		w.accounted(0)
	})
}

// What waits for the lease waits in its lane: nothing of the rate is used up meanwhile.
func TestHeld_WaitingForTheLeaseTakesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.RatePerMinute = 1
		w := newWorld(t, s)
		defer w.stop()
		from := time.Now().Add(90 * time.Second)
		w.Engine.mu.Lock()
		w.Held = func() bool { return !time.Now().Before(from) }
		w.Engine.mu.Unlock()
		w.match(w.event("bk_a", 1))
		pass(92 * time.Second)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		w.accounted(0)
	})
}

// The lease is lost between the choice of a delivery and its request, while its event is read: none is made.
func TestHeld_IsLookedAtBeforeTheRequest(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t)
		defer w.stop()
		w.subs[s.ID] = s
		if err := w.Set(t.Context(), s, Health{PausedUntil: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		release, until, from := make(chan struct{}), time.Now().Add(2*time.Minute), time.Now().Add(time.Hour)
		w.Engine.mu.Lock()
		w.letters = newLetters(slow{w, release})
		w.Held = func() bool { return time.Now().Before(until) || !time.Now().Before(from) }
		w.Engine.mu.Unlock()
		pass(2 * time.Minute)
		if running := w.InFlight(s.ID); len(running) != 1 {
			t.Fatalf("%v are begun", running)
		}
		close(release)
		pass(10 * time.Minute)
		if n := len(e.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		pass(time.Hour)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		w.accounted(0)
	})
}
