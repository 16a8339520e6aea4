package delivery

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// What waits of one subscription is bounded; what comes on top of it is listed as SUPPRESSED, and a replay sends it.
func TestBacklog_IsBounded(t *testing.T) {
	in(t, func(t *testing.T) {
		s := subscribe(t, "shop", "a", always(200))
		s.Unverified = true // six a minute
		w := newWorld(t, s)
		defer w.stop()
		w.MaxOpen = 20
		var evs []events.Stored
		for n := range 50 {
			evs = append(evs, w.event("bk_a", n))
		}
		for _, ev := range evs {
			w.match(ev)
		}
		pass(time.Hour)
		states := w.states()
		if sent, full := states["DELIVERED"], states["SUPPRESSED BACKLOG_FULL"]; sent < 20 || sent > 25 || sent+full != 50 {
			t.Errorf("%v", states)
		}
		for _, r := range w.list() {
			if r.Reason != Backlog {
				continue
			}
			if ok, err := w.Replay(t.Context(), s.ID, "rp_x", evs[r.EventSeq-1]); !ok || err != nil {
				t.Fatal(ok, err)
			}
			pass(time.Minute)
		}
		if got := w.states(); got["DELIVERED"] != 50 {
			t.Errorf("after the replay: %v", got)
		}
	})
}

// Replays that wait take no place from live events. Of more than half as many as may wait the rest is put off, never
// SUPPRESSED; asked for again, nothing is made twice. The log tells once that a subscription is full.
func TestBacklog_ReplaysCountApart(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		s.Unverified = true // six a minute
		w := newWorld(t, s)
		defer w.stop()
		var told safeBuffer
		w.MaxOpen, w.Logger = 20, slog.New(slog.NewTextHandler(&told, nil))
		var old []events.Stored
		for n := range 40 {
			old = append(old, w.event("bk_old", n))
		}
		replay := func() error {
			for _, ev := range old {
				if ok, err := w.Replay(t.Context(), s.ID, "rp_x", ev); err != nil || !ok {
					return err
				}
			}
			return nil
		}
		if err := replay(); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if n := len(w.list()); n < 10 || n > 20 {
			t.Fatalf("%d replays were taken in", n)
		}
		for n := range 20 {
			w.match(w.event("bk_live", n))
		}
		if got := w.states(); got["SUPPRESSED BACKLOG_FULL"] != 0 || strings.Contains(told.String(), Backlog) {
			t.Fatalf("live events behind replays: %v", got)
		}
		for n := range 30 {
			w.match(w.event("bk_more", n))
		}
		full := w.states()["SUPPRESSED BACKLOG_FULL"]
		if n := strings.Count(told.String(), "reason="+Backlog); full < 20 || n != 1 {
			t.Errorf("%d suppressed, told %d times", full, n)
		}
		for replay() != nil {
			pass(time.Minute)
		}
		pass(time.Hour)
		if diff := cmp.Diff(map[string]int{"DELIVERED": 90 - full, "SUPPRESSED BACKLOG_FULL": full}, w.states()); diff != "" {
			t.Error(diff)
		}
		sent := map[string]int{}
		for _, r := range e.requests() {
			if r.Replay {
				sent[r.Event.ID]++
			}
		}
		for _, ev := range old {
			if sent[ev.ID] != 1 {
				t.Errorf("%s was replayed %d times", ev.ID, sent[ev.ID])
			}
		}
		for n := range 45 { // it is told again once there was room
			w.match(w.event("bk_again", n))
		}
		if n := strings.Count(told.String(), "reason="+Backlog); n != 2 {
			t.Errorf("told %d times", n)
		}
	})
}

// A delivery that waited behind a pause until its time was over is DEAD, without another request.
func TestPlan_NoAttemptBeginsAfterTheLimit(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(500)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer func() { w.stop() }()
		w.match(w.event("bk_a", 1))
		pass(time.Second)
		w.stop()
		pass(97 * time.Hour) // nobody leads
		before := len(e.requests())
		w.restart(s)
		pass(time.Minute)
		if n := len(e.requests()); n != before {
			t.Errorf("%d requests after the limit", n-before)
		}
		if diff := cmp.Diff(map[string]int{"DEAD EXPIRED": 1}, w.states()); diff != "" {
			t.Error(diff)
		}
		if len(w.dead) != 1 || w.dead[0].Reason != Expired || w.dead[0].Attempts != before || w.dead[0].LastStatusCode != 500 {
			t.Errorf("told %+v", w.dead)
		}
	})
}

// events.md 7.9: a replay of a time meets the subscription's own events too.
func TestReplay_NeverSendsASubscriptionItsOwnEvents(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		s := subscribe(t, "shop", "a", e)
		w := newWorld(t, s)
		defer w.stop()
		own := w.event("bk_a", 1)
		own.Subject = "subscriptions/" + s.ID
		if ok, err := w.Replay(t.Context(), s.ID, "rp_x", own); !ok || err != nil {
			t.Errorf("%v %v", ok, err)
		}
		own.Subject += strings.Repeat("x", 3) // another's
		if ok, err := w.Replay(t.Context(), s.ID, "rp_x", own); !ok || err != nil {
			t.Errorf("%v %v", ok, err)
		}
		pass(time.Minute)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// safeBuffer is written by an engine and read by its test.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
