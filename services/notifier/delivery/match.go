package delivery

import (
	"context"
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Match puts a delivery into the queue for every subscription that wants ev. When it returns nil all are
// stored; after an error call it again: what was stored is not stored twice.
func (p *Pipeline) Match(ctx context.Context, ev events.Event) error {
	var body []byte
	for _, s := range p.byProject[ev.Project] {
		if !s.wants(ev) {
			continue
		}
		if body == nil {
			var err error
			if body, err = events.Structured(ev); err != nil {
				return err
			}
		}
		id, err := events.DeliveryID(s.ID, ev.Source, ev.ID)
		if err != nil {
			return fmt.Errorf("delivery of %s to %s: %w", ev.ID, s.ID, err)
		}
		d := Delivery{ID: id, SubscriptionID: s.ID, Project: s.Project, Matched: p.Now(), Body: body}
		if err := p.Queue.Put(ctx, d); err != nil {
			return fmt.Errorf("queue %s: %w", id, err)
		}
	}
	return nil
}

// wants tells whether ev is for s. Progress never goes to webhooks (events.md 7.1).
func (s *target) wants(ev events.Event) bool {
	return ev.Step() != events.ProgressStep && !about(ev, s.ID) && s.Interest.Wants(ev)
}

// about tells whether ev is one about this subscription or its deliveries.
func about(ev events.Event, subscriptionID string) bool {
	rest, ok := strings.CutPrefix(ev.Subject, "subscriptions/"+subscriptionID)
	return ok && (rest == "" || rest[0] == '/')
}

// aboutDelivery tells the events whose failed delivery makes no further event (events.md 7.9).
func aboutDelivery(ev events.Event) bool {
	return ev.Entity() == events.Deliveries || ev.Entity() == events.Subscriptions
}
