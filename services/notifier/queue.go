package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// matchedHeader is when a delivery was made; the 96 hours of events.md 7.8 count from there.
const matchedHeader = "Backupbus-Matched"

// queue is delivery.Queue on BACKUP_DELIVERIES.
type queue struct{ publisher message.Publisher }

func newQueue(b *bus.Bus) queue { return queue{b.Publisher()} }

// Put implements delivery.Queue; the delivery's id is the message's, so that the stream drops a second one.
func (q queue) Put(ctx context.Context, d delivery.Delivery) error {
	subject, err := d.Subject(bus.DeliveryRoot)
	if err != nil {
		return err
	}
	msg := message.NewMessage(d.ID, d.Body)
	msg.Metadata.Set("content-type", delivery.ContentType)
	msg.Metadata.Set(matchedHeader, events.At(d.Matched).String())
	msg.SetContext(ctx)
	return q.publisher.Publish(subject, msg)
}

// received reads what Put has stored.
func received(msg *message.Message) (delivery.Received, error) {
	meta := bus.MetaOf(msg)
	subscriptionID, id, err := delivery.ParseSubject(bus.DeliveryRoot, meta.Subject)
	if err != nil {
		return delivery.Received{}, err
	}
	matched, err := time.Parse(time.RFC3339Nano, msg.Metadata.Get(matchedHeader))
	if err != nil {
		return delivery.Received{}, fmt.Errorf("%w: header %s is no time", events.ErrUnreadable, matchedHeader)
	}
	return delivery.Received{
		Delivery: delivery.Delivery{ID: id, SubscriptionID: subscriptionID, Matched: matched, Body: msg.Payload},
		Count:    meta.Deliveries,
	}, nil
}

// match handles an event of the log. It is acked when all its deliveries are stored.
func (n *notifier) match(msg *message.Message) error {
	ev, _, err := bus.EventOf(msg)
	if err != nil {
		return err
	}
	return n.pipeline.Match(msg.Context(), ev.Event)
}

// deliver handles a delivery of the queue.
func (n *notifier) deliver(msg *message.Message) error {
	r, err := received(msg)
	if err == nil {
		err = n.pipeline.Deliver(msg.Context(), r)
	}
	var later delivery.Later
	switch {
	case errors.As(err, &later):
		return bus.RetryAfter(err, later.After)
	case errors.Is(err, events.ErrUnreadable):
		return bus.Refuse(bus.Unreadable, err)
	}
	return err
}
