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
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ask, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return events.Stored{}, err
	}
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+EventStream, ask)
	if err != nil {
		return events.Stored{}, fmt.Errorf("read event %d: %w", seq, b.answer(ctx, err))
	}
	if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" {
		if status == "404" {
			return events.Stored{}, fmt.Errorf("read event %d: %w", seq, events.ErrNotFound)
		}
		return events.Stored{}, fmt.Errorf("read event %d: %s %s", seq, status, m.Header.Get("Description"))
	}
	found := stored{m.Header.Get(jetstream.SubjectHeader), seq, m.Header, m.Data}
	if got := m.Header.Get(jetstream.SequenceHeader); got != strconv.FormatUint(seq, 10) {
		return events.Stored{}, fmt.Errorf("read event %d: %w", seq, events.ErrNotFound)
	}
	return found.parse()
}
