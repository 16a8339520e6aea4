package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Streams of events.md 4.4.
const (
	EventStream      = "BACKUP_EVENTS"
	ProgressStream   = "BACKUP_PROGRESS"
	DeadLetterStream = "BACKUP_DEADLETTERS"
)

// Durables of events.md 4.5.
const (
	TrackerDurable   = "tracker"
	ProgressDurable  = "tracker-progress"
	NotifierDurable  = "notifier"
	SchedulerDurable = "scheduler" // the requester's: schedules that changed, backups that ended
	executorPrefix   = "exec-"
)

// ExecutorDurable is the durable of a provider's executors.
func ExecutorDurable(provider string) string { return executorPrefix + provider }

// StreamOf is the stream that a durable reads; false for a name that Provision never makes.
func StreamOf(durable string) (string, bool) {
	switch durable {
	case TrackerDurable, NotifierDurable, SchedulerDurable:
		return EventStream, true
	case ProgressDurable:
		return ProgressStream, true
	case TicksDurable:
		return TimerStream, true
	case RequesterDurable:
		return CommandStream, true
	}
	return EventStream, strings.HasPrefix(durable, executorPrefix)
}

// ErrImmutable is returned by Provision for a setting that cannot change on what exists.
var ErrImmutable = errors.New("cannot be changed")

// Topology is what Provision makes. The zero value is a single server without executors.
type Topology struct {
	Replicas   int           // of streams: 1 (default), 3 in a cluster
	AckWait    time.Duration // of durables, default 60 s; in-progress marks come three times as often
	ViewShards int           // default 16; kept in the log when it is created and never changed after
	Executors  []string      // providers that have executors
	// HistoryDays is how long an aggregate's events are kept whole after its last one (events.md 4.4). Kept in the log:
	// DefaultHistoryDays when it is created, raised by what is named here, never lowered. 0: as it stands.
	HistoryDays int
}

const (
	defaultAckWait = 60 * time.Second
	defaultShards  = 16
	shardsKey      = "backupbus-view-shards"
	historyKey     = "backupbus-history-days"

	maxDeliver    = 10
	maxAckPending = 1000
	batchPending  = 20_000 // a projector reads far ahead of what it acknowledges

	// The pin moves on when its holder has not pulled for pinnedTTL; pulls last pullExpiry, the shortest
	// that leaves room for a heartbeat.
	pinnedTTL  = 3 * time.Second
	pullExpiry = time.Second
	pinGroup   = "active"
)

func (t Topology) withDefaults() Topology {
	if t.Replicas == 0 {
		t.Replicas = 1
	}
	if t.AckWait == 0 {
		t.AckWait = defaultAckWait
	}
	return t
}

// streams are the values of events.md 4.4.
func (t Topology) streams(kept LogState) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{t.commandStream(), {
		Name: EventStream, Subjects: []string{events.AllEvents},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		Duplicates: 10 * time.Minute, AllowDirect: true, DenyDelete: true,
		MaxMsgSize: events.MaxMessage, Replicas: t.Replicas,
		Metadata: map[string]string{shardsKey: strconv.Itoa(kept.ViewShards), historyKey: strconv.Itoa(kept.HistoryDays)},
	}, {
		// A stream in memory is gone, definition and durable included, when a single server restarts.
		Name: ProgressStream, Subjects: []string{events.AllProgress},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxMsgsPerSubject: 1, MaxAge: 24 * time.Hour, Duplicates: 2 * time.Minute, AllowDirect: true,
		MaxMsgSize: events.MaxMessage, Replicas: t.Replicas,
	}, {
		Name: DeadLetterStream, Subjects: []string{events.AllDeadLetters},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxAge: 30 * 24 * time.Hour, Duplicates: 10 * time.Minute,
		MaxMsgSize: events.MaxMessage + deadLetterRoom, Replicas: t.Replicas,
	}, {
		// A row is a delivery's record; it is forgotten 30 days after its last change (events.md 7.11).
		Name: DeliveryLogStream, Subjects: []string{DeliveryLogRoot + ".>"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, MaxAge: 30 * 24 * time.Hour, Duplicates: 100 * time.Millisecond, AllowDirect: true,
		MaxMsgSize: maxRow, Replicas: t.Replicas,
	}, {
		// A tick leaves when it is acknowledged; a timer, which no durable reads, when it has gone out.
		Name: TimerStream, Subjects: []string{timerRoot + ".>", tickRoot + ".>"}, AllowMsgSchedules: true,
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, MaxMsgSize: 4 * maxTimerData, Replicas: t.Replicas,
	}}
}

