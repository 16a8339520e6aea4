package notifier

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// W20: answers of the bus lost, the line cut, the server restarted, a sink that fails now and then. A receiver that
// stores webhook-id processes each event once, and every delivery has ended.
func TestW20_EveryFaultAndEachEventOnce(t *testing.T) {
	t.Parallel()
	const many = 200
	w := newWorld(t)
	var mu sync.Mutex
	processed, requests := map[string]int{}, 0
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		requests++
		id := req.Header.Get("webhook-id")
		switch {
		case rand.IntN(20) == 0:
			rw.WriteHeader(http.StatusInternalServerError)
		case processed[id] == 0:
			processed[id]++
		}
	}))
	t.Cleanup(s.Close)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { s.RatePerMinute = 60_000 })
	w.start()
	ofLog := func(f bustest.Frame) bool {
		return bustest.PubAck(f) && bytes.Contains(f.Data, []byte(bus.DeliveryLogStream))
	}
	for n := range many {
		switch n {
		case 20, 40, 60:
			w.server.Faults.Drop(3, ofLog)
		case 80:
			w.server.Faults.Cut()
		case 120:
			w.server.Restart(t)
		case 160:
			w.server.Faults.Double(5, bustest.Delivered(bus.DeliveryLogRoot))
		}
		w.backup("shop", "orders")
	}
	w.accounted(many)
	mu.Lock()
	defer mu.Unlock()
	if dead := w.states()[delivery.Dead]; len(processed) != many-dead {
		t.Errorf("%d events processed in %d requests, %d of %d are dead", len(processed), requests, dead, many)
	}
}
