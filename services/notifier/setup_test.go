package notifier

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
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
	server  *bustest.Server
	bus     *bus.Bus        // the test's own: it may do everything
	connect func() *bus.Bus // of a notifier, with its rights
	config  Config
	key     string // under which subscriptions are sealed
	plan    delivery.Plan
	lookups func(host string) ([]netip.Addr, error)
	metrics *prometheus.Registry
	log     *safeBuffer
	handler slog.Handler // of the log
	access  access.Grants
	lease   time.Duration // how long a notifier holds it without a word
	ahead   atomic.Int64  // nanoseconds that the notifiers' clock is before ours
	backups int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s := bustest.Guarded(t, bus.Topology{})
	t.Cleanup(func() {
		for _, text := range s.Refused() {
			t.Errorf("the notifier lacks a right, or asks for too much: %s", text)
		}
	})
	w := &world{t: t, server: s, bus: s.Connect(t), plan: quick(), lease: time.Second, log: &safeBuffer{},
		config:  Config{AllowCIDRs: []string{"127.0.0.1/32", "::1/128"}},
		lookups: func(string) ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil }}
	w.handler = slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	w.connect = func() *bus.Bus { return s.ConnectAs(t, bus.NotifierUser) }
	bustest.Provision(t, w.bus)
	return w
}

// now is the clock of the notifiers.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

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

func (w *world) build() *notifier { return w.buildOn(w.connect()) }

// buildOn makes a notifier with a connection of its own.
func (w *world) buildOn(b *bus.Bus) *notifier {
	w.t.Helper()
	n, err := newService(w.t.Context(), Deps{
		Bus: b, Log: slog.New(w.handler),
		Now: w.now, Metrics: w.registerer(), Resolver: w, Random: func() float64 { return 0.5 },
		Env: func(name string) (string, bool) {
			if name == "KEY" {
				return w.key, true
			}
			return signingKey, true
		},
		Access: w.access,
	}, w.config, w.plan)
	if err != nil {
		w.t.Fatal(err)
	}
	n.patience = w.lease
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
	return w.run(w.build())
}

func (w *world) run(n *notifier) (stop func()) {
	w.t.Helper()
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

// log is every record of a delivery.
func (w *world) deliveries() []*delivery.Record {
	w.t.Helper()
	var out []*delivery.Record
	_, err := w.bus.DeliveryLog().Scan(w.t.Context(), bus.DeliveryLogRoot+".>", 0, func(r bus.Row) error {
		d, err := delivery.ReadRecord(r.Data, r.Seq)
		out = append(out, d)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// states counts the records by their states.
func (w *world) states() map[delivery.State]int {
	w.t.Helper()
	out := map[delivery.State]int{}
	for _, d := range w.deliveries() {
		out[d.State]++
	}
	return out
}

// accounted ends every test of faults: so many deliveries were matched, each is DELIVERED, DEAD or SUPPRESSED, and
// nothing is open.
func (w *world) accounted(matched int) {
	w.t.Helper()
	var s map[delivery.State]int
	ended := func() int { return s[delivery.Delivered] + s[delivery.Dead] + s[delivery.Suppressed] }
	eventually(w.t, "all deliveries have ended", func() bool {
		s = w.states()
		return ended() >= matched
	})
	total := 0
	for _, n := range s {
		total += n
	}
	if ended() != matched || total != matched {
		w.t.Errorf("%d matched, but there are %v", matched, s)
	}
}

// allEnded waits until there was a delivery and none is left.
func (w *world) allEnded() {
	w.t.Helper()
	eventually(w.t, "all deliveries have ended", func() bool {
		all := w.deliveries()
		return len(all) > 0 && !slices.ContainsFunc(all, func(d *delivery.Record) bool { return d.State.Open() })
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