// consumers are the values of events.md 4.5, by stream.
func (t Topology) consumers() map[string][]jetstream.ConsumerConfig {
	all := []string{events.AllEvents}
	onEvents := []jetstream.ConsumerConfig{
		t.batched(TrackerDurable, all),
		t.durable(NotifierDurable, all),
		t.durable(SchedulerDurable, events.SchedulerFilters()),
	}
	for _, e := range t.Executors {
		c := t.durable(ExecutorDurable(e), events.WorkFilters(e))
		// An executor counts errors itself. How much it does at once is the window of its subscriber: as
		// MaxAckPending it would let backups that wait for their next try block all others.
		c.MaxDeliver = -1
		onEvents = append(onEvents, c)
	}
	ticks := t.durable(TicksDurable, []string{tickRoot + ".>"})
	ticks.MaxDeliver = -1 // a slot is decided, however often it takes
	return map[string][]jetstream.ConsumerConfig{
		EventStream:    onEvents,
		ProgressStream: {t.batched(ProgressDurable, []string{events.AllProgress})},
		TimerStream:    {ticks},
		CommandStream:  {t.commandDurable()},
	}
}

func (t Topology) durable(name string, filters []string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, FilterSubjects: filters,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: t.AckWait,
		MaxDeliver: maxDeliver, MaxAckPending: maxAckPending,
	}
}

// batched is a durable for Batches: one reader of several is active, and acknowledges many at once.
func (t Topology) batched(name string, filters []string) jetstream.ConsumerConfig {
	c := t.durable(name, filters)
	c.AckPolicy, c.MaxAckPending = jetstream.AckAllPolicy, batchPending
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, pinnedTTL
	return c
}

// Provision makes the streams and durables, or changes them to what t says. It can run at every start and
// from several processes. Durables of providers that t no longer names are left alone. ErrImmutable means
// that t contradicts what exists; what was before it in the list above is then already changed.
func (b *Bus) Provision(ctx context.Context, t Topology) error {
	t = t.withDefaults()
	kept, err := b.facts(ctx, t)
	if err != nil {
		return fmt.Errorf("provision %s: %w", EventStream, err)
	}
	for _, s := range t.streams(kept) {
		if _, err := b.js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("provision stream %s: %w", s.Name, immutable(err))
		}
	}
	for _, bucket := range []string{SubscriptionBucket, NotifierStateBucket} {
		if _, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, History: 1,
			Storage: jetstream.FileStorage, Replicas: t.Replicas, MaxValueSize: maxRow}); err != nil {
			return fmt.Errorf("provision bucket %s: %w", bucket, immutable(err))
		}
	}
	for stream, list := range t.consumers() {
		for _, c := range list {
			if _, err := b.js.CreateOrUpdateConsumer(ctx, stream, c); err != nil {
				return fmt.Errorf("provision durable %s of %s: %w", c.Durable, stream, immutable(err))
			}
		}
	}
	return nil
}

// facts are what the log keeps of its deployment: what stands, as far as t may not change it.
func (b *Bus) facts(ctx context.Context, t Topology) (LogState, error) {
	s, err := b.State(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		s = LogState{ViewShards: t.ViewShards, HistoryDays: DefaultHistoryDays}
		if s.ViewShards == 0 {
			s.ViewShards = defaultShards
		}
	case err != nil:
		return s, err
	}
	switch {
	case t.ViewShards != 0 && t.ViewShards != s.ViewShards:
		return s, fmt.Errorf("%w: view shards are %d since the log was created, not %d", ErrImmutable, s.ViewShards, t.ViewShards)
	case t.HistoryDays != 0 && t.HistoryDays < s.HistoryDays, t.HistoryDays > maxHistoryDays:
		return s, fmt.Errorf("%w: history is kept for %d days, which may be raised up to %d and never lowered, so not to %d",
			ErrImmutable, s.HistoryDays, maxHistoryDays, t.HistoryDays)
	}
	s.HistoryDays = max(s.HistoryDays, t.HistoryDays)
	return s, nil
}

// immutable marks the server's refusal to change something that exists.
func immutable(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == 10052 || api.ErrorCode == jetstream.JSErrCodeConsumerCreate) {
		return fmt.Errorf("%w: %w", ErrImmutable, err)
	}
	return err
}
