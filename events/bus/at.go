package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// EventAt reads the event at a place in the log. events.ErrNotFound means that it was compacted away.
func (b *Bus) EventAt(ctx context.Context, seq uint64) (events.Stored, error) {
	m, err := b.MessageAt(ctx, seq)
	if err != nil {
		return events.Stored{}, err
	}
	found := stored{m.Subject, seq, m.Header, m.Data}
	return found.parse()
}

// MessageAt reads what stands at a place in the log, event or not. events.ErrNotFound means that it was compacted away.
func (b *Bus) MessageAt(ctx context.Context, seq uint64) (Message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ask, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return Message{}, err
	}
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+EventStream, ask)
	if err != nil {
		return Message{}, fmt.Errorf("read event %d: %w", seq, b.answer(ctx, err))
	}
	if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" {
		if status == "404" {
			return Message{}, fmt.Errorf("read event %d: %w", seq, events.ErrNotFound)
		}
		return Message{}, fmt.Errorf("read event %d: %s %s", seq, status, m.Header.Get("Description"))
	}
	if got := m.Header.Get(jetstream.SequenceHeader); got != strconv.FormatUint(seq, 10) {
		return Message{}, fmt.Errorf("read event %d: %w", seq, events.ErrNotFound)
	}
	return Message{Subject: m.Header.Get(jetstream.SubjectHeader), Stream: EventStream, Header: m.Header, Data: m.Data, Seq: seq}, nil
}
