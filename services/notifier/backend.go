package notifier

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/api"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// backend is what the API needs of the notifier, active or not.
type backend struct{ *notifier }

var _ api.Backend = backend{}

// Judge implements api.Backend.
func (b backend) Judge(raw string) (string, error) { return b.registry.judge(raw) }

// Ask implements api.Backend.
func (b backend) Ask(ctx context.Context, d *subscription.Document) error {
	if b.handshakeOff {
		d.Asked, d.Permitted, d.AllowedBy = b.Now(), true, 0
		return nil
	}
	w, err := b.registry.make(*d)
	if err != nil {
		return err
	}
	defer w.Close()
	b.registry.ask(ctx, w, d, b.Now())
	return nil
}

// Health implements api.Backend.
func (b backend) Health(ctx context.Context, id string) (delivery.Health, error) {
	return b.keeper.Health(ctx, id)
}

// InFlight implements api.Backend.
func (b backend) InFlight(subscriptionID string) map[string]bool {
	if e := b.active.Load(); e != nil {
		return e.InFlight(subscriptionID)
	}
	return nil
}

// Deliveries implements api.Backend.
func (b backend) Deliveries(ctx context.Context, project, subscriptionID string, from uint64, fn func(*delivery.Record) error) error {
	token, err := events.Token(project)
	if err != nil {
		return err
	}
	_, err = b.records.table.Scan(ctx, bus.DeliverySubject(token, subscriptionID, "*"), from, func(row bus.Row) error {
		d, ok := b.records.read(ctx, row)
		if !ok { // it does not hide the others
			return nil
		}
		return fn(d)
	})
	return err
}

// Replay implements api.Backend.
func (b backend) Replay(ctx context.Context, r api.Replay) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = b.state.Put(ctx, replayPrefix+r.SubscriptionID, doc, 0)
	if errors.Is(err, bus.ErrConflict) {
		return api.ErrReplaying
	}
	return err
}

// Test implements api.Backend. It has no effect on circuit or counters.
func (b backend) Test(ctx context.Context, d subscription.Document) (delivery.Attempt, error) {
	s, err := b.registry.of(d)
	if err != nil {
		return delivery.Attempt{}, err
	}
	ev, err := testEvent(b.Bus.Name(), d.Project, d.ID, b.Now())
	if err != nil {
		return delivery.Attempt{}, err
	}
	id, err := events.DeliveryID(d.ID, ev.Source, ev.ID)
	if err != nil {
		return delivery.Attempt{}, err
	}
	a, err := delivery.Send(ctx, b.Now, s, id, 1, false, ev)
	return a.Result(), err
}
