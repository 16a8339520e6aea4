package bus

import (
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events"
)

// Reasons of dead letters (events.md 4.5).
const (
	Unreadable           = "unreadable"
	SubjectMismatch      = "subject_mismatch"
	IllegalTransition    = "illegal_transition"
	ConflictingDuplicate = "conflicting_duplicate"
	ForbiddenContent     = "forbidden_content"
	MaxDeliveries        = "max_deliveries"
	Internal             = "internal"
)

// retryLater is an error with the time after which the message is wanted again.
type retryLater struct {
	error
	after time.Duration
}

func (e retryLater) Unwrap() error { return e.error }

// RetryAfter is for handlers: the message is redelivered after d, however often it was delivered before.
func RetryAfter(err error, d time.Duration) error { return retryLater{err, d} }

// refusal is an error that ends in a dead letter.
type refusal struct {
	error
	reason string
}

func (e refusal) Unwrap() error { return e.error }

// Refuse is for handlers: the message is stored as a dead letter for reason and never delivered again.
func Refuse(reason string, err error) error {
	return refusal{fmt.Errorf("%s: %w", reason, err), reason}
}

// Refused returns the reason of an error that Refuse made.
func Refused(err error) (reason string, ok bool) {
	var r refusal
	if !errors.As(err, &r) {
		return "", false
	}
	return r.reason, true
}

var retryDelays = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 60 * time.Second, 300 * time.Second}

// RetryDelay is the delay of events.md 4.5 after a message was delivered that often.
func RetryDelay(deliveries int) time.Duration {
	return retryDelays[min(max(deliveries, 1), len(retryDelays))-1]
}

// verdict is how a Nacked message is settled.
type verdict struct {
	kind  settlement
	delay time.Duration
	text  string
}

type settlement int

const (
	undecided settlement = iota // the subscriber's NakDelay
	again                       // after delay
	terminate
)

// settle waits for a message's Ack or Nack, marks it in progress meanwhile, and tells the server. taken is
// closed once a handler has it.
func (s *subscription) settle(d *delivery, msg *message.Message, taken <-chan struct{}, ackWait time.Duration) {
	mark := time.NewTicker(max(ackWait/3, time.Millisecond))
	defer mark.Stop()
	closing := d.closing
	var grace <-chan time.Time
	for {
		select {
		case <-msg.Acked():
			<-s.slots
			s.tell(d, "ack", d.raw.Ack())
			return
		case <-msg.Nacked():
			<-s.slots
			s.nacked(d)
			return
		case <-mark.C:
			s.tell(d, "mark", d.raw.InProgress())
		case <-closing:
			closing = nil
			t := time.NewTimer(s.config.Grace)
			defer t.Stop()
			grace = t.C
			if !isClosed(taken) {
				// Nobody has it; if the hand-over is just happening, the handler's context has ended anyway.
				s.tell(d, "nak", d.raw.Nak())
				return
			}
		case <-grace:
			s.bus.log.Warn("handler did not end in time: message handed back",
				"durable", s.durable, "stream_seq", d.Seq, "event_id", d.id())
			s.tell(d, "nak", d.raw.Nak())
			return
		}
	}
}

func (s *subscription) nacked(d *delivery) {
	v := d.decided()
	switch {
	case v.kind == terminate:
		s.tell(d, "term", d.raw.TermWithReason(v.text))
	case v.kind == again && v.delay > 0:
		s.tell(d, "nak", d.raw.NakWithDelay(v.delay))
	case v.kind == again, d.stopping():
		s.tell(d, "nak", d.raw.Nak())
	default:
		s.tell(d, "nak", d.raw.NakWithDelay(s.config.NakDelay(d.Deliveries)))
	}
}

// tell logs a settlement that could not be sent: the message will be redelivered after AckWait.
func (s *subscription) tell(d *delivery, what string, err error) {
	if err != nil {
		s.bus.log.Warn("message not settled", "what", what, "durable", s.durable, "stream_seq", d.Seq,
			"error", events.Redact(err.Error()))
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
