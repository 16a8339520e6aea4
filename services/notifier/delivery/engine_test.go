package delivery

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// in runs a test with a clock of its own: hours pass when everybody waits.
func in(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// W2 and W4: twelve attempts at the times of the plan, then DEAD, and an event.
func TestW4_FailsTwelveTimesAndDies(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(500)
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		start := time.Now()
		w.match(w.event("bk_a", 1))
		pass(100 * time.Hour)
		want, at := []string{}, time.Duration(0)
		for _, d := range append([]time.Duration{0}, ContractPlan().Delays...) {
			at += d
			want = append(want, at.String())
		}
		var got []string
		for n, r := range e.requests() {
			got = append(got, r.At.Sub(start).Round(time.Second).String())
			if r.Attempt != n+1 || r.Event.ID != "bk_a-step-1" || n > 0 && r.Signature == e.got[n-1].Signature {
				t.Errorf("attempt %d: %+v", n+1, r)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		r := w.list()[0]
		if r.State != Dead || r.Reason != Exhausted || len(r.Attempts) != 12 || r.Attempts[11].StatusCode != 500 {
			t.Errorf("got %+v", r)
		}
		if len(w.dead) != 1 || w.dead[0].Attempts != 12 || w.dead[0].Reason != Exhausted {
			t.Errorf("told: %+v", w.dead)
		}
		w.accounted(0)
	})
}

// W5: nothing to that endpoint while it is paused, also after another process has taken over.
func TestW5_RetryAfterPausesTheEndpoint(t *testing.T) {
	in(t, func(t *testing.T) {
		first := true
		e := &endpoint{}
		e.answer = func(Request) Answer {
			if first {
				first = false
				return Answer{Status: 429, RetryAfter: "120"}
			}
			return Answer{Status: 200}
		}
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		w.match(w.event("bk_b", 1))
		w.restart(s)
		pass(118 * time.Second)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests within the pause", n)
		}
		pass(2 * time.Second)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 2}, w.states()); diff != "" {
			t.Error(diff)
		}
		if r := w.list()[0]; r.Attempts[0].RetryAfterSeconds != 120 || r.Attempts[0].Outcome != Throttled {
			t.Errorf("got %+v", r)
		}
		w.accounted(0)
	})
}

// W6: no further request, what waits and what comes is SUPPRESSED.
func TestW6_GoneDisables(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(410)
		s := subscribe(t, "shop", "a", e)
		s.MaxInFlight = 1
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1), w.event("bk_b", 1), w.event("bk_c", 1))
		pass(time.Minute)
		w.match(w.event("bk_d", 1))
		pass(time.Hour)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		if diff := cmp.Diff(map[string]int{"DEAD GONE": 1, "SUPPRESSED GONE": 3}, w.states()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"GONE disable=true after 0s"}, w.turns); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// W15: enabled again nothing is sent; replays are marked, with the same webhook-id, at half the rate.
func TestW15_ReplayAfterEnabling(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Disabled, s.Reason, s.RatePerMinute = true, ByAdmin, 20
		w := newWorld(t, s)
		defer w.stop()
		var evs []events.Stored
		for n := range 10 {
			evs = append(evs, w.event("bk_a", n))
		}
		w.match(evs...)
		if ok, err := w.Replay(t.Context(), s.ID, "rp_x", evs[0]); ok || err != nil {
			t.Errorf("replayed while disabled: %v, %v", ok, err)
		}
		s.Disabled, s.Reason = false, ""
		if err := w.Set(t.Context(), s, Health{}); err != nil {
			t.Fatal(err)
		}
		pass(48 * time.Hour)
		if len(e.requests()) != 0 {
			t.Error("enabling sends by itself")
		}
		for _, ev := range evs {
			for range 2 { // a replay that is executed again after a crash
				if ok, err := w.Replay(t.Context(), s.ID, "rp_x", ev); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
		}
		pass(30 * time.Second)
		if n := len(e.requests()); n > 6 {
			t.Errorf("%d replays in half a minute, at 20 a minute", n)
		}
		pass(time.Hour)
		got := map[string]bool{}
		for _, r := range e.requests() {
			got[r.Event.ID] = r.Replay
		}
		want := map[string]bool{}
		for _, ev := range evs {
			want[ev.ID] = true
		}
		if diff := cmp.Diff(want, got); diff != "" || len(e.requests()) != 10 {
			t.Errorf("%d requests: %s", len(e.requests()), diff)
		}
		if diff := cmp.Diff(map[string]int{"DELIVERED": 10, "SUPPRESSED ADMIN": 10}, w.states()); diff != "" {
			t.Error(diff)
		}
	})
}

type broken struct{}

func (broken) Wants(events.Event) (bool, error) { return false, errors.New("missing attribute") }

// W17: a filter that cannot be evaluated is counted and delivers nothing.
func TestW17_FilterErrorsAreCounted(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Interest = broken{}
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1), w.event("bk_a", 2))
		pass(2 * time.Minute)
		if h := w.health[s.ID]; h.FilterErrors != 2 || h.LastFilterError == "" || len(e.requests()) != 0 {
			t.Errorf("%+v", h)
		}
	})
}

// A project that has much to send does not hold up another that has little, nor a subscription its neighbour.
func TestPick_GoesRoundProjectsThenSubscriptions(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t)
		w.Slots = 1
		var order []string
		sink := func(name string) *endpoint {
			return &endpoint{answer: func(Request) Answer {
				order = append(order, name)
				time.Sleep(time.Millisecond)
				return Answer{Status: 200}
			}}
		}
		defer w.stop()
		for _, c := range []struct{ project, name string }{{"shop", "a"}, {"shop", "b"}, {"other", "c"}} {
			if err := w.Set(t.Context(), subscribe(t, c.project, c.name, sink(c.name)), Health{}); err != nil {
				t.Fatal(err)
			}
		}
		var evs []events.Stored
		for n := range 4 {
			mine := w.event("bk_a", n)
			theirs := w.event("bk_o", n)
			theirs.Project = "other"
			evs = append(evs, mine, theirs)
		}
		w.match(evs...)
		pass(time.Minute)
		c := 0
		for n, name := range order[:8] {
			if name == "c" {
				c++
			} else if n > 0 && order[n-1] == name {
				t.Errorf("%s twice in a row: %v", name, order)
			}
		}
		if c < 3 {
			t.Errorf("the small project had %d of the first eight turns: %v", c, order)
		}
	})
}

// Whatever happens: events matched = DELIVERED + DEAD + SUPPRESSED, and who loses the log stops.
func TestEngine_AnotherThatHasTakenOverIsNotOverwritten(t *testing.T) {
	in(t, func(t *testing.T) {
		hold := make(chan struct{})
		e := &endpoint{answer: func(Request) Answer { <-hold; return Answer{Status: 500} }}
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		w.match(w.event("bk_a", 1))
		pass(3 * soon)
		theirs := w.list()[0]
		theirs.State = Delivered
		if err := w.Put(t.Context(), []*Record{&theirs})[0]; err != nil {
			t.Fatal(err)
		}
		close(hold)
		pass(100 * time.Hour)
		if n := len(e.requests()); n != 1 || w.list()[0].State != Delivered {
			t.Errorf("%d requests, %s", n, fmt.Sprint(w.states()))
		}
		w.accounted(0)
	})
}
