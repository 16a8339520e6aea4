package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// PublishProgress sends a progress event and waits for nothing: one that is lost is followed by another
// (events.md 2.2). sequence is that of the last lifecycle event of the backup or restore. An error means that the event
// could not be made, never that it did not arrive.
func (b *Bus) PublishProgress(ctx context.Context, p events.Progress, sequence string, at time.Time, c events.Cause) error {
	subject, err := p.Aggregate().ProgressSubject()
	if err != nil {
		return fmt.Errorf("progress of %s: %w", p.Aggregate().ID, err)
	}
	ev, err := events.NewProgress(b.name, p, sequence, at, c)
	if err != nil {
		return fmt.Errorf("progress of %s: %w", p.Aggregate().ID, err)
	}
	header, data, err := events.Encode(ev)
	if err != nil {
		return fmt.Errorf("progress of %s: %w", p.Aggregate().ID, err)
	}
	header[jetstream.MsgIDHeader] = []string{ev.ID}
	if err := b.nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		b.log.DebugContext(ctx, "progress not sent", "of", p.Aggregate().ID, "error", err)
	}
	return nil
}

// Listen calls fn, one at a time, for every event that is published on filter while the connection stands.
// Nothing is kept, repeated or acknowledged: it is for hints such as cancel_requested, which the listener
// also finds by reading the log. fn must not block. stop ends it; no call begins after stop has returned,
// one that runs may still be running.
func (b *Bus) Listen(filter string, fn func(events.Event)) (stop func(), err error) {
	sub, err := b.nc.Subscribe(filter, func(m *nats.Msg) {
		ev, err := events.Parse(m.Header, m.Data)
		if err != nil {
			b.log.Warn("unreadable message heard", "subject", m.Subject, "error", err)
			return
		}
		fn(ev)
	})
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", filter, err)
	}
	// The server knows of the subscription before Listen returns: who asks next cannot be missed.
	if err := b.nc.FlushTimeout(answerWait); err != nil && b.nc.IsConnected() {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("listen to %s: %w: %w", filter, ErrUnavailable, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
