package notifier

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// 1,000 subscriptions, of which 10 hang: the others hardly notice.
func TestNotifier_TenThatHangDoNotSlowTheOthers(t *testing.T) {
	const all, hanging, rounds = 1000, 10, 6
	p99 := func(hang int) time.Duration {
		w := newWorld(t)
		w.lease = time.Minute // with the race detector the burst alone takes longer than the lease of the other tests
		release := make(chan struct{})
		var once sync.Once
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			if n, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/")); n < hang {
				<-release
			}
		}))
		defer s.Close()
		defer once.Do(func() { close(release) })
		others := map[string]bool{}
		for n := range all {
			id := w.subscribe("shop", fmt.Sprint("s", n), fmt.Sprint(s.URL, "/", n), func(s *subscription.Subscription) { s.MaxInFlight = 1; s.TimeoutMs = 30_000 })
			others[id] = n >= hanging
		}
		stop := w.start()
		took := func() (out []time.Duration) {
			for _, d := range w.deliveries() {
				if d.State == delivery.Delivered && others[d.SubscriptionID] {
					a := d.Attempts[0]
					out = append(out, a.StartTime.Add(time.Duration(a.DurationMs)*time.Millisecond).Sub(d.CreateTime.Time))
				}
			}
			return out
		}
		for n := range rounds {
			w.backup("shop", "orders")
			eventually(t, "the others have it", func() bool { return len(took()) == (n+1)*(all-hanging) })
		}
		list := took()
		slices.Sort(list)
		once.Do(func() { close(release) })
		stop()
		return list[len(list)*99/100]
	}
	calm, disturbed := p99(0), p99(hanging)
	t.Logf("p99 of the others: %s without, %s with ten that hang", calm, disturbed)
	if disturbed > 2*calm {
		t.Errorf("p99 of the others is %s, more than twice %s", disturbed, calm)
	}
}
