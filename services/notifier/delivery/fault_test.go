package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// W4, W5, W6, W7, W9, W10, W13, W20: whatever a receiver does, every event that was matched ends.
func TestFaults_EveryMatchedEventEnds(t *testing.T) {
	const many = 20
	failing := func(o Outcome, until time.Duration) func(time.Duration) Answer {
		return func(since time.Duration) Answer {
			if since < until {
				return Answer{Failure: o}
			}
			return Answer{Status: 200}
		}
	}
	status := func(n int) func(time.Duration) Answer { return func(time.Duration) Answer { return Answer{Status: n} } }
	for name, c := range map[string]struct {
		answer func(since time.Duration) Answer
		want   map[string]int
	}{
		"down for an hour":          {failing(ConnectFailure, time.Hour), map[string]int{"DELIVERED": many}},
		"slow for ten minutes":      {failing(Timeout, 10*time.Minute), map[string]int{"DELIVERED": many}},
		"resetting for ten minutes": {failing(Reset, 10*time.Minute), map[string]int{"DELIVERED": many}},
		"rebound for ten minutes":   {failing(BlockedAddress, 10*time.Minute), map[string]int{"DELIVERED": many}},
		"never a name":              {failing(DNSFailure, 1000*time.Hour), nil},
		"redirecting":               {status(302), nil},
		"gone": {func(time.Duration) Answer {
			time.Sleep(time.Second) // until all that may are on their way
			return Answer{Status: 410}
		}, map[string]int{"DEAD GONE": 8, "SUPPRESSED GONE": many - 8}},
		"too large": {status(413), map[string]int{"DEAD PERMANENT_STATUS": many}},
		"throttled until a date": {func(since time.Duration) Answer {
			if since < time.Minute {
				return Answer{Status: 429, RetryAfter: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}
			}
			return Answer{Status: 200}
		}, map[string]int{"DELIVERED": many}},
		"every third fails": {func(since time.Duration) Answer {
			if since.Milliseconds()%3 == 0 {
				return Answer{Status: 503}
			}
			return Answer{Status: 200}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				e, start := &endpoint{}, time.Now()
				e.answer = func(Request) Answer { return c.answer(time.Since(start)) }
				w := newWorld(t, subscribe(t, "shop", "a", e))
				defer w.stop()
				for n := range many {
					w.match(w.event("bk_a", n))
				}
				pass(300 * time.Hour)
				if diff := cmp.Diff(c.want, w.states()); c.want != nil && diff != "" {
					t.Error(diff)
				}
				w.accounted(0)
			})
		})
	}
}
