// Package notifier delivers events to webhooks: the service around package delivery.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier/api"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/mail"
	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
	"github.com/backupbus/backupbus/services/secret"
)

// service is its name for parts, logs and dead letters.
const service = "notifier"

// slots is how many requests run at once, of all subscriptions together.
const slots = 1024

// Resolver finds the addresses of a sink's name.
type Resolver = sink.Resolver

// Deps are what the service stands on. Bus, Log and Now are needed.
type Deps struct {
	Bus      *bus.Bus
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  prometheus.Registerer            // default: figures are counted and shown nowhere
	Resolver Resolver                         // default net.DefaultResolver
	Random   func() float64                   // in [0, 1), the jitter of the retry plan; default math/rand
	Env      func(name string) (string, bool) // where secretRef env:NAME looks; default os.LookupEnv
	Access   access.Grants                    // who may do what at the API; without an entry, anybody everything
}

func (d Deps) withDefaults() Deps {
	if d.Resolver == nil {
		d.Resolver = net.DefaultResolver
	}
	if d.Random == nil {
		d.Random = rand.Float64
	}
	if d.Env == nil {
		d.Env = os.LookupEnv
	}
	return d
}

// New reads the secrets, takes the address of the API and makes the part. It is ready when it knows all
// subscriptions, active or not. The streams, durables and buckets have to be there (bus.Provision).
func New(ctx context.Context, d Deps, c Config) (*Notifier, error) {
	n, err := newService(ctx, d, c, delivery.ContractPlan())
	if err != nil {
		return nil, err
	}
	return &Notifier{n}, nil
}

// Notifier is the service.
type Notifier struct{ *notifier }

var _ host.Part = (*Notifier)(nil)

// Addr is the address of the API; empty without notifier.keyRef, as subscriptions then cannot be kept.
func (n *Notifier) Addr() string {
	if n.server == nil {
		return ""
	}
	return n.server.Addr()
}

func newService(ctx context.Context, d Deps, c Config, plan delivery.Plan) (_ *notifier, err error) {
	if d.Bus == nil || d.Log == nil || d.Now == nil {
		return nil, errors.New("notifier: a dependency is missing")
	}
	d = d.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	cidrs, _ := c.cidrs() // Validate has refused what cannot be read
	n := &notifier{Deps: d, plan: plan, started: d.Now(), behind: map[string]error{}, patience: patience, handshakeOff: c.Handshake == handshakeOff,
		holder: "notifier-" + events.FreshKey(),
		registry: &registry{sinks: map[string]generation{}, rules: sink.Rules{AllowCIDRs: cidrs, Ports: c.AllowedPorts, Origin: c.Origin,
			Version: host.Version(), Resolver: d.Resolver}}}
	if n.registry.rules.Origin == "" {
		n.registry.rules.Origin = d.Bus.Name()
	}
	if n.registry.mail, err = mailServer(c.Mail, n.registry.rules.Origin, d.Env); err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	if err := n.open(ctx, c); err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	return n, nil
}

// mailServer reads the password; without a server it is one that refuses every sink.
func mailServer(c mail.Config, origin string, env func(string) (string, bool)) (*mail.Server, error) {
	var password string
	if c.PasswordRef != "" {
		var err error
		if password, err = secret.Read(c.PasswordRef, env); err != nil {
			return nil, fmt.Errorf("mail.passwordRef: %w", err)
		}
	}
	return mail.NewServer(c, password, origin), nil
}

// open is what can fail of making a notifier.
func (n *notifier) open(ctx context.Context, c Config) (err error) {
	if err := n.registry.settle(c, n.Env); err != nil {
		return err
	}
	if n.figures, err = newFigures(n.Metrics); err != nil {
		return err
	}
	n.records = records{n.Bus.DeliveryLog(), n.Log, n.figures.unreadable.Inc}
	if n.state, err = n.Bus.KeyValue(ctx, bus.NotifierStateBucket); err != nil {
		return err
	}
	n.keeper = keeper{state: n.state}
	if c.KeyRef == "" {
		return nil
	}
	key, err := secret.Read(c.KeyRef, n.Env)
	if err != nil {
		return fmt.Errorf("keyRef: %w", err)
	}
	sealer, err := subscription.NewSealer(key)
	if err != nil {
		return fmt.Errorf("keyRef: the key %w", err)
	}
	documents, err := n.Bus.KeyValue(ctx, bus.SubscriptionBucket)
	if err != nil {
		return err
	}
	n.store = subscription.NewStore(documents, sealer, n.Bus, n.Now, n.Log)
	n.keeper.store = n.store
	ring, err := access.Open(n.Access, n.Env)
	if err != nil {
		return err
	}
	if ring.Anyone() {
		n.Log.WarnContext(ctx, "no authentication: whoever reaches the address of the notifier's API may do everything", "address", c.listen())
	}
	h := api.New(n.store, backend{n}, ring, n.Now, n.Log, api.Config{MaxPerProject: c.MaxSubscriptions})
	n.server, err = host.Listen("notifier-api", c.listen(), h)
	return err
}

type notifier struct {
	Deps
	plan         delivery.Plan
	patience     time.Duration // until another replica takes over
	holder       string        // of the lease
	handshakeOff bool
	records      records
	registry     *registry
	figures      figures
	state        *bus.KeyValue
	keeper       keeper
	store        *subscription.Store // nil without a key: only subscriptions of the settings
	server       *host.Server        // likewise
	updating     sync.Mutex          // one version after the other reaches the engine
	behind       map[string]error    // of what subscriptions the engine has no newest version yet, and why
	started      time.Time
	active       atomic.Pointer[delivery.Engine]
}

// Name implements host.Part.
func (n *notifier) Name() string { return service }

// Run implements host.Part. When ctx ends, requests that have begun may finish; what waits stays in the log.
func (n *notifier) Run(ctx context.Context, ready func()) error {
	defer n.registry.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	ended := make(chan error, 3)
	run := func(f func() error) {
		running.Go(func() {
			defer cancel()
			ended <- f()
		})
	}
	if n.store != nil {
		known := make(chan struct{})
		run(func() error { return n.store.Run(ctx, func() { close(known) }) })
		select {
		case <-known:
		case <-ctx.Done():
			return ctx.Err()
		}
		serving := make(chan struct{})
		run(func() error { return n.server.Run(ctx, func() { close(serving) }) })
		select {
		case <-serving:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	run(func() error {
		return n.state.Lead(ctx, bus.Lease{Key: leaseKey, Holder: n.holder, Patience: n.patience, Now: n.Now}, n.lead)
	})
	ready()
	return <-ended
}
