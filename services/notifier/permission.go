package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// askEvery is how often a sink that has given no permission is asked again.
const askEvery = time.Hour

// askUnverified asks sinks again that have given no permission (events.md 7.6).
func (n *notifier) askUnverified(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for _, d := range n.store.List("") {
			if d.Permitted || d.Spec.Disabled || n.handshakeOff || n.Now().Sub(d.Asked) < askEvery {
				continue
			}
			if err := n.askAgain(ctx, d); err != nil && ctx.Err() == nil {
				n.Log.WarnContext(ctx, "permission not noted", "subscription_id", d.ID, "error", events.Redact(err.Error()))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notifier) askAgain(ctx context.Context, d subscription.Document) error {
	w, err := n.registry.way(d)
	if err != nil {
		return err
	}
	n.registry.ask(ctx, w, &d, n.Now())
	_, err = n.store.Change(ctx, d.Project, d.ID, d.Generation, "", func(c *subscription.Document) ([]string, error) {
		c.Asked, c.Permitted, c.AllowedBy = d.Asked, d.Permitted, d.AllowedBy
		return []string{"status"}, nil
	})
	if errors.Is(err, subscription.ErrChanged) || errors.Is(err, subscription.ErrNotFound) {
		return nil
	}
	return err
}
