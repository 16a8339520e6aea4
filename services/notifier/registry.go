package notifier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/format"
	"github.com/backupbus/backupbus/services/notifier/mail"
	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// registry makes endpoints of subscriptions: those of the settings once, those of documents for each generation.
// Safe for concurrent use.
type registry struct {
	rules sink.Rules
	mail  *mail.Server // nil: none

	mu    sync.Mutex
	fixed []delivery.Subscription // of the settings
	sinks map[string]generation   // of documents, by id
}

type generation struct {
	number int
	way
}

// way is how a subscription's sink is reached.
type way interface {
	delivery.Endpoint
	// Ask asks the sink for permission to send at a rate (events.md 7.6).
	Ask(ctx context.Context, ratePerMinute int) sink.Permission
	Close()
}

// mailbox is a way to recipients whom the operator allows: that is the permission.
type mailbox struct{ *mail.Mailbox }

func (mailbox) Ask(context.Context, int) sink.Permission { return sink.Permission{Allowed: true} }
func (mailbox) Close()                                   {}

// judge accepts or refuses a sink, of either kind, and returns what events may tell of it.
func (r *registry) judge(raw string) (origin string, err error) {
	if mail.Is(raw) {
		to, err := r.mail.Parse(raw)
		if err != nil {
			return "", err
		}
		return to.Origin(), nil
	}
	to, err := r.rules.Parse(raw)
	if err != nil {
		return "", err
	}
	return to.Origin(), nil
}

// open makes the way to a sink.
func (r *registry) open(raw string, o sink.Options) (way, error) {
	if mail.Is(raw) {
		to, err := r.mail.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("sink: %w", err)
		}
		return mailbox{r.mail.New(to)}, nil
	}
	to, err := r.rules.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return r.rules.New(to, o), nil
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
	to, err := r.open(string(s.Sink), sink.Options{Idle: s.InFlight(), Encoding: encoding(s.Format, "")})
	if err != nil {
		return delivery.Subscription{}, err
	}
	var signer delivery.Signer = delivery.Unsigned{}
	if !mail.Is(string(s.Sink)) {
		secret, err := readSecret(s.SecretRef, env)
		if err != nil {
			return delivery.Subscription{}, fmt.Errorf("secretRef: %w", err)
		}
		signer = delivery.Keys{Secret: secret}
	}
	return delivery.Subscription{
		ID: id, Name: s.Name, Project: s.Project, Interest: s.Interest, Signer: signer, Endpoint: to,
		Timeout: s.Timeout(), MaxInFlight: s.InFlight(), RatePerMinute: s.Rate(),
	}, nil
}

// of is what the engine is told of a document.
func (r *registry) of(d subscription.Document) (delivery.Subscription, error) {
	w, err := r.way(d)
	if err != nil {
		return delivery.Subscription{}, err
	}
	var signer delivery.Signer = delivery.Unsigned{}
	if d.Spec.Protocol == subscription.HTTP {
		if signer, err = d.Keys(); err != nil {
			return delivery.Subscription{}, err
		}
	}
	return delivery.Subscription{
		ID: d.ID, Name: d.Spec.Config.Name, Project: d.Project, Interest: d.Spec.Interest, Signer: signer, Endpoint: w,
		Timeout:     time.Duration(d.Spec.Settings.TimeoutMs) * time.Millisecond,
		MaxInFlight: d.Spec.Settings.MaxInFlight, RatePerMinute: d.Rate(), Ordered: d.Spec.Settings.Ordering == subscription.BySubject,
		Unverified: !d.Permitted, Disabled: d.Spec.Disabled, Reason: d.Reason,
		Target: d.Target,
	}, nil
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

func (r *registry) way(d subscription.Document) (way, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, there := r.sinks[d.ID]
	if there && have.number == d.Generation {
		return have.way, nil
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

// make is a way that nobody keeps.
func (r *registry) make(d subscription.Document) (way, error) {
	s := d.Spec.Settings
	return r.open(d.SinkURL, sink.Options{Idle: s.MaxInFlight, Headers: s.Headers, Encoding: encoding(s.Format, s.ContentMode)})
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
		if w, ok := s.Endpoint.(way); ok {
			w.Close()
		}
	}
}

// ask asks the sink of a document for permission (events.md 7.6) and notes the answer.
func (r *registry) ask(ctx context.Context, w way, d *subscription.Document, now time.Time) {
	p := w.Ask(ctx, d.Spec.Settings.RatePerMinute)
	d.Asked, d.Permitted, d.AllowedBy = now, p.Allowed, p.RatePerMinute
}
