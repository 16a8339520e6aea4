package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
)

// State of a delivery after an attempt (events.md 7.8).
type State string

// The states that an attempt leads to.
const (
	Delivered State = "DELIVERED"
	Retrying  State = "RETRYING"
	Dead      State = "DEAD"
)

// Reasons of a delivery's death (events.md 2.3).
const (
	exhausted       = "EXHAUSTED"
	expired         = "EXPIRED"
	permanentStatus = "PERMANENT_STATUS"
	gone            = "GONE"
)

// verdict is what follows from an attempt.
type verdict struct {
	state  State
	reason string        // if Dead
	next   time.Duration // if Retrying
}

// judge is the column "Effect" of events.md 7.8. wait is what Retry-After asked for.
func (p Plan) judge(a attempt, first time.Time, wait time.Duration, random float64) verdict {
	switch a.outcome {
	case Success:
		return verdict{state: Delivered}
	case Gone:
		return verdict{state: Dead, reason: gone}
	case PermanentStatus:
		return verdict{state: Dead, reason: permanentStatus}
	}
	if a.number >= p.attempts() {
		return verdict{state: Dead, reason: exhausted}
	}
	next := max(p.delay(a.number, random), wait)
	if a.outcome == Timeout || a.outcome == Throttled && wait == 0 {
		next = max(next, p.Slow)
	}
	if a.started.Add(a.took + next).After(first.Add(p.Limit)) {
		return verdict{state: Dead, reason: expired}
	}
	return verdict{state: Retrying, next: next}
}

// record draws the consequences of an attempt: nil ends the delivery, Later repeats it. The log line says
// everything about the attempt.
func (p *Pipeline) record(ctx context.Context, s *target, r Received, ev events.Event, a attempt) error {
	wait := time.Duration(0)
	if a.outcome != Success {
		wait = retryAfter(a.answer.RetryAfter, p.Now())
		s.lane.pause(wait)
	}
	v := p.Plan.judge(a, r.Matched, wait, p.Random())
	p.Count(a.outcome)
	p.log(ctx, s, r, ev, a, v)
	switch v.state {
	case Retrying:
		return Later{v.next, "attempt " + string(a.outcome)}
	case Dead:
		if err := p.tellDead(ctx, s, r, ev, a, v); err != nil {
			return err
		}
	}
	s.lane.forget(r.ID)
	return nil
}

// appendWait bounds the append of an event whose delivery ended while the notifier stops.
const appendWait = 10 * time.Second

// tellDead appends delivery.dead_lettered. Doing it again for the same delivery stores nothing.
func (p *Pipeline) tellDead(ctx context.Context, s *target, r Received, ev events.Event, a attempt, v verdict) error {
	if aboutDelivery(ev) {
		return nil
	}
	dead := events.DeadDelivery{
		Project: s.Project, DeliveryID: r.ID, SubscriptionID: s.ID, SinkOrigin: s.Endpoint.Origin(),
		EventID: ev.ID, EventType: ev.Type, EventSource: ev.Source, EventSequence: ev.Sequence,
		Attempts: a.number, FirstAttemptTime: events.At(firstAttempt(r, a)), LastAttemptTime: events.At(a.started),
		LastOutcome: string(a.outcome), LastStatusCode: a.answer.Status, Reason: v.reason,
	}
	// The attempt was made: a stop must not make its end unknown, which would mean another request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendWait)
	defer cancel()
	_, err := p.Appender.Append(ctx, events.Draft{
		Aggregate: dead.Aggregate(), Step: events.DeadLettered,
		EventID: events.EventID(r.ID, events.Deliveries, events.DeadLettered, 0),
		At:      p.Now(), Cause: events.CausedBy(ev),
		Decide: func(context.Context, events.Prior) (events.Payload, error) { return dead, nil },
	})
	if err != nil {
		return fmt.Errorf("tell that %s is dead: %w", r.ID, err)
	}
	return nil
}

// firstAttempt is exact if this is the first attempt, else the moment of the match just before it.
func firstAttempt(r Received, a attempt) time.Time {
	if a.number == 1 {
		return a.started
	}
	return r.Matched
}

func (p *Pipeline) log(ctx context.Context, s *target, r Received, ev events.Event, a attempt, v verdict) {
	attrs := []slog.Attr{
		slog.String("state", string(v.state)), slog.String("outcome", string(a.outcome)),
		slog.String("project", s.Project), slog.String("subscription", s.Name), slog.String("subscription_id", s.ID),
		slog.String("delivery_id", r.ID), slog.String("event_id", ev.ID), slog.String("event_type", ev.Type),
		slog.Int("attempt", a.number), slog.Int64("duration_ms", a.took.Milliseconds()),
		slog.String("sink", s.Endpoint.String()),
	}
	if a.answer.Status != 0 {
		attrs = append(attrs, slog.Int("status", a.answer.Status))
	}
	if a.answer.Err != nil {
		attrs = append(attrs, slog.String("error", events.Clip(events.Redact(a.answer.Err.Error()), maxLogged)))
	}
	level := slog.LevelInfo
	switch v.state {
	case Retrying:
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("again_in", v.next.String()))
	case Dead:
		level = slog.LevelError
		attrs = append(attrs, slog.String("reason", v.reason))
	}
	p.Log.LogAttrs(ctx, level, "delivery finished", attrs...)
}

// maxLogged bounds the text of an error, in which a peer may have a say.
const maxLogged = 300
