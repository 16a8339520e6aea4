package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// W11: without permission at most six a minute; with an allowed rate at most that.
func TestW11_RatesHold(t *testing.T) {
	in(t, func(t *testing.T) {
		slow, thirty := always(200), always(200)
		a, b := subscribe(t, "shop", "a", slow), subscribe(t, "shop", "b", thirty)
		a.Unverified, b.RatePerMinute = true, 30
		w := newWorld(t, a, b)
		defer w.stop()
		for n := range 100 {
			w.match(w.event("bk_a", n))
		}
		const window = time.Minute
		pass(window - time.Millisecond)
		if n := len(slow.requests()); n != 6 {
			t.Errorf("unverified: %d in the first minute", n)
		}
		if n := len(thirty.requests()); n != 30 {
			t.Errorf("30 a minute: %d in the first minute", n)
		}
		pass(time.Hour)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 200}, w.states()); diff != "" {
			t.Error(diff)
		}
	})
}

// W12: of one source one after the other, the others go on; after DEAD it goes on too.
func TestW12_OrderedBySource(t *testing.T) {
	in(t, func(t *testing.T) {
		e := &endpoint{}
		e.answer = func(r Request) Answer {
			if r.Event.ID == "bk_a-step-1" {
				return Answer{Status: 400}
			}
			return Answer{Status: 200}
		}
		s := subscribe(t, "shop", "a", e)
		s.Ordered = true
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.match(w.event("bk_a", 1), w.event("bk_a", 2), w.event("bk_b", 1), w.event("bk_b", 2), w.event("bk_a", 3))
		pass(time.Minute)
		w.restart(s)
		pass(time.Minute)
		for _, id := range e.ids() {
			if id == "bk_a-step-2" || id == "bk_a-step-3" {
				t.Errorf("%s overtook", id)
			}
		}
		if diff := cmp.Diff(map[string]int{"DELIVERED": 2, "RETRYING": 1, "PENDING": 2}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(3)
		pass(100 * time.Hour)
		got := e.ids()
		if diff := cmp.Diff([]string{"bk_a-step-1", "bk_a-step-2", "bk_a-step-3"}, got[len(got)-3:]); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int{"DELIVERED": 4, "DEAD EXHAUSTED": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}
