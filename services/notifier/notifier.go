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
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// service is its name for parts, logs and dead letters.
const service = "notifier"

// window is how many deliveries are in hand at once. It is the durable's MaxAckPending, so that whatever
// has been fetched is marked as in progress (bus.SubscriberConfig).
const window = 1000

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

// New reads the secrets and makes the part. It is ready when events and deliveries are being taken. The
// streams and durables have to be there (bus.Provision).
func New(ctx context.Context, d Deps, c Config) (host.Part, error) {
	return newService(ctx, d, c, delivery.ContractPlan())
}

func newService(_ context.Context, d Deps, c Config, plan delivery.Plan) (*notifier, error) {
	if d.Bus == nil || d.Log == nil || d.Now == nil {
		return nil, errors.New("notifier: a dependency is missing")
	}
	d = d.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	n := &notifier{Deps: d}
	subscriptions, err := n.open(c)
	if err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	finished, err := newFigures(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	n.pipeline, err = delivery.New(delivery.Deps{
		Queue: newQueue(d.Bus), Appender: d.Bus, Log: d.Log, Now: d.Now, Random: d.Random,
		Count: finished.count, Plan: plan, Window: window,
	}, subscriptions)
	if err != nil {
		return nil, fmt.Errorf("notifier: %w", err)
	}
	return n, nil
}

type notifier struct {
	Deps
	pipeline *delivery.Pipeline
	sinks    []*sink.Webhook
}

// open makes the endpoint of every subscription and reads its secret; it reports all that fail.
func (n *notifier) open(c Config) ([]delivery.Subscription, error) {
	cidrs, _ := c.cidrs() // Validate has refused what cannot be read
	rules := sink.Rules{AllowCIDRs: cidrs, Ports: c.AllowedPorts, Origin: c.Origin,
		Version: host.Version(), Resolver: n.Resolver}
	if rules.Origin == "" {
		rules.Origin = n.Bus.Name()
	}
	var out []delivery.Subscription
	var errs []error
	for i, s := range c.Subscriptions {
		d, w, err := openOne(rules, s, n.Env)
		if err != nil {
			errs = append(errs, fmt.Errorf("subscriptions[%d].%w", i, err))
			continue
		}
		out, n.sinks = append(out, d), append(n.sinks, w)
	}
	return out, errors.Join(errs...)
}

func openOne(rules sink.Rules, s subscription.Subscription, env func(string) (string, bool)) (delivery.Subscription, *sink.Webhook, error) {
	id, err := s.ID()
	if err != nil {
		return delivery.Subscription{}, nil, fmt.Errorf("name: %w", err)
	}
	to, err := rules.Parse(string(s.Sink))
	if err != nil {
		return delivery.Subscription{}, nil, fmt.Errorf("sink: %w", err)
	}
	secret, err := readSecret(s.SecretRef, env)
	if err != nil {
		return delivery.Subscription{}, nil, fmt.Errorf("secretRef: %w", err)
	}
	w := rules.New(to, s.InFlight())
	return delivery.Subscription{
		ID: id, Name: s.Name, Project: s.Project, Interest: s.Interest, Secret: secret, Endpoint: w,
		Timeout: s.Timeout(), MaxInFlight: s.InFlight(),
	}, w, nil
}

// Name implements host.Part.
func (n *notifier) Name() string { return service }

// Run implements host.Part. When ctx ends, requests that have begun may finish; deliveries that wait are
// handed back.
func (n *notifier) Run(ctx context.Context, ready func()) error {
	defer func() {
		for _, w := range n.sinks {
			w.Close()
		}
	}()
	router, err := bus.NewRouter(n.Bus, service, n.Log)
	if err != nil {
		return err
	}
	router.AddConsumerHandler("match", bus.NotifierDurable, n.Bus.Subscriber(bus.SubscriberConfig{}), n.match)
	router.AddConsumerHandler("deliver", bus.DeliveriesDurable, n.Bus.Subscriber(bus.SubscriberConfig{Window: window}), n.deliver)
	go func() {
		select {
		case <-router.Running():
			ready()
		case <-ctx.Done():
		}
	}()
	return router.Run(ctx)
}
