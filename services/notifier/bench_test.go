package notifier

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// The load of the benchmarks: so many receivers, so many requests at once to each.
const (
	receivers = 16
	atOnce    = 8
)

// BenchmarkDeliver compares signed deliveries, from the log of events to their records, with bare signed POSTs to the
// same receivers, as many at once: the same body, the same headers, each with its limit of time, and nothing read before
// or stored after. The rounds alternate, as the machine is never the same for long; what counts is x-bare, the median
// of their ratios.
func BenchmarkDeliver(b *testing.B) {
	const many, rounds = 1000, 5
	for b.Loop() {
		l := newLoad(b)
		var ratios, ours, bare []float64
		var ourTook, bareTook took
		for range rounds {
			body := l.publish(many)
			n := float64(many * receivers)
			theirs := l.barePosts(body, many, &bareTook)
			mine := l.deliver(many, &ourTook)
			bare, ours = append(bare, n/theirs.Seconds()), append(ours, n/mine.Seconds())
			ratios = append(ratios, theirs.Seconds()/mine.Seconds())
		}
		b.Logf("ratios %.2f; deliveries/s %.0f, bare %.0f", ratios, ours, bare)
		b.ReportMetric(median(ratios), "x-bare")
		b.ReportMetric(median(ours), "deliveries/s")
		b.ReportMetric(median(bare), "bare/s")
		ourTook.report(b, "request")
		bareTook.report(b, "bare")
	}
}

// BenchmarkTellAtHalfLoad measures how long it takes from before an event is published until a receiver has it,
// at half of the throughput that the same run has shown.
func BenchmarkTellAtHalfLoad(b *testing.B) {
	const warm, many = 300, 400
	for b.Loop() {
		l := newLoad(b)
		l.publish(warm)
		full := float64(warm) / l.deliver(warm, new(took)).Seconds()
		var published sync.Map
		var late took
		l.arrived = func(id string) {
			if at, ok := published.Load(id); ok {
				late.add(time.Since(at.(time.Time)))
			}
		}
		stop := l.start()
		tick := time.NewTicker(time.Duration(float64(time.Second) * 2 / full))
		for range many {
			at := <-tick.C
			id := "bk_" + base26(l.backups+1)
			published.Store(id+"-requested", at)
			l.backup("shop", "orders")
		}
		tick.Stop()
		eventually(b, "all have been told", func() bool { return late.count() >= many*receivers })
		stop()
		b.ReportMetric(full*receivers/2, "deliveries/s")
		late.report(b, "told")
	}
}

// load is a world with receivers.
type load struct {
	*world
	url     string
	got     atomic.Int64
	arrived func(id string)
}

func newLoad(b *testing.B) *load {
	b.Helper()
	l := &load{world: newWorld(b), arrived: func(string) {}}
	// The line of other tests goes through a proxy that looks at every frame, and their log is kept.
	l.bus = l.server.ConnectWith(b, bus.Config{InProcess: l.server})
	l.connect = func() *bus.Bus { return l.bus }
	l.handler = slog.NewJSONHandler(io.Discard, nil) //nolint:sloglint // to encode the lines is part of the work
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		l.got.Add(1)
		l.arrived(req.Header.Get("webhook-id"))
	}))
	b.Cleanup(s.Close)
	l.url = s.URL
	for n := range receivers {
		l.subscribe("shop", fmt.Sprint("s", n), fmt.Sprint(s.URL, "/", n), func(s *subscription.Subscription) {
			s.MaxInFlight = atOnce
			s.RatePerMinute = 60_000
		})
	}
	return l
}

// publish appends events and returns one of the bodies that are sent of them.
func (l *load) publish(n int) []byte {
	var last events.Stored
	for range n {
		last = l.backup("shop", "orders")
	}
	body, err := events.Structured(last.Event)
	if err != nil {
		l.t.Fatal(err)
	}
	return body
}

// deliver runs a notifier until n events have been delivered to all and recorded; the time begins when it leads.
func (l *load) deliver(n int, t *took) time.Duration {
	l.got.Store(0)
	part := l.build()
	for i, s := range part.registry.fixed {
		part.registry.fixed[i].Endpoint = timed{s.Endpoint, t}
	}
	stop := l.run(part)
	eventually(l.t, "it leads", func() bool { return part.active.Load() != nil })
	start := time.Now()
	eventually(l.t, "all have been delivered", func() bool { return l.got.Load() >= int64(n*receivers) })
	stop()
	return time.Since(start)
}

// timed is an endpoint whose requests are timed.
type timed struct {
	delivery.Endpoint
	took *took
}

// Post implements delivery.Endpoint.
func (t timed) Post(ctx context.Context, r delivery.Request) delivery.Answer {
	start := time.Now()
	defer func() { t.took.add(time.Since(start)) }()
	return t.Endpoint.Post(ctx, r)
}

// barePosts sends n signed bodies to each receiver, over connections of its own.
func (l *load) barePosts(body []byte, n int, t *took) time.Duration {
	secret, err := delivery.ParseSecret(signingKey)
	if err != nil {
		l.t.Fatal(err)
	}
	var running sync.WaitGroup
	start := time.Now()
	for r := range receivers {
		transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
		defer transport.CloseIdleConnections()
		var next atomic.Int64
		for range atOnce {
			running.Go(func() {
				for next.Add(1) <= int64(n) {
					begun := time.Now()
					if err := barePost(transport, fmt.Sprint(l.url, "/", r), secret, body); err != nil {
						l.t.Error(err)
						return
					}
					t.add(time.Since(begun))
				}
			})
		}
	}
	running.Wait()
	return time.Since(start)
}

func barePost(transport *http.Transport, url string, secret delivery.Secret, body []byte) error {
	now := time.Now()
	sig, err := secret.Sign("evt", now, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{
		"Content-Type": {delivery.ContentType}, "Webhook-Id": {"bk_aaaaaaaaaaaaaaaaaaaaaaaaaa-requested"},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {sig},
		"Backupbus-Subscription": {"su_aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "Backupbus-Delivery": {"dl_aaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"Backupbus-Attempt": {"1"}, "Webhook-Request-Origin": {"backupbus.test"}, "User-Agent": {"backupbus-notifier/test"},
		"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}

// took collects durations. Safe for concurrent use.
type took struct {
	mu  sync.Mutex
	all []time.Duration
}

func (t *took) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, d)
}

func (t *took) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

func (t *took) report(b *testing.B, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.Sort(t.all)
	for _, p := range []int{50, 99} {
		at := t.all[len(t.all)*p/100]
		b.ReportMetric(float64(at.Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", what, p))
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
