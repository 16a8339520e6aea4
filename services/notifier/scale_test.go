package notifier

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// 1,000 subscriptions, of which 10 hang: the others hardly notice.
func TestNotifier_TenThatHangDoNotSlowTheOthers(t *testing.T) {
	const all, hanging, rounds = 1000, 10, 6
	p99 := func(hang int) time.Duration {
		w := newWorld(t)
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

// BenchmarkDeliver compares signed deliveries, from the log of events to their record, with bare signed POSTs to
// the same receiver. The figure that counts is x-bare.
func BenchmarkDeliver(b *testing.B) {
	const subscriptions, workers = 16, 8
	w := newWorld(b)
	// The line of other tests goes through a proxy that looks at every frame.
	w.bus = w.server.ConnectWith(b, bus.Config{InProcess: w.server})
	var got atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		got.Add(1)
	}))
	b.Cleanup(s.Close)
	for n := range subscriptions {
		w.subscribe("shop", fmt.Sprint("s", n), fmt.Sprint(s.URL, "/", n), func(s *subscription.Subscription) { s.MaxInFlight = workers; s.RatePerMinute = 60_000 })
	}
	const many = 1500
	var body []byte
	for range many {
		ev := w.backup("shop", "orders")
		var err error
		if body, err = events.Structured(ev.Event); err != nil {
			b.Fatal(err)
		}
	}
	const total = many * subscriptions
	for b.Loop() {
		bare := barePosts(b, s.URL, body, total, subscriptions*workers)
		got.Store(0)
		e, _, err := w.build().state.Get(b.Context(), positionKey)
		if err != nil {
			b.Fatal(err)
		}
		if e.Revision > 0 {
			b.Skip("one run a process")
		}
		start := time.Now()
		stop := w.start()
		eventually(b, "all have been delivered", func() bool { return got.Load() >= total })
		ours := time.Since(start)
		stop()
		b.ReportMetric(float64(total)/ours.Seconds(), "deliveries/s")
		b.ReportMetric(float64(total)/bare.Seconds(), "bare/s")
		b.ReportMetric(bare.Seconds()/ours.Seconds(), "x-bare")
	}
}

func barePosts(b *testing.B, url string, body []byte, total, workers int) time.Duration {
	b.Helper()
	secret, err := delivery.ParseSecret(signingKey)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: workers, DialContext: (&net.Dialer{}).DialContext}
	defer transport.CloseIdleConnections()
	var next atomic.Int64
	var running sync.WaitGroup
	start := time.Now()
	for range workers {
		running.Go(func() {
			for next.Add(1) <= int64(total) {
				now := time.Now()
				sig, err := secret.Sign("evt", now, body)
				if err != nil {
					b.Error(err)
					return
				}
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("webhook-id", "evt")
				req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
				req.Header.Set("webhook-signature", sig)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	running.Wait()
	return time.Since(start)
}
