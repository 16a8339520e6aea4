package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// DefaultHistoryDays is how long history is kept whole where nobody has raised it (events.md 4.4).
const DefaultHistoryDays = events.LeastHistoryDays

// maxHistoryDays is a century: what is meant by more is a mistake.
const maxHistoryDays = 36_500

// historyDays reads the limit from the log's metadata. A log that was made before there was one has the default.
func historyDays(metadata map[string]string) (int, error) {
	text, there := metadata[historyKey]
	if !there {
		return DefaultHistoryDays, nil
	}
	days, err := strconv.Atoi(text)
	if err != nil || days < DefaultHistoryDays {
		return 0, fmt.Errorf("metadata %s is %q, not a number of days from %d on", historyKey, text, DefaultHistoryDays)
	}
	return min(days, maxHistoryDays), nil // what is more would overflow a Duration
}

// WholeSince is the moment before which history may have been compacted.
func (s LogState) WholeSince(now time.Time) time.Time {
	return now.Add(-time.Duration(s.HistoryDays) * 24 * time.Hour)
}

// errReached ends a survey.
var errReached = errors.New("reached")

// Survey calls fn for everything that was stored before a moment, in the order of the log. What is no event comes
// without one, as its place may be that of an event which cannot be read.
func (b *Bus) Survey(ctx context.Context, before time.Time, fn func(subject string, seq uint64, ev *events.Event)) error {
	r := &reader{filter: events.AllEvents, next: 1, unreadable: func(subject string, seq uint64) { fn(subject, seq, nil) }}
	r.fn = func(subject string, s events.Stored) error {
		if !s.Kept.Before(before) {
			return errReached
		}
		fn(subject, s.Seq, &s.Event)
		return nil
	}
	if _, err := b.read(ctx, r); err != nil && !errors.Is(err, errReached) {
		return fmt.Errorf("survey the log: %w", err)
	}
	return nil
}

// Purge removes the events of an aggregate that stand before a stream sequence, and says how many they were. What is
// appended meanwhile has a higher one and stays. Asking again is harmless.
func (b *Bus) Purge(ctx context.Context, aggregate events.Subject, before uint64) (int, error) {
	if before == 0 || aggregate.ID == "" { // the server would take it for everything
		return 0, errors.New("purge: of which aggregate, and before which event?")
	}
	ask, err := json.Marshal(map[string]any{"filter": aggregate.Scope(), "seq": before})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+EventStream, ask)
	if err != nil {
		return 0, fmt.Errorf("purge %s: %w", aggregate.Scope(), b.answer(ctx, err))
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Purged int                 `json:"purged"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return 0, fmt.Errorf("purge %s: %w", aggregate.Scope(), err)
	}
	if answer.Error != nil {
		return 0, fmt.Errorf("purge %s: %w", aggregate.Scope(), b.answer(ctx, answer.Error))
	}
	return answer.Purged, nil
}
