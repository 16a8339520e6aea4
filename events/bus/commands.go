package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

const (
	CommandStream    = "BACKUP_COMMANDS"
	RequesterDurable = "requester"

	// ReplyRoot is the root of the subjects to which copies of outcomes go (events.md 5.2).
	ReplyRoot = "backupbus.v1.reply"
)

// commandStream is BACKUP_COMMANDS of events.md 4.4.
func (t Topology) commandStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: CommandStream, Subjects: []string{events.CommandRoot + ".>"},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxAge: 7 * 24 * time.Hour, MaxMsgs: 1_000_000,
		// The shortest there is: with a longer one a project could suppress another's command by its message id.
		Duplicates: 100 * time.Millisecond,
		MaxMsgSize: events.MaxMessage, Replicas: t.Replicas,
	}
}

// commandDurable is the durable `requester` of events.md 4.5.
func (t Topology) commandDurable() jetstream.ConsumerConfig {
	return t.durable(RequesterDurable, []string{events.CommandRoot + ".>"})
}

// LastDelivery tells whether a message that a Subscriber made has come as often as its durable allows.
func LastDelivery(msg *message.Message) bool {
	d, ok := deliveryOf(msg)
	return ok && d.maxDeliver > 0 && d.Deliveries >= d.maxDeliver
}

// Headers are all headers of a message that a Subscriber made, as received; nil for any other. Metadata has only
// the first value of each.
func Headers(msg *message.Message) map[string][]string {
	if d, ok := deliveryOf(msg); ok {
		return d.Header
	}
	return nil
}

// Tell publishes a copy of an event on a subject outside of all streams. Nothing waits for its arrival, and nobody
// need be there.
func (b *Bus) Tell(ctx context.Context, subject string, ev events.Event) error {
	if !strings.HasPrefix(subject, ReplyRoot+".") {
		return errors.New("tell: the subject is no reply subject")
	}
	header, data, err := events.Encode(ev)
	if err != nil {
		return fmt.Errorf("tell of %s: %w", ev.ID, err)
	}
	if err := b.nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		return fmt.Errorf("tell of %s: %w", ev.ID, b.answer(ctx, err))
	}
	return nil
}
