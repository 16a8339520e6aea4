package notifier

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// keeper is delivery.Keeper: health in the bucket of the notifier's state, which holds no secret, and what turns
// a subscription in its document.
type keeper struct {
	state *bus.KeyValue
	store *subscription.Store // nil: only subscriptions of the settings
}

var _ delivery.Keeper = keeper{}

func healthKey(id string) string { return "health." + id }

// Health is what was last stored; the zero value for a subscription that is new.
func (k keeper) Health(ctx context.Context, id string) (delivery.Health, error) {
	var h delivery.Health
	e, there, err := k.state.Get(ctx, healthKey(id))
	if err != nil || !there {
		return h, err
	}
	return h, json.Unmarshal(e.Value, &h)
}

// SaveHealth implements delivery.Keeper. Only the active notifier writes it.
func (k keeper) SaveHealth(ctx context.Context, id string, h delivery.Health) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	for range 3 {
		e, _, err := k.state.Get(ctx, healthKey(id))
		if err != nil {
			return err
		}
		if _, err = k.state.Put(ctx, healthKey(id), b, e.Revision); !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
	return events.ErrContended
}

// forget drops what is known of a subscription that is gone.
func (k keeper) forget(ctx context.Context, id string) error {
	e, there, err := k.state.Get(ctx, healthKey(id))
	if err != nil || !there {
		return err
	}
	if err := k.state.Delete(ctx, healthKey(id), e.Revision); !errors.Is(err, bus.ErrConflict) {
		return err
	}
	return nil
}

// Turn implements delivery.Keeper. A subscription of the settings has no document: it stays as it is turned until
// the notifier starts again, which is how its operator turns it back.
func (k keeper) Turn(ctx context.Context, id string, to delivery.Turn, h delivery.Health) error {
	h.ToldFailing = h.ToldFailing || !to.Disable
	if err := k.SaveHealth(ctx, id, h); err != nil || k.store == nil {
		return err // health knows its target: another one does not take it over
	}
	step := events.Failing
	if to.Disable {
		step = events.Disabled
	}
	_, err := k.store.Change(ctx, "", id, 0, step, func(d *subscription.Document) ([]string, error) {
		if d.Target != to.Target {
			return nil, delivery.ErrTarget
		}
		if to.Disable && d.Spec.Disabled || !to.Disable && d.FailingSince.Equal(h.FirstFailure) {
			return nil, nil
		}
		d.LastSuccess = h.LastSuccess
		if to.Reason != delivery.IsGone {
			d.FailingSince = h.FirstFailure
		}
		if to.Disable {
			d.Spec.Disabled, d.Reason = true, to.Reason
		}
		return []string{"status"}, nil
	})
	if errors.Is(err, subscription.ErrNotFound) { // of the settings, or deleted meanwhile
		return nil
	}
	return err
}
