package bus

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher is Watermill's publisher over JetStream; the topic is the subject. It appends without any
// condition, so it is for streams other than BACKUP_EVENTS, where Append is the way.
type Publisher struct {
	bus *Bus

	mu      sync.RWMutex // held for reading while a Publish runs
	stopped bool
}

var _ message.Publisher = (*Publisher)(nil)

// Publisher makes a publisher on this connection.
func (b *Bus) Publisher() *Publisher { return &Publisher{bus: b} }

// Publish sends all messages, then waits for all their PubAcks: it returns nil when every one is stored. A
// message's UUID is its Nats-Msg-Id, so publishing again what failed stores nothing twice within the
// stream's duplicates window; its metadata are the headers, those of NATS itself excepted. On an error some
// messages may be stored. It waits at most five seconds for an answer, less if a message's context ends.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.stopped {
		return errors.New("publisher is closed")
	}
	var errs []error
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		var err error
		futures[i], err = p.bus.js.PublishMsgAsync(wire(topic, m), jetstream.WithStallWait(answerWait))
		if err != nil {
			errs = append(errs, fmt.Errorf("publish %s: %w", m.UUID, err))
		}
	}
	for i, f := range futures {
		if f == nil {
			continue
		}
		if err := acknowledged(f, messages[i]); err != nil {
			errs = append(errs, fmt.Errorf("publish %s: %w", messages[i].UUID, err))
		}
	}
	return errors.Join(errs...)
}

func wire(subject string, m *message.Message) *nats.Msg {
	h := make(nats.Header, len(m.Metadata)+1)
	for name, v := range m.Metadata {
		if !reserved(name) {
			h[name] = []string{v}
		}
	}
	if m.UUID != "" {
		h[jetstream.MsgIDHeader] = []string{m.UUID}
	}
	return &nats.Msg{Subject: subject, Header: h, Data: m.Payload}
}

// acknowledged waits for one PubAck; the client library bounds the wait (Connect).
func acknowledged(f jetstream.PubAckFuture, m *message.Message) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		if unreachable(err) || errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	case <-m.Context().Done():
		return m.Context().Err()
	}
}

// Close waits for the Publish calls that run; later ones fail. The connection stays open: it is not the
// publisher's. Calling it again does nothing.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	return nil
}
