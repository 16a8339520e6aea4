package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Message is a message as received, with its place in its stream.
type Message struct {
	Subject, Stream string
	Header          map[string][]string
	Data            []byte
	Seq             uint64
	Deliveries      int // this one included

	raw jetstream.Msg
}

// received turns what JetStream delivers into a Message.
func received(m jetstream.Msg) (Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{
		Subject: m.Subject(), Stream: meta.Stream, Header: m.Headers(), Data: m.Data(),
		Seq: meta.Sequence.Stream, Deliveries: int(meta.NumDelivered), raw: m,
	}, nil
}

// Event reads the message as an event of its subject (events.md 3.3). What cannot be read, or contradicts
// its subject, is an error of Refuse with the reason for the dead letter.
func (m Message) Event() (events.Stored, error) {
	ev, err := events.Parse(m.Header, m.Data)
	if err != nil {
		return events.Stored{}, Refuse(Unreadable, err)
	}
	if err := events.Mismatch(ev, m.Subject); err != nil {
		return events.Stored{}, Refuse(SubjectMismatch, err)
	}
	return events.Stored{Event: ev, Seq: m.Seq}, nil
}

// id is what the message is called in logs and by Watermill.
func (m Message) id() string {
	for _, name := range []string{jetstream.MsgIDHeader, "ce-id"} {
		if v := m.Header[name]; len(v) > 0 && v[0] != "" {
			return v[0]
		}
	}
	return m.Stream + "-" + strconv.FormatUint(m.Seq, 10)
}

// delivery is a Message in a handler's hands, and how it is to be settled.
type delivery struct {
	Message
	durable    string
	maxDeliver int // 0: no limit
	closing    <-chan struct{}

	mu      sync.Mutex
	verdict verdict
}

func (d *delivery) decide(v verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.verdict = v
}

func (d *delivery) decided() verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.verdict
}

// stopping tells whether the subscription is being closed.
func (d *delivery) stopping() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

type deliveryKey struct{}

func deliveryOf(msg *message.Message) (*delivery, bool) {
	d, ok := msg.Context().Value(deliveryKey{}).(*delivery)
	return d, ok
}

// watermill makes the message that a handler gets. Headers are metadata, those of NATS itself excepted.
func (d *delivery) watermill(ctx context.Context) *message.Message {
	msg := message.NewMessage(d.id(), d.Data)
	for name, v := range d.Header {
		if len(v) > 0 && !reserved(name) {
			msg.Metadata[name] = v[0]
		}
	}
	msg.SetContext(context.WithValue(ctx, deliveryKey{}, d))
	return msg
}

// reserved headers steer the server: they must not travel on with a message that is published again.
func reserved(header string) bool {
	return len(header) >= 5 && strings.EqualFold(header[:5], "Nats-")
}

// Meta is where a message in a handler's hands comes from.
type Meta struct {
	Stream, Durable, Subject string
	Seq                      uint64
	Deliveries               int // this one included
}

// MetaOf tells where msg comes from; the zero value for a message that no Subscriber of this package made.
func MetaOf(msg *message.Message) Meta {
	d, ok := deliveryOf(msg)
	if !ok {
		return Meta{}
	}
	return Meta{Stream: d.Stream, Durable: d.durable, Subject: d.Subject, Seq: d.Seq, Deliveries: d.Deliveries}
}

// EventOf reads the event in a message that a Subscriber made; a handler may return its error as it is
// (see Message.Event).
func EventOf(msg *message.Message) (ev events.Stored, subject string, err error) {
	d, ok := deliveryOf(msg)
	if !ok {
		return events.Stored{}, "", errors.New("not a message of the bus")
	}
	ev, err = d.Event()
	return ev, d.Subject, err
}
