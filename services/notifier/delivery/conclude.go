package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
)

// verdict is what follows from an attempt.
type verdict struct {
	state  State
	reason string        // if Dead
	next   time.Duration // if Retrying
}

// judge is the column "Effect" of events.md 7.8.
func (p Plan) judge(a attempt, first time.Time, random float64) verdict {
	switch a.outcome {
	case Success:
		return verdict{state: Delivered}
	case Gone:
		return verdict{state: Dead, reason: IsGone}
	case PermanentStatus:
		return verdict{state: Dead, reason: Permanent}
	}
	if a.number >= p.attempts() {
		return verdict{state: Dead, reason: Exhausted}
	}
	next := max(p.delay(a.number, random), a.wait)
	if a.outcome == Timeout || a.outcome == Throttled && a.wait == 0 {
		next = max(next, p.Slow)
	}
	if a.started.Add(a.took + next).After(first.Add(p.Limit)) {
		return verdict{state: Dead, reason: Expired}
	}
	return verdict{state: Retrying, next: next}
}

// conclude draws the consequences of an attempt: what is known of the endpoint first, so that nobody sends
// before it is known, then the record. The log line, of a success one for who debugs, says everything about the attempt.
func (e *Engine) conclude(ctx context.Context, l *lane, s Subscription, i *item, ev events.Event, a attempt) {
	first := a.started
	if len(i.Attempts) > 0 {
		first = i.Attempts[0].StartTime.Time
	}
	v := e.Plan.judge(a, first, e.Random())
	e.endpoint(ctx, l, s.Target, a)
	i.Attempts = append(i.Attempts, a.Result())
	i.State, i.Reason, i.NextAttemptTime = v.state, v.reason, events.Time{}
	if v.state == Retrying {
		i.due = e.Now().Add(v.next)
		i.NextAttemptTime = events.At(i.due)
	}
	e.mu.Lock()
	if reason, ended := l.why(); ended && v.state == Retrying {
		i.State, i.Reason, i.NextAttemptTime = Suppressed, reason, events.Time{}
	}
	e.mu.Unlock()
	e.log(ctx, s, i, ev, a, v)
	if v.state == Dead {
		e.tellDead(ctx, s, i, ev)
	}
	e.record(ctx, l, i)
}

// record stores what became of a delivery and gives its slot back.
func (e *Engine) record(ctx context.Context, l *lane, i *item) {
	switch {
	case !e.store(ctx, i):
		e.finish(l, i, leave)
	case i.State.Open():
		e.finish(l, i, again)
	default:
		e.finish(l, i, forget)
	}
}

// whither is what becomes of a delivery whose attempt is over.
type whither int

const (
	again  whither = iota // it waits for its next attempt
	forget                // it has ended
	leave                 // the notifier stops: whoever comes next finds it in the log, so that Floor has to count it
)

// finish gives the slot back; whoever calls it picks the next.
func (e *Engine) finish(l *lane, i *item, to whither) {
	e.mu.Lock()
	e.busy--
	delete(l.inFlight, i.DeliveryID)
	e.runs(i, false)
	i.claimed = to == leave
	reason, ended := l.why() // since it was taken; one that was removed has stopped
	switch {
	case to == forget:
		l.end(i)
	case to == again && ended:
		l.end(i)
		e.suppress([]*item{i}, reason)
		nudge(e.more)
	case to == again:
		l.again(i)
	}
	if len(l.open) == 0 {
		delete(e.removed, l)
	}
	l.circuit.probing = l.circuit.probing && len(l.inFlight) > 0
	l.dirty = true
	e.settle(l)
	e.mu.Unlock()
}

// tellDead appends delivery.dead_lettered. Doing it again for the same delivery stores nothing.
func (e *Engine) tellDead(ctx context.Context, s Subscription, i *item, ev events.Event) {
	if aboutDelivery(ev) {
		return
	}
	last := i.Attempts[len(i.Attempts)-1]
	dead := events.DeadDelivery{
		Project: s.Project, DeliveryID: i.DeliveryID, SubscriptionID: s.ID, SinkOrigin: s.Endpoint.Origin(),
		EventID: ev.ID, EventType: ev.Type, EventSource: ev.Source, EventSequence: ev.Sequence,
		Attempts: last.Number, FirstAttemptTime: i.Attempts[0].StartTime, LastAttemptTime: last.StartTime,
		LastOutcome: string(last.Outcome), LastStatusCode: last.StatusCode, Reason: i.Reason,
	}
	e.keep(ctx, bounded(func(ctx context.Context) error {
		_, err := e.Appender.Append(ctx, events.Draft{
			Aggregate: dead.Aggregate(), Step: events.DeadLettered,
			EventID: events.EventID(i.DeliveryID, events.Deliveries, events.DeadLettered, 0),
			At:      e.Now(), Cause: events.CausedBy(ev),
			Decide: func(context.Context, events.Prior) (events.Payload, error) { return dead, nil },
		})
		if err != nil {
			return fmt.Errorf("tell that %s is dead: %w", i.DeliveryID, err)
		}
		return nil
	}))
}

// log writes one line of an attempt. What was delivered is for who debugs: there is a record of it, and it is counted.
func (e *Engine) log(ctx context.Context, s Subscription, i *item, ev events.Event, a attempt, v verdict) {
	level := slog.LevelInfo
	switch i.State {
	case Delivered:
		level = slog.LevelDebug
	case Retrying:
		level = slog.LevelWarn
	case Dead:
		level = slog.LevelError
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("state", string(i.State)), slog.String("outcome", string(a.outcome)),
		slog.String("delivery_id", i.DeliveryID), slog.String("event_id", ev.ID), slog.String("event_type", ev.Type),
		slog.Int("attempt", a.number), slog.Int64("duration_ms", a.took.Milliseconds()),
	}
	if a.answer.Status != 0 {
		attrs = append(attrs, slog.Int("status", a.answer.Status))
	}
	if a.answer.Err != nil {
		attrs = append(attrs, slog.String("error", events.Clip(events.Redact(a.answer.Err.Error()), maxLogged)))
	}
	switch i.State {
	case Retrying:
		attrs = append(attrs, slog.String("again_in", v.next.String()))
	case Dead:
		attrs = append(attrs, slog.String("reason", i.Reason))
	}
	s.log.LogAttrs(ctx, level, "delivery finished", attrs...)
}

// maxLogged bounds the text of an error, in which a peer may have a say.
const maxLogged = 300
