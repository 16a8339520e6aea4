package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// advisoryRoot is where the server tells of messages that it will not deliver again.
const advisoryRoot = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

// Exhausted is a message that a durable was given as often as it may be and never settled: its handlers died.
type Exhausted struct {
	Stream     string `json:"stream"`
	Durable    string `json:"consumer"`
	Seq        uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
}

var errExhausted = errors.New("its handler ended every time without settling it")

// ListenExhausted calls fn, one at a time, for every message of a durable of Provision that the server gives up on
// while the connection stands. The server tells so once, and not before somebody asks for messages again. fn must
// not block for long. stop ends it.
func (b *Bus) ListenExhausted(fn func(Exhausted)) (stop func(), err error) {
	sub, err := b.nc.Subscribe(advisoryRoot+".>", func(m *nats.Msg) {
		var e Exhausted
		if err := json.Unmarshal(m.Data, &e); err != nil || e.Seq == 0 {
			b.log.Warn("unreadable advisory heard", "subject", m.Subject)
			return
		}
		if stream, ours := StreamOf(e.Durable); ours && stream == e.Stream {
			fn(e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to advisories: %w", err)
	}
	if err := b.nc.FlushTimeout(answerWait); err != nil && b.nc.IsConnected() {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("listen to advisories: %w: %w", ErrUnavailable, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// BuryExhausted stores the message as a dead letter `max_deliveries` of the service whose durable it was. Several
// may do so at once: one is stored. A message that has gone meanwhile was settled after all, and is left alone.
func (b *Bus) BuryExhausted(ctx context.Context, e Exhausted) error {
	raw, err := b.message(ctx, e.Stream, e.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read message %d of %s: %w", e.Seq, e.Stream, err)
	}
	m := Message{Subject: raw.Subject, Stream: e.Stream, Header: raw.Header, Data: raw.Data, Seq: raw.Sequence, Deliveries: e.Deliveries}
	return b.DeadLetter(ctx, serviceOf(e.Durable), MaxDeliveries, m, errExhausted)
}

// message reads one message of a stream by its sequence.
func (b *Bus) message(ctx context.Context, stream string, seq uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, b.answer(ctx, err)
	}
	m, err := s.GetMsg(ctx, seq)
	if err != nil {
		return nil, b.answer(ctx, err)
	}
	return m, nil
}

// serviceOf is the service that reads a durable, as dead letters name it (events.md 4.2).
func serviceOf(durable string) string {
	switch durable {
	case TrackerDurable, ProgressDurable:
		return "tracker"
	case RequesterDurable, SchedulerDurable, TicksDurable:
		return "requester"
	}
	if strings.HasPrefix(durable, executorPrefix) {
		return durable
	}
	return "notifier"
}
