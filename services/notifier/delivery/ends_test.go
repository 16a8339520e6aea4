package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// slow is a log of events that is read slowly.
type slow struct {
	Events
	release chan struct{}
}

func (s slow) At(ctx context.Context, seq uint64) (events.Event, error) {
	<-s.release
	return s.Events.At(ctx, seq)
}

// The subscription is removed, or stops for good, while a delivery is on its way that is then put off: it ends all the
// same, and the place does not pass it before. One that comes back to a subscription of that name made anew ends too.
func TestFinish_WhatIsPutOffEndsWithItsSubscription(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, w *world, s Subscription)
		want string
	}{
		"removed":           {func(t *testing.T, w *world, s Subscription) { w.Remove(t.Context(), s.ID) }, "SUPPRESSED DELETED"},
		"removed and again": {removeAndSet, "SUPPRESSED DELETED"},
		"gone": {func(_ *testing.T, w *world, s Subscription) { // of the settings: no document is disabled
			w.Engine.mu.Lock()
			defer w.Engine.mu.Unlock()
			w.lanes[s.ID].stopped = IsGone
		}, "SUPPRESSED GONE"},
	} {
		t.Run(name, func(t *testing.T) {
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
				release, from := make(chan struct{}), time.Now().Add(2*time.Minute)
				w.Engine.mu.Lock()
				w.letters = newLetters(slow{w, release})
				w.Held = func() bool { return time.Now().Before(from) }
				w.Engine.mu.Unlock()
				pass(time.Until(from)) // it is read
				c.end(t, w, s)
				pass(time.Minute)
				if got := w.Floor(0); got != 1 {
					t.Errorf("open at 1, the floor is %d", got)
				}
				close(release)
				pass(3 * soon)
				if diff := cmp.Diff(map[string]int{c.want: 1}, w.states()); diff != "" || len(e.requests()) != 0 {
					t.Errorf("%d requests: %s", len(e.requests()), diff)
				}
				w.accounted(0)
			})
		})
	}
}

func removeAndSet(t *testing.T, w *world, s Subscription) {
	w.Remove(t.Context(), s.ID)
	if err := w.Set(t.Context(), s, Health{}); err != nil {
		t.Fatal(err)
	}
}

// The subscription is removed while a request runs, and the notifier stops before its outcome is stored: the place stays
// below its record, so that whoever takes over ends it.
func TestFloor_CountsWhatRunsForASubscriptionThatIsRemoved(t *testing.T) {
	in(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := subscribe(t, "shop", "a", &endpoint{answer: func(Request) Answer { <-hold; return Answer{Status: 200} }})
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.match(w.event("bk_a", 1))
		pass(3 * soon)
		w.Remove(t.Context(), s.ID)
		w.newest = 9 // others were stored meanwhile
		if got := w.Floor(0); got != 1 {
			t.Errorf("open at 1, the floor is %d", got)
		}
		w.faults(every, nil)
		go w.stop()
		synctest.Wait()
		close(hold)
		pass(time.Minute)
		if got := w.Floor(0); got != 1 {
			t.Errorf("left open at 1, the floor is %d", got)
		}
		w.faults(nil, nil)
		w.restart()
		pass(time.Minute)
		if diff := cmp.Diff(map[string]int{"SUPPRESSED DELETED": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		w.accounted(0)
	})
}

// What has ended is not counted for ever.
func TestFloor_PassesWhatRanForASubscriptionThatIsRemoved(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", &endpoint{answer: slowly})
		w := newWorld(t, s)
		defer w.stop()
		w.match(w.event("bk_a", 1))
		pass(3 * soon)
		w.Remove(t.Context(), s.ID)
		pass(2 * time.Minute)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 1}, w.states()); diff != "" || w.Floor(0) != w.newest || len(w.removed) != 0 {
			t.Errorf("floor %d of %d, %d lanes: %s", w.Floor(0), w.newest, len(w.removed), diff)
		}
	})
}

// What is taken in for a subscription that sends nothing more, and has no document that says so, ends.
func TestPlace_EndsWhatComesToALaneThatHasStopped(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(200))
		w := newWorld(t, s)
		defer w.stop()
		w.Engine.mu.Lock()
		w.lanes[s.ID].stopped = Failing
		w.Engine.mu.Unlock()
		left := &Record{DeliveryID: "dl_a", SubscriptionID: s.ID, Project: "shop", EventSeq: 1, State: Pending}
		if err := w.Put(t.Context(), []*Record{left})[0]; err != nil {
			t.Fatal(err)
		}
		w.Load(t.Context(), []*Record{left}, 1, 0)
		if diff := cmp.Diff(map[string]int{"SUPPRESSED FAILING": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
	})
}
