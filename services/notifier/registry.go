package notifier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/format"
	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// registry makes endpoints of subscriptions: those of the settings once, those of documents for each generation.
// Safe for concurrent use.
type registry struct {
	rules sink.Rules

	mu    sync.Mutex
	fixed []delivery.Subscription // of the settings
	sinks map[string]generation   // of documents, by id
}

type generation struct {
	number int
	*sink.Webhook
}

func encoding(name, mode string) sink.Encoding {
	if f, ok := format.Of(name); ok {
		return f
	}
	if mode == subscription.BinaryMode {
		return sink.Binary{}
	}
	return sink.Structured{}
}

// settle makes the subscriptions of the settings; it reports all whose secret or sink cannot be used.
func (r *registry) settle(c Config, env func(string) (string, bool)) error {
	var errs []error
	for i, s := range c.Subscriptions {
		d, err := r.fix(s, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("subscriptions[%d].%w", i, err))
			continue
		}
		r.fixed = append(r.fixed, d)
	}
	return errors.Join(errs...)
}

func (r *registry) fix(s subscription.Subscription, env func(string) (string, bool)) (delivery.Subscription, error) {
	id, err := s.ID()
	if err != nil {
		return delivery.Subscription{}, fmt.Errorf("name: %w", err)
	}
	to, err := r.rules.Parse(string(s.Sink))
	if err != nil {
		return delivery.Subscription{}, fmt.Errorf("sink: %w", err)
	}
	secret, err := readSecret(s.SecretRef, env)
	if err != nil {
		return delivery.Subscription{}, fmt.Errorf("secretRef: %w", err)
	}
	return delivery.Subscription{
		ID: id, Name: s.Name, Project: s.Project, Interest: s.Interest, Signer: delivery.Keys{Secret: secret},
		Endpoint: r.rules.New(to, sink.Options{Idle: s.InFlight(), Encoding: encoding(s.Format, "")}),
		Timeout:  s.Timeout(), MaxInFlight: s.InFlight(), RatePerMinute: s.Rate(),
	}, nil
}

// of is what the engine is told of a document.
func (r *registry) of(d subscription.Document) (delivery.Subscription, *sink.Webhook, error) {
	w, err := r.webhook(d)
	if err != nil {
		return delivery.Subscription{}, nil, err
	}
	keys, err := d.Keys()
	if err != nil {
		return delivery.Subscription{}, nil, err
	}
	return delivery.Subscription{
		ID: d.ID, Name: d.Spec.Config.Name, Project: d.Project, Interest: d.Spec.Interest, Signer: keys, Endpoint: w,
		Timeout:     time.Duration(d.Spec.Settings.TimeoutMs) * time.Millisecond,
		MaxInFlight: d.Spec.Settings.MaxInFlight, RatePerMinute: d.Rate(), Ordered: d.Spec.Settings.Ordering == subscription.BySubject,
		Unverified: !d.Permitted, Disabled: d.Spec.Disabled, Reason: d.Reason,
		Target: d.Target,
	}, w, nil
}

// unusable stands for a document whose sink or secret the settings of now refuse: what it wants is recorded as
// SUPPRESSED, so that a replay finds it when it can be used again.
func unusable(d subscription.Document) delivery.Subscription {
	s := delivery.Subscription{ID: d.ID, Name: d.Spec.Config.Name, Project: d.Project, Interest: d.Spec.Interest, Target: d.Target,
		Disabled: true, Reason: d.Reason}
	if s.Reason == "" {
		s.Reason = delivery.ByAdmin
	}
	return s
}

func (r *registry) webhook(d subscription.Document) (*sink.Webhook, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, there := r.sinks[d.ID]
	if there && have.number == d.Generation {
		return have.Webhook, nil
	}
	w, err := r.make(d)
	if err != nil {
		return nil, err
	}
	if there {
		have.Close()
	}
	r.sinks[d.ID] = generation{d.Generation, w}
	return w, nil
}

// make is a webhook that nobody keeps.
func (r *registry) make(d subscription.Document) (*sink.Webhook, error) {
	to, err := r.rules.Parse(d.SinkURL)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	s := d.Spec.Settings
	return r.rules.New(to, sink.Options{Idle: s.MaxInFlight, Headers: s.Headers, Encoding: encoding(s.Format, s.ContentMode)}), nil
}

// forget closes the endpoint of a subscription that is gone.
func (r *registry) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have, there := r.sinks[id]; there {
		have.Close()
		delete(r.sinks, id)
	}
}

// close ends all unused connections.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sinks {
		s.Close()
	}
	for _, s := range r.fixed {
		if w, ok := s.Endpoint.(*sink.Webhook); ok {
			w.Close()
		}
	}
}

// ask asks the sink of a document for permission (events.md 7.6) and notes the answer.
func (r *registry) ask(ctx context.Context, w *sink.Webhook, d *subscription.Document, now time.Time) {
	p := w.Ask(ctx, d.Spec.Settings.RatePerMinute)
	d.Asked, d.Permitted, d.AllowedBy = now, p.Allowed, p.RatePerMinute
}
