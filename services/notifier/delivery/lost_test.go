package delivery

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

var errAway = errors.New("the log is away")

// faults sets what the log does to writes from now on.
func (w *world) faults(refuse, lose func(r *Record) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse, w.lose = refuse, lose
}

func every(*Record) error { return errAway }

// The record of an outcome is stored and its writer does not learn it: the delivery has ended all the same.
func TestStore_WithoutAnAnswer(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		w.faults(nil, every)
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		w.faults(nil, nil)
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 1}, w.states()); diff != "" || len(e.requests()) != 1 {
			t.Errorf("%d requests: %s", len(e.requests()), diff)
		}
		w.accounted(0)
	})
}

// A record that another notifier stored after this one had read the log is not left to nobody; one that is disabled
// meanwhile ends.
func TestMatch_StoredByAnotherIsTakenIn(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer w.stop()
		for n, want := range []map[string]int{{"DELIVERED": 1}, {"DELIVERED": 1, "SUPPRESSED ADMIN": 1}} {
			ev := w.event("bk_a", n)
			id, err := events.DeliveryID(s.ID, ev.Source, ev.ID)
			if err != nil {
				t.Fatal(err)
			}
			theirs := &Record{DeliveryID: id, SubscriptionID: s.ID, Project: "shop", EventID: ev.ID, EventSeq: ev.Seq, EventSource: ev.Source, State: Pending}
			if err := w.Put(t.Context(), []*Record{theirs})[0]; err != nil {
				t.Fatal(err)
			}
			w.match(ev)
			pass(time.Minute)
			if diff := cmp.Diff(want, w.states()); diff != "" {
				t.Error(diff)
			}
			s.Disabled, s.Reason = true, ByAdmin
			if err := w.Set(t.Context(), s, Health{}); err != nil {
				t.Fatal(err)
			}
		}
		w.accounted(0)
	})
}

// Of two events of one source the first cannot be stored: the second does not overtake it.
func TestMatch_NothingOvertakesWhatCouldNotBeStored(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Ordered = true
		w := newWorld(t, s)
		defer w.stop()
		w.faults(func(r *Record) error {
			if r.EventID == "bk_a-step-1" {
				return errAway
			}
			return nil
		}, nil)
		w.match(w.event("bk_a", 1), w.event("bk_a", 2), w.event("bk_b", 1))
		pass(time.Minute)
		if got := e.ids(); len(got) != 2 || slices.Contains(got, "bk_a-step-2") || w.Matched(3) != 0 {
			t.Errorf("matched up to %d, sent %v", w.Matched(3), got)
		}
		w.faults(nil, nil)
		pass(time.Minute)
		if got := e.ids(); len(got) != 3 || got[2] != "bk_a-step-2" || w.Matched(3) != 3 {
			t.Errorf("matched up to %d, sent %v", w.Matched(3), got)
		}
		w.accounted(0)
	})
}

// The end of what waits cannot be stored: it is tried again, and the place in the log stays below until then.
func TestSet_SuppressesEvenIfTheLogIsAway(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(500))
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		w.faults(every, nil)
		s.Disabled, s.Reason = true, ByAdmin
		if err := w.Set(t.Context(), s, Health{}); err != nil {
			t.Fatal(err)
		}
		if r := w.list()[0]; r.State != Retrying || w.Floor(r.Seq) != r.Seq {
			t.Errorf("%s, floor %d", r.State, w.Floor(r.Seq))
		}
		w.faults(nil, nil)
		pass(2 * time.Minute)
		if diff := cmp.Diff(map[string]int{"SUPPRESSED ADMIN": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// What a disabled subscription has left says why it is disabled.
func TestLoad_SuppressesWithTheReason(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(500))
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		s.Disabled, s.Reason = true, Failing
		w.restart(s)
		pass(time.Second)
		if diff := cmp.Diff(map[string]int{"SUPPRESSED FAILING": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// What the old sink answers late is not held against the new one; nor is what was known of it.
func TestEndpoint_AnswersOfAnEarlierTargetDoNotCount(t *testing.T) {
	in(t, func(t *testing.T) {
		hold := make(chan struct{})
		old, fresh := &endpoint{answer: func(Request) Answer { <-hold; return Answer{Status: 410} }}, always(200)
		s := subscribe(t, "shop", "a", old)
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1))
		synctest.Wait()
		s.Endpoint, s.Target = fresh, 2
		w.mu.Lock()
		w.subs[s.ID] = s
		w.mu.Unlock()
		if err := w.Set(t.Context(), s, Health{}); err != nil {
			t.Fatal(err)
		}
		close(hold)
		pass(time.Minute)
		w.match(w.event("bk_a", 2))
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"DEAD GONE": 1, "DELIVERED": 1}, w.states()); diff != "" || len(w.turns) != 0 {
			t.Errorf("%v %s", w.turns, diff)
		}
	})
}

