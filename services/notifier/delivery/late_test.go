package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// What ends at once has one record in all, and the place is passed when that is stored.
func TestLate_WhatEndsSoonIsWrittenOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t, subscribe(t, "shop", "a", always(200)))
		defer w.stop()
		w.match(w.event("bk_a", 1), w.event("bk_b", 1))
		pass(time.Minute)
		if w.seq != 2 || w.Matched(2) != 2 {
			t.Errorf("%d writes, matched up to %d", w.seq, w.Matched(2))
		}
		w.accounted(0)
	})
}

// Whatever holds a delivery up, it soon has a record, and the place goes on.
func TestLate_WhatWaitsHasARecordSoon(t *testing.T) {
	for name, hold := range map[string]func(s *Subscription, h *Health, e *endpoint){
		"the sink hangs": func(_ *Subscription, _ *Health, e *endpoint) {
			e.answer = func(Request) Answer { time.Sleep(time.Hour); return Answer{Status: 200} }
		},
		"Retry-After": func(_ *Subscription, h *Health, _ *endpoint) { h.PausedUntil = time.Now().Add(time.Hour) },
		"circuit": func(_ *Subscription, h *Health, _ *endpoint) {
			h.OpenFor, h.OpenUntil = time.Hour, time.Now().Add(time.Hour)
		},
		"no free slot": func(s *Subscription, _ *Health, e *endpoint) { s.MaxInFlight, e.answer = 1, slowly },
		"order":        func(s *Subscription, _ *Health, e *endpoint) { s.Ordered, e.answer = true, slowly },
		"rate":         func(s *Subscription, _ *Health, _ *endpoint) { s.RatePerMinute = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := always(200)
				s, h := subscribe(t, "shop", "a", e), Health{}
				hold(&s, &h, e)
				w := newWorld(t)
				defer w.stop()
				w.subs[s.ID] = s
				if err := w.Set(t.Context(), s, h); err != nil {
					t.Fatal(err)
				}
				w.match(w.event("bk_a", 1), w.event("bk_a", 2))
				synctest.Wait()
				if n := len(w.list()); n > 1 || w.Matched(2) > 1 {
					t.Errorf("at once: %d records, matched up to %d", n, w.Matched(2))
				}
				pass(3 * soon)
				if n := len(w.list()); n != 2 || w.Matched(2) != 2 {
					t.Errorf("soon: %d records, matched up to %d", n, w.Matched(2))
				}
				pass(5 * time.Hour)
				if diff := cmp.Diff(map[string]int{"DELIVERED": 2}, w.states()); diff != "" || len(e.requests()) != 2 {
					t.Errorf("%d requests: %s", len(e.requests()), diff)
				}
				w.accounted(0)
			})
		})
	}
}

func slowly(Request) Answer {
	time.Sleep(time.Minute)
	return Answer{Status: 200}
}

// held is a log whose first writes of PENDING wait.
type held struct {
	Log
	release chan struct{}
}

func (h held) Put(ctx context.Context, records []*Record) []error {
	if records[0].State == Pending {
		<-h.release
	}
	return h.Log.Put(ctx, records)
}

// The outcome comes while the first record is under way: one follows the other.
func TestLate_OutcomeWaitsForTheFirstRecord(t *testing.T) {
	for name, suppressed := range map[string]bool{"an answer": false, "disabled": true} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := &endpoint{answer: func(Request) Answer { time.Sleep(3 * soon); return Answer{Status: 200} }}
				s := subscribe(t, "shop", "a", e)
				h := Health{}
				if suppressed {
					h.PausedUntil = time.Now().Add(time.Hour)
				}
				w := newWorld(t)
				defer func() { w.stop() }()
				w.subs[s.ID] = s
				log := held{w, make(chan struct{})}
				w.Log = log
				if err := w.Set(t.Context(), s, h); err != nil {
					t.Fatal(err)
				}
				w.match(w.event("bk_a", 1))
				pass(4 * soon)
				if suppressed {
					s.Disabled, s.Reason = true, ByAdmin
					if err := w.Set(t.Context(), s, h); err != nil {
						t.Fatal(err)
					}
				}
				if n := len(w.list()); n != 0 || w.Matched(1) != 0 {
					t.Errorf("%d records, matched up to %d", n, w.Matched(1))
				}
				close(log.release)
				pass(time.Minute)
				want := map[string]int{"DELIVERED": 1}
				if suppressed {
					want = map[string]int{"SUPPRESSED ADMIN": 1}
				}
				if diff := cmp.Diff(want, w.states()); diff != "" || w.seq != 2 || w.Matched(1) != 1 {
					t.Errorf("%d writes, matched up to %d: %s", w.seq, w.Matched(1), diff)
				}
				w.accounted(0)
			})
		})
	}
}

