package delivery

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// W13: ten failures in a row open the circuit; waiting uses no attempts; one probe after 30 s, then 60 s.
func TestW13_CircuitOpensAndProbes(t *testing.T) {
	in(t, func(t *testing.T) {
		var healthy atomic.Bool
		e := &endpoint{}
		e.answer = func(Request) Answer {
			if healthy.Load() {
				return Answer{Status: 200}
			}
			return Answer{Status: 500}
		}
		s := subscribe(t, "shop", "a", e)
		s.MaxInFlight = 1
		w := newWorld(t, s)
		defer func() { w.stop() }()
		for n := range 20 {
			w.match(w.event("bk_a", n))
		}
		pass(29 * time.Second)
		if n := len(e.requests()); n != 10 {
			t.Fatalf("%d requests before the first probe", n)
		}
		pass(2 * time.Second)
		if n := len(e.requests()); n != 11 {
			t.Errorf("%d requests after 31 s, not one probe", n)
		}
		w.restart(s) // the circuit outlives the process
		pass(58 * time.Second)
		if n := len(e.requests()); n != 11 {
			t.Errorf("%d requests before the second probe", n)
		}
		waited := 0
		for _, r := range w.list() {
			if len(r.Attempts) == 0 && r.State == Pending {
				waited++
			}
		}
		if waited < 9 {
			t.Errorf("%d wait without an attempt", waited)
		}
		healthy.Store(true)
		pass(5 * time.Minute)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 20}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// W14: failing at 24 h, disabled at 120 h, unless there was one success.
func TestW14_FailingThenDisabled(t *testing.T) {
	for name, c := range map[string]struct {
		success time.Duration
		turns   []string
	}{
		"never a success":        {0, []string{"FAILING disable=false after 24h0m0s", "FAILING disable=true after 120h0m0s"}},
		"one success near 119 h": {119 * time.Hour, []string{"FAILING disable=false after 24h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := &endpoint{}
				start := time.Now()
				e.answer = func(Request) Answer {
					if at := time.Since(start); c.success > 0 && at >= c.success && at < c.success+time.Hour {
						return Answer{Status: 200}
					}
					return Answer{Status: 500}
				}
				w := newWorld(t, subscribe(t, "shop", "a", e))
				defer w.stop()
				for hour := range 130 {
					w.match(w.event("bk_a", hour))
					pass(time.Hour)
				}
				if diff := cmp.Diff(c.turns, w.turns); diff != "" {
					t.Error(diff)
				}
				open := 0
				for _, r := range w.list() {
					if r.State.Open() {
						open++
					}
				}
				if c.success == 0 && open > 0 {
					t.Errorf("%d are still open", open)
				}
				w.accounted(open) // of the one with a success, what failed since is not over after 130 h
			})
		})
	}
}
