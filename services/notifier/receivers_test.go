package notifier

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// W5, W7, W9, W10, W20: real receivers that misbehave twice, or for ever. Every event that was matched has ended.
func TestW20_ReceiversThatMisbehave(t *testing.T) {
	t.Parallel()
	const events = 2 // with four attempts each they do not open the circuit
	elsewhere := newReceiver(t, 200)
	for name, c := range map[string]struct {
		bad     http.HandlerFunc
		outcome delivery.Outcome
		forever bool
	}{
		"slow": {bad: func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, outcome: delivery.Timeout},
		"resetting": {bad: func(rw http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}, outcome: delivery.Reset},
		"redirecting": {bad: func(rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, elsewhere.URL, http.StatusFound)
		}, outcome: delivery.Redirect, forever: true},
		"gone":      {bad: func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusGone) }, outcome: delivery.Gone, forever: true},
		"too large": {bad: func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusRequestEntityTooLarge) }, outcome: delivery.PermanentStatus, forever: true},
		"throttled until a date": {bad: func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
			rw.WriteHeader(http.StatusTooManyRequests)
		}, outcome: delivery.Throttled},
		"64 MB of body": {bad: func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = io.CopyN(rw, zeros{}, 64<<20)
		}, outcome: delivery.HTTPError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var asked atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				if n := asked.Add(1); c.forever || n <= 2 {
					c.bad(rw, req)
				}
			}))
			t.Cleanup(s.Close)
			w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { s.TimeoutMs = 1000; s.MaxInFlight = 1 })
			w.start()
			for range events {
				w.backup("shop", "orders")
			}
			w.accounted(events)
			if got := w.outcomes()[string(c.outcome)]; got == 0 || !c.forever && got != 2 {
				t.Errorf("%v", w.outcomes())
			}
			if n := w.states()[delivery.Delivered]; c.forever && n != 0 || !c.forever && n != events {
				t.Errorf("%v", w.states())
			}
			if len(elsewhere.requests) != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// W9 and W20: a name that turns to a private address while it is delivered to, and back.
func TestW9_NameThatIsReboundForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	w.subscribe("shop", "rebound", strings.Replace(r.URL, "127.0.0.1", "hooks.test", 1))
	var asked atomic.Int32
	w.lookups = func(string) ([]netip.Addr, error) {
		if asked.Add(1) <= 2 { // one forbidden address refuses them all
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	w.start()
	w.backup("shop", "orders")
	if g := receive(t, "a request", r.requests); g.attempt() != "3" {
		t.Errorf("attempt %s", g.attempt())
	}
	w.accounted(1)
	if diff := cmp.Diff(map[string]float64{"BLOCKED_ADDRESS": 2, "SUCCESS": 1}, w.outcomes()); diff != "" {
		t.Error(diff)
	}
}
