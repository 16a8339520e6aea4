package notifier

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// place is how far the notifiers are, as whoever takes over reads it.
func (w *world) place() position {
	w.t.Helper()
	kv, err := w.bus.KeyValue(w.t.Context(), bus.NotifierStateBucket)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := readPosition(w.t.Context(), w.bus, kv)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A sink that hangs: its delivery soon has a record, and the position and the durable go on without it.
func TestLate_ASinkThatHangsHoldsUpNoPosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		<-release
	}))
	t.Cleanup(s.Close)
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { s.TimeoutMs = 30_000 })
	w.start()
	ev := w.backup("shop", "orders")
	eventually(t, "it has a record", func() bool { return w.states()[delivery.Pending] == 1 })
	eventually(t, "the position goes on", func() bool { return w.place().Events >= ev.Seq })
	eventually(t, "it is acknowledged", func() bool {
		acked, err := w.bus.Acked(t.Context(), bus.NotifierDurable)
		return err == nil && acked >= ev.Seq
	})
	free()
	w.accounted(1)
}

// Stopped in the middle of many events, a notifier leaves nothing behind that its successor does not find, and what it
// has sent is not sent again.
func TestLate_AStopForgetsNothing(t *testing.T) {
	t.Parallel()
	const many = 300
	w := newWorld(t)
	var mu sync.Mutex
	seen, third := map[string]int{}, make(chan struct{})
	reach := sync.OnceFunc(func() { close(third) })
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		if seen[req.Header.Get("webhook-id")]++; len(seen) == many/3 {
			reach()
		}
	}))
	t.Cleanup(s.Close)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { s.RatePerMinute = 60_000 })
	for range many {
		w.backup("shop", "orders")
	}
	stop := w.start()
	receive(t, "a third has been sent", third)
	stop()
	w.start()
	w.accounted(many)
	mu.Lock()
	defer mu.Unlock()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}

// A notifier stands still for as long as another one needs to take over, and goes on: what it had in memory is sent by
// the other one only. It sends one after the other, so that hardly anything was on its way when it stood still.
func TestLate_StandingStillSendsNothingThatAnotherHas(t *testing.T) {
	t.Parallel()
	const many, slow = 200, 600 // 60 at once, then one in 100 ms
	w := newWorld(t)
	var mu sync.Mutex
	seen, reached := map[string]int{}, make(chan struct{})
	reach := sync.OnceFunc(func() { close(reached) })
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		if seen[req.Header.Get("webhook-id")]++; len(seen) == slow/10+5 {
			reach()
		}
	}))
	t.Cleanup(s.Close)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { *s = pendingOf(string(s.Sink), 60_000) })
	for range many {
		w.backup("shop", "orders")
	}
	first, kill := w.child(s.URL, slow)
	defer kill()
	receive(t, "more than the burst has been sent", reached)
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stop := w.start()
	w.accounted(many)
	if err := first.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stop()
	w.backup("shop", "orders") // is sent when the first one leads again: what it led before has ended
	w.accounted(many + 1)
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	if twice > 1 {
		t.Errorf("%d were sent twice", twice)
	}
}
