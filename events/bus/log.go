package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// LogState says which log this is and how far it goes.
type LogState struct {
	Epoch       string // eight hex digits that change if the log is deleted and made anew
	First, Last uint64 // stream sequences; Last is 0 if nothing was ever stored
	ViewShards  int
	HistoryDays int // how long history is kept whole (Topology)

	Now time.Time // by the clock that the log's events are stored by
}

// State reads the log's state from its leader: an event whose append has returned is covered by Last.
func (b *Bus) State(ctx context.Context) (LogState, error) {
	info, err := b.streamInfo(ctx, EventStream)
	if err != nil {
		return LogState{}, err
	}
	shards, err := strconv.Atoi(info.Config.Metadata[shardsKey])
	if err != nil {
		return LogState{}, fmt.Errorf("state of %s: metadata %s is missing: was it provisioned?", EventStream, shardsKey)
	}
	days, err := historyDays(info.Config.Metadata)
	if err != nil {
		return LogState{}, fmt.Errorf("state of %s: %w", EventStream, err)
	}
	return LogState{Epoch: epoch(info.Created), First: info.State.FirstSeq, Last: info.State.LastSeq, ViewShards: shards, HistoryDays: days, Now: info.TimeStamp}, nil
}

func epoch(created time.Time) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(created.UTC().Format(time.RFC3339Nano)))
	return fmt.Sprintf("%08x", h.Sum32())
}

func (b *Bus) streamInfo(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", stream, b.answer(ctx, err))
	}
	return s.CachedInfo(), nil
}

// Last returns the newest event whose subject matches filter (wildcards allowed), false if there is none.
// In a cluster it may be a moment old: an append notices, a reader who needs more asks State and Tail.
// An event that cannot be read is events.ErrUnreadable.
func (b *Bus) Last(ctx context.Context, filter string) (events.Stored, bool, error) {
	m, err := b.lastRaw(ctx, streamFor(filter), filter)
	if err != nil || m == nil {
		return events.Stored{}, false, err
	}
	ev, err := m.parse()
	if err != nil {
		return events.Stored{}, false, err
	}
	return ev, true, nil
}

// streamFor is the stream that holds the subjects of a filter.
func streamFor(filter string) string {
	if strings.HasPrefix(filter, events.ProgressRoot+".") {
		return ProgressStream
	}
	return EventStream
}

// stored is a message of a stream as direct get returns it.
type stored struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
}

func (m *stored) parse() (events.Stored, error) {
	ev, err := events.Parse(m.header, m.data)
	if err != nil {
		return events.Stored{}, fmt.Errorf("message %d: %w", m.seq, err)
	}
	return events.Stored{Event: ev, Seq: m.seq}, nil
}

// lastRaw asks for the last message by direct get: one request, and no permission beyond that subject
// (events.md 4.6). nil without an error means that there is none.
func (b *Bus) lastRaw(ctx context.Context, stream, filter string) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream+"."+filter, nil)
	if err != nil {
		return nil, fmt.Errorf("read last of %s: %w", filter, b.answer(ctx, err))
	}
	if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" {
		if status == "404" {
			return nil, nil
		}
		return nil, fmt.Errorf("read last of %s: %s %s", filter, status, m.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read last of %s: answer without a sequence", filter)
	}
	return &stored{m.Header.Get(jetstream.SubjectHeader), seq, m.Header, m.Data}, nil
}

// answer marks an error that means that none came; the caller's own cancellation stays what it is.
func (b *Bus) answer(ctx context.Context, err error) error {
	if unreachable(err) && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