// So many are without a record and no more, however long the log is away; Match goes on when it is back, and ends with
// its context.
func TestLate_WhatHasNoRecordIsBounded(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t, subscribe(t, "shop", "a", always(200)), subscribe(t, "shop", "b", always(200)))
		defer w.stop()
		w.faults(every, nil)
		var evs []events.Stored
		for n := range mostWaiting {
			evs = append(evs, w.event("bk_a", n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Match(ctx, evs...); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w.Engine.mu.Lock()
		n := len(w.bare)
		w.Engine.mu.Unlock()
		if n < mostWaiting || n > mostWaiting+2*8 || w.Matched(uint64(len(evs))) != 0 {
			t.Errorf("%d without a record, matched up to %d", n, w.Matched(uint64(len(evs))))
		}
		w.faults(nil, nil)
		w.match(evs...)
		pass(24 * time.Hour)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 2 * mostWaiting}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// Many events for a sink that hangs, or is spared: what will wait is stored without waiting, so that Match goes on.
func TestLate_WhatIsStuckMakesRoomAtOnce(t *testing.T) {
	for name, paused := range map[string]bool{"the sink hangs": false, "Retry-After": true} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				const many = 20 * mostWaiting
				s := subscribe(t, "shop", "a", &endpoint{answer: slowly})
				w := newWorld(t)
				defer w.stop()
				h := Health{}
				if paused {
					h.PausedUntil = time.Now().Add(time.Hour)
				}
				w.subs[s.ID] = s
				if err := w.Set(t.Context(), s, h); err != nil {
					t.Fatal(err)
				}
				var evs []events.Stored
				for n := range many {
					evs = append(evs, w.event("bk_a", n))
				}
				start := time.Now()
				w.match(evs...)
				if took := time.Since(start); took > 5*soon {
					t.Errorf("it took %s", took)
				}
				pass(3 * soon)
				if diff := cmp.Diff(map[string]int{"PENDING": many}, w.states()); diff != "" || w.Matched(many) != many {
					t.Error(diff)
				}
			})
		})
	}
}

// Match ends in the middle of what it was given: how far it came is not forgotten, or what has ended would be sent again.
func TestLate_MatchThatEndsHalfwayIsRemembered(t *testing.T) {
	in(t, func(t *testing.T) {
		w := newWorld(t, subscribe(t, "shop", "a", always(200)))
		defer w.stop()
		w.faults(func(r *Record) error {
			if r.EventSeq > 5 {
				return errAway
			}
			return nil
		}, nil)
		var evs []events.Stored
		for n := range 2 * mostWaiting {
			evs = append(evs, w.event("bk_a", n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Match(ctx, evs...); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if got := w.Matched(0); got != 5 {
			t.Errorf("matched up to %d", got)
		}
	})
}

// What is refused at the door is stored before Match returns; with the log away the place does not pass it.
func TestLate_SuppressedAtTheDoorCountsWhenItIsStored(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(200))
		s.Disabled, s.Reason = true, ByAdmin
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1))
		if n := len(w.list()); n != 1 || w.Matched(1) != 1 {
			t.Errorf("%d records, matched up to %d", n, w.Matched(1))
		}
		w.faults(every, nil)
		w.match(w.event("bk_a", 2))
		if w.Matched(2) != 1 {
			t.Errorf("matched up to %d", w.Matched(2))
		}
		w.faults(nil, nil)
		pass(2 * time.Minute)
		if diff := cmp.Diff(map[string]int{"SUPPRESSED ADMIN": 2}, w.states()); diff != "" || w.Matched(2) != 2 {
			t.Errorf("matched up to %d: %s", w.Matched(2), diff)
		}
		w.accounted(0)
	})
}

// Disabled or removed before its first record: it ends SUPPRESSED.
func TestLate_EndsWithItsSubscription(t *testing.T) {
	for _, want := range []string{"SUPPRESSED ADMIN", "SUPPRESSED DELETED"} {
		t.Run(want, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e := always(200)
				s := subscribe(t, "shop", "a", e)
				w := newWorld(t)
				defer w.stop()
				w.subs[s.ID] = s
				if err := w.Set(t.Context(), s, Health{PausedUntil: time.Now().Add(time.Hour)}); err != nil {
					t.Fatal(err)
				}
				w.match(w.event("bk_a", 1))
				if s.Disabled, s.Reason = true, ByAdmin; want == "SUPPRESSED DELETED" {
					w.Remove(t.Context(), s.ID)
				} else if err := w.Set(t.Context(), s, Health{}); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				if diff := cmp.Diff(map[string]int{want: 1}, w.states()); diff != "" || len(e.requests()) != 0 || w.Matched(1) != 1 {
					t.Errorf("%d requests, matched up to %d: %s", len(e.requests()), w.Matched(1), diff)
				}
				w.accounted(0)
			})
		})
	}
}