// The document has another target already, and the engine does not know it yet: nothing is turned, and it goes on.
func TestTurn_OfAnEarlierTargetStopsNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		gone := true
		e := &endpoint{}
		e.answer = func(Request) Answer {
			if gone {
				gone = false
				return Answer{Status: 410}
			}
			return Answer{Status: 200}
		}
		s := subscribe(t, "shop", "a", e)
		s.MaxInFlight = 1
		w := newWorld(t, s)
		defer w.stop()
		s.Target = 2
		w.mu.Lock()
		w.subs[s.ID] = s
		w.mu.Unlock()
		w.match(w.event("bk_a", 1), w.event("bk_a", 2))
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"DEAD GONE": 1, "DELIVERED": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
	})
}

// Enabled while nobody led: the failures from before do not disable it again.
func TestSet_TakesOverNoFailuresOfAnEarlierTarget(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t)
		defer w.stop()
		h := Health{FirstFailure: time.Now().Add(-130 * time.Hour), LastFailure: time.Now().Add(-time.Hour), OpenFor: longestOpen, OpenUntil: time.Now().Add(time.Hour)}
		if !h.Disables(time.Now()) {
			t.Fatal("the test is about a subscription that had to be disabled")
		}
		s.Target = 7
		w.subs[s.ID] = s
		if err := w.Set(context.Background(), s, h); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		w.match(w.event("bk_a", 1))
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 1}, w.states()); diff != "" || len(w.turns) != 0 {
			t.Errorf("%v %s", w.turns, diff)
		}
	})
}

// Two of one source are in flight when an order is asked for: whichever ends first, each is sent once more at most.
func TestLane_OrderAskedForWhileTwoAreInFlight(t *testing.T) {
	t.Parallel()
	for name, retry := range map[string]bool{"the second ends first": false, "the second is tried again": true} {
		l := newLane("shop")
		l.become(Subscription{MaxInFlight: 8, RatePerMinute: 600}, noon)
		one := &item{Record: Record{DeliveryID: "dl_1", EventSource: "s"}, due: noon, order: 1}
		two := &item{Record: Record{DeliveryID: "dl_2", EventSource: "s"}, due: noon, order: 2}
		for _, i := range []*item{one, two} {
			l.add(i)
			l.take(i)
		}
		l.become(Subscription{MaxInFlight: 8, RatePerMinute: 600, Ordered: true}, noon)
		delete(l.inFlight, two.DeliveryID)
		if retry {
			l.again(two)
		} else {
			l.end(two)
		}
		if len(l.plain) != 0 {
			t.Errorf("%s: it overtakes", name)
		}
		delete(l.inFlight, one.DeliveryID)
		l.end(one)
		if want := map[bool]int{false: 0, true: 1}[retry]; len(l.plain) != want {
			t.Errorf("%s: %d wait", name, len(l.plain))
		}
	}
}

// A probe that is throttled without Retry-After leaves the circuit open.
func TestCircuit_ThrottledProbeWaitsAgain(t *testing.T) {
	t.Parallel()
	h := Health{OpenFor: firstOpen, OpenUntil: noon}
	var c circuit
	c.begin(&h)
	c.end(&h, Throttled, noon.Add(time.Second))
	if from, ok := c.admit(&h); !ok || !from.Equal(noon.Add(time.Second+firstOpen)) {
		t.Errorf("%s, %v", from, ok)
	}
}

// A secret across the cut is taken out as a whole.
func TestPreview_RedactsBeforeItCuts(t *testing.T) {
	t.Parallel()
	pad := make([]byte, maxPreview-30)
	for i := range pad {
		pad[i] = '.'
	}
	got := preview(string(pad) + " whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5")
	if len(got) > maxPreview || got[len(pad):] != " "+events.Redacted {
		t.Errorf("%q", got[len(pad):])
	}
}
