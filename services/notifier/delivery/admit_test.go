package delivery

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLane_MoreThanItsShareIsPutOffWithoutUsingAnAttempt(t *testing.T) {
	t.Parallel()
	c := &clock{at: noon}
	l := newLane(c.now, 1, 3)
	leave, err := l.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan func(), 2)
	for _, id := range []string{"b", "c"} {
		if err := l.admit(id); err != nil { // what enter does first: now the share is taken
			t.Fatal(err)
		}
		go func() {
			l.slots <- struct{}{}
			entered <- func() { <-l.slots; l.exit() }
		}()
	}
	var pauses []time.Duration
	for range 7 {
		_, err := l.enter(t.Context(), "d")
		var later Later
		if !errors.As(err, &later) {
			t.Fatalf("want Later, got %v", err)
		}
		pauses = append(pauses, later.After)
	}
	if diff := cmp.Diff([]time.Duration{1, 2, 4, 8, 16, 32, 32}, seconds(pauses)); diff != "" {
		t.Error(diff)
	}
	leave()
	(<-entered)()
	(<-entered)()
	leave, err = l.enter(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if n := l.attempt("d", 8); n != 1 {
		t.Errorf("handed out eight times, put off seven times: attempt %d", n)
	}
	l.forget("d")
	if len(l.putOff) != 0 {
		t.Errorf("something is remembered: %v", l.putOff)
	}
}

func seconds(list []time.Duration) []time.Duration {
	for i := range list {
		list[i] /= time.Second
	}
	return list
}

func TestLane_PauseReachesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{at: noon}
		l := newLane(c.now, 1, 10)
		leave, err := l.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		const waiting = 5
		results := make(chan error, waiting)
		for i := range waiting {
			go func() {
				_, err := l.enter(t.Context(), strconv.Itoa(i))
				results <- err
			}()
		}
		synctest.Wait() // until all of them wait for the slot
		l.pause(2 * time.Minute)
		l.pause(time.Second) // a shorter one changes nothing
		leave()
		for range waiting {
			var later Later
			if err := <-results; !errors.As(err, &later) || later.After != 2*time.Minute {
				t.Errorf("want to come again in two minutes, got %v", err)
			}
		}
		c.advance(2 * time.Minute)
		if leave, err = l.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		leave()
		if l.inside != 0 || len(l.slots) != 0 {
			t.Errorf("%d inside, %d slots taken", l.inside, len(l.slots))
		}
	})
}

func TestLane_StopEndsTheWait(t *testing.T) {
	t.Parallel()
	l := newLane((&clock{at: noon}).now, 1, 10)
	leave, err := l.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.enter(ctx, "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error, got %v", err)
	}
	leave()
	if l.inside != 0 {
		t.Errorf("%d inside", l.inside)
	}
}
