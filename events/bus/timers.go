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
)

// Timers are messages that the server itself sends at their time (NATS 2.12 message schedules): whoever armed one
// may be gone by then. A timer is kept under timerRoot.{key} and becomes a tick under tickRoot.{key}, in the same
// stream, where the durable TicksDurable has it until it is acknowledged.
const (
	TimerStream  = "BACKUP_TIMERS" // the requester's own
	TicksDurable = "ticks"

	timerRoot = "backupbus.v1.timer"
	tickRoot  = "backupbus.v1.tick"
)

const (
	scheduleHeader = "Nats-Schedule"
	targetHeader   = "Nats-Schedule-Target"
)

// maxTimerData bounds what a timer carries.
const maxTimerData = 1024

// Timer is to be told of once, at a time or soon after it: a past time is told of at once.
type Timer struct {
	Key  string // tokens of letters, digits, _ and -, with dots between them
	At   time.Time
	Data []byte // comes back with the tick; at most 1 KiB
}

// Arm sets a timer. One that is armed under the same key is replaced; a tick that has gone out already is not.
func (b *Bus) Arm(ctx context.Context, t Timer) error {
	if !validKey(t.Key) || len(t.Data) > maxTimerData {
		return fmt.Errorf("arm timer %q with %d bytes: no key of a timer, or too much", t.Key, len(t.Data))
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m := nats.NewMsg(timerRoot + "." + t.Key)
	m.Data = t.Data
	m.Header.Set(scheduleHeader, "@at "+t.At.UTC().Format(time.RFC3339Nano)) // the client's own option cuts to whole seconds
	m.Header.Set(targetHeader, tickRoot+"."+t.Key)
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("arm timer %s: %w", t.Key, b.answer(ctx, err))
	}
	return nil
}

// Disarm takes a timer back. None there is no error.
func (b *Bus) Disarm(ctx context.Context, key string) error {
	if !validKey(key) {
		return fmt.Errorf("disarm timer %q: no key of a timer", key)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := b.js.Stream(ctx, TimerStream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(timerRoot+"."+key))
	}
	if err != nil {
		return fmt.Errorf("disarm timer %s: %w", key, b.answer(ctx, err))
	}
	return nil
}

// Armed are the keys of all timers below a prefix of whole tokens that have not gone out.
func (b *Bus) Armed(ctx context.Context, prefix string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := b.js.Stream(ctx, TimerStream)
	if err != nil {
		return nil, fmt.Errorf("list timers: %w", b.answer(ctx, err))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(timerRoot+"."+prefix+".>"))
	if err != nil {
		return nil, fmt.Errorf("list timers: %w", b.answer(ctx, err))
	}
	armed := make(map[string]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		armed[strings.TrimPrefix(subject, timerRoot+".")] = true
	}
	return armed, nil
}

// TickOf is the timer that a message of TicksDurable tells of; its At is not known any more.
func TickOf(msg *message.Message) (Timer, error) {
	m, ok := deliveryOf(msg)
	if !ok {
		return Timer{}, errors.New("not a message of the bus")
	}
	key, ok := strings.CutPrefix(m.Subject, tickRoot+".")
	if !ok || !validKey(key) {
		return Timer{}, Refuse(Unreadable, errors.New("it is no tick of a timer"))
	}
	return Timer{Key: key, Data: m.Data}, nil
}

func validKey(key string) bool {
	for token := range strings.SplitSeq(key, ".") {
		if token == "" || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return false
		}
	}
	return len(key) <= 200
}
