package notifier

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

const soon = 30 * time.Second // for a loaded machine; nothing waits it out when all is well

var key = []byte("canary-canary-canary-canary-0123")

// signingKey is what every subscription of a test signs with.
var signingKey = "whsec_" + base64.StdEncoding.EncodeToString(key)

// quick is a plan for tests: four attempts.
func quick() delivery.Plan {
	return delivery.Plan{Delays: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
		Slow: 30 * time.Millisecond, Limit: time.Hour}
}

// world is a bus with streams, and what a notifier on it is given.
type world struct {
	t       testing.TB
	tap     *tap
	bus     *bus.Bus
	config  Config
	plan    delivery.Plan
	lookups func(host string) ([]netip.Addr, error)
	metrics *prometheus.Registry
	log     *safeBuffer
	backups int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s := bustest.Run(t)
	p := &tap{ended: map[string]bool{}}
	s.Faults.Drop(1, p.see)
	w := &world{t: t, tap: p, bus: s.Connect(t), plan: quick(), log: &safeBuffer{},
		config:  Config{AllowCIDRs: []string{"127.0.0.1/32", "::1/128"}},
		lookups: func(string) ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil }}
	bustest.Provision(t, w.bus)
	return w
}

// LookupNetIP makes the world its own resolver.
func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return w.lookups(host)
}

// subscribe adds a subscription of a project to the configuration and returns its id.
func (w *world) subscribe(project, name, sink string, change ...func(*subscription.Subscription)) string {
	w.t.Helper()
	s := subscription.Subscription{Name: name, Project: project, Sink: subscription.URL(sink), SecretRef: "env:SECRET"}
	for _, f := range change {
		f(&s)
	}
	u, err := url.Parse(sink)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		w.t.Fatal(err)
	}
	w.config.AllowedPorts = append(w.config.AllowedPorts, port)
	w.config.Subscriptions = append(w.config.Subscriptions, s)
	id, err := s.ID()
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) build() *notifier {
	w.t.Helper()
	n, err := newService(w.t.Context(), Deps{
		Bus: w.bus, Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: time.Now, Metrics: w.registerer(), Resolver: w, Random: func() float64 { return 0.5 },
		Env: func(string) (string, bool) { return signingKey, true },
	}, w.config, w.plan)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// registerer is a new registry for every notifier: the latest one's figures are looked at.
func (w *world) registerer() prometheus.Registerer {
	w.metrics = prometheus.NewRegistry()
	return w.metrics
}

// start runs a notifier until stop is called, or the test ends.
func (w *world) start() (stop func()) {
	w.t.Helper()
	n := w.build()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				w.t.Errorf("notifier: %v", err)
			}
		})
	}
	w.t.Cleanup(stop)
	receive(w.t, "the notifier is ready", ready)
	return stop
}

// backup appends backup.requested of a new backup.
func (w *world) backup(project, instance string) events.Stored {
	w.t.Helper()
	w.backups++
	at := time.Now()
	id := "bk_" + base26(w.backups)
	b := events.Backup{
		BackupID: id, Project: project, Provider: "sqlite", Instance: instance, IDs: events.NewBackupIDs(id, "", at),
		Trigger: events.OnDemand, Door: "native", RequestID: "rq_" + base26(w.backups),
		EnqueuedTime: events.At(at), Verification: events.NotVerified, MaxAttempts: 3,
	}
	got, err := w.bus.Append(w.t.Context(), bus.Draft{
		Aggregate: b.Aggregate(), Step: events.Requested, EventID: events.EventID(id, events.Backups, events.Requested, 0), At: at,
		Decide: func(context.Context, bus.Prior) (events.Payload, error) {
			return lifecycle.Advance(b, events.Requested)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.Stored
}

// base26 is a number as the end of an id.
func base26(n int) string {
	b := bytes.Repeat([]byte{'a'}, 26)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('a' + n%26)
		n /= 26
	}
	return string(b)
}

// tap reads on the line what became of BACKUP_DELIVERIES; it breaks nothing.
type tap struct {
	mu     sync.Mutex
	stored int
	ended  map[string]bool // by stream sequence
}

func (p *tap) see(f bustest.Frame) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ack := strings.Split(f.Subject, ".") // $JS.ACK.{stream}.{durable}.{deliveries}.{stream sequence}…
	switch {
	case bustest.PubAck(f) && bytes.Contains(f.Data, []byte(bus.DeliveryStream)) && !bytes.Contains(f.Data, []byte("duplicate")):
		p.stored++
	case len(ack) > 5 && ack[1] == "ACK" && ack[2] == bus.DeliveryStream && !f.ToClient &&
		(bytes.HasPrefix(f.Data, []byte("+ACK")) || bytes.HasPrefix(f.Data, []byte("+TERM"))):
		p.ended[ack[5]] = true
	}
	return false
}

// deliveries is how many there ever were, and how many have ended.
func (w *world) deliveries() (stored, ended int) {
	w.tap.mu.Lock()
	defer w.tap.mu.Unlock()
	return w.tap.stored, len(w.tap.ended)
}

// allEnded waits until there was a delivery and none is left.
func (w *world) allEnded() {
	w.t.Helper()
	eventually(w.t, "all deliveries have ended", func() bool {
		stored, ended := w.deliveries()
		return stored > 0 && ended == stored
	})
}

// dead waits for delivery.dead_lettered of a project.
func (w *world) dead(project string) (events.Stored, events.DeadDelivery) {
	w.t.Helper()
	var ev events.Stored
	eventually(w.t, "delivery.dead_lettered", func() bool {
		var there bool
		var err error
		ev, there, err = w.bus.Last(w.t.Context(), events.EventRoot+"."+project+"._._.delivery.*.dead_lettered")
		return err == nil && there
	})
	d, err := events.Decode[events.DeadDelivery](ev.Event)
	if err != nil {
		w.t.Fatal(err)
	}
	return ev, d
}

// outcomes are the counter's figures that are not zero.
func (w *world) outcomes() map[string]float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 && f.GetName() == "backupbus_deliveries_total" {
				out[m.GetLabel()[0].GetValue()] = v
			}
		}
	}
	return out
}
