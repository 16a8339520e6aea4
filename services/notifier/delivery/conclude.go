package delivery

import (
	"context"
	"errors"
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
// before it is known, then the record. The log line says everything about the attempt.
func (e *Engine) conclude(ctx context.Context, l *lane, s Subscription, i *item, ev events.Event, a attempt) {
	first := a.started
	if len(i.Attempts) > 0 {
		first = i.Attempts[0].StartTime.Time
	}
	v := e.Plan.judge(a, first, e.Random())
	e.endpoint(ctx, l, a)
	i.Attempts = append(i.Attempts, a.Result())
	i.State, i.Reason, i.NextAttemptTime = v.state, v.reason, events.Time{}
	if v.state == Retrying {
		i.due = e.Now().Add(v.next)
		i.NextAttemptTime = events.At(i.due)
	}
	e.mu.Lock()
	if v.state == Retrying && (l.stopped != "" || l.sub.Disabled) {
		i.State, i.Reason, i.NextAttemptTime = Suppressed, l.sub.Reason, events.Time{}
		if l.stopped != "" {
			i.Reason = l.stopped
		}
	}
	e.mu.Unlock()
	e.log(ctx, s, i, ev, a, v)
	if v.state == Dead {
		e.tellDead(ctx, s, i, ev, a)
	}
	stored := e.store(ctx, i)
	e.finish(l, i, !stored || !i.State.Open())
}

// endpoint notes what an attempt says about the sink: pause, circuit, failing for long, gone.
func (e *Engine) endpoint(ctx context.Context, l *lane, a attempt) {
	now := e.Now()
	e.mu.Lock()
	h, before := &l.health, l.health
	l.circuit.end(h, a.outcome, now)
	if until := now.Add(a.wait); a.wait > 0 && until.After(h.PausedUntil) {
		h.PausedUntil = until
	}
	if a.outcome == Success {
		h.LastSuccess, h.FirstFailure, h.LastFailure, h.ToldFailing = now, time.Time{}, time.Time{}, false
	} else {
		h.LastFailure = now
		if h.FirstFailure.IsZero() {
			h.FirstFailure = now
		}
	}
	l.dirty = true
	urgent := h.PausedUntil != before.PausedUntil || h.OpenUntil != before.OpenUntil || h.FirstFailure != before.FirstFailure
	turn, due := h.turn(now)
	if a.outcome == Gone {
		turn, due = Turn{Disable: true, Reason: IsGone}, true
	}
	if due && turn.Disable {
		l.stopped = turn.Reason
	}
	id, saved := l.sub.ID, l.health
	e.mu.Unlock()
	switch {
	case due:
		e.turn(ctx, l, id, turn, saved)
	case urgent:
		e.keep(ctx, func(ctx context.Context) error { return e.Keeper.SaveHealth(ctx, id, saved) })
	}
}

// The limits of events.md 7.9.
const (
	failingAfter  = 24 * time.Hour
	disabledAfter = 120 * time.Hour
	apart         = 12 * time.Hour
)

// turn is what is to become of a subscription that has failed for so long.
func (h *Health) turn(now time.Time) (Turn, bool) {
	if h.FirstFailure.IsZero() {
		return Turn{}, false
	}
	switch failing := now.Sub(h.FirstFailure); {
	case failing >= disabledAfter && h.LastFailure.Sub(h.FirstFailure) >= apart:
		return Turn{Disable: true, Reason: Failing}, true
	case failing >= failingAfter && !h.ToldFailing:
		return Turn{Reason: Failing}, true
	}
	return Turn{}, false
}

// turn has a subscription turned and ends what waits for one that is disabled by it.
func (e *Engine) turn(ctx context.Context, l *lane, id string, to Turn, h Health) {
	e.Logger.WarnContext(ctx, "subscription failing", "subscription_id", id, "disabled", to.Disable, "reason", to.Reason)
	if !e.keep(ctx, func(ctx context.Context) error { return e.Keeper.Turn(ctx, id, to, h) }) {
		return
	}
	e.mu.Lock()
	var dropped []*item
	if to.Disable {
		dropped = l.drop()
	}
	l.health.ToldFailing = true
	l.dirty = true
	e.settle(l)
	e.mu.Unlock()
	e.keep(ctx, func(ctx context.Context) error { return e.suppress(ctx, dropped, to.Reason) })
}

// Tend turns subscriptions that have failed for long although nothing is sent to them, and has Health stored
// that has changed. It is to be called about once a second.
func (e *Engine) Tend(ctx context.Context) {
	type due struct {
		l    *lane
		id   string
		h    Health
		turn Turn
		ripe bool
	}
	var list []due
	now := e.Now()
	e.mu.Lock()
	for id, l := range e.lanes {
		turn, ripe := l.health.turn(now)
		ripe = ripe && l.stopped == "" && !l.sub.Disabled
		if ripe && turn.Disable {
			l.stopped = turn.Reason
		}
		if ripe || l.dirty && !l.saving && now.Sub(l.savedAt) >= saveEvery {
			l.health.Pending, l.health.OldestPending = len(l.open), time.Time{}
			for _, i := range l.open {
				if o := l.health.OldestPending; o.IsZero() || i.CreateTime.Before(o) {
					l.health.OldestPending = i.CreateTime.Time
				}
			}
			l.dirty, l.savedAt = false, now
			list = append(list, due{l, id, l.health, turn, ripe})
		}
	}
	e.mu.Unlock()
	for _, d := range list {
		if d.ripe {
			e.turn(ctx, d.l, d.id, d.turn, d.h)
		} else if err := e.Keeper.SaveHealth(ctx, d.id, d.h); err != nil && ctx.Err() == nil {
			e.Logger.WarnContext(ctx, "health of a subscription not stored", "subscription_id", d.id, "error", events.Redact(err.Error()))
		}
	}
}

// saveEvery bounds how often what only users look at is stored.
const saveEvery = 5 * time.Second

// finish gives the slot back. ended forgets the delivery, else it waits for its next attempt.
func (e *Engine) finish(l *lane, i *item, ended bool) {
	e.mu.Lock()
	e.busy--
	delete(l.inFlight, i.DeliveryID)
	switch {
	case ended:
		l.end(i)
	case l.open[i.DeliveryID] != nil:
		l.again(i)
	}
	l.circuit.probing = l.circuit.probing && len(l.inFlight) > 0
	l.dirty = true
	e.settle(l)
	e.mu.Unlock()
	e.nudge()
}

// storeWait bounds the writes of an attempt that ended while the notifier stops.
const storeWait = 10 * time.Second

// keep repeats a write until it holds, as long as the process may. The attempt was made: a stop must not make
// its outcome unknown at once, which would mean another request.
func (e *Engine) keep(ctx context.Context, write func(ctx context.Context) error) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
		err := write(one)
		cancel()
		if err == nil {
			return true
		}
		e.Logger.WarnContext(ctx, "outcome not stored", "error", events.Redact(err.Error()))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// store writes the record. false means that somebody else has the delivery, or that the process stops.
func (e *Engine) store(ctx context.Context, i *item) bool {
	lost := false
	r := i.Record // others look at the item's place meanwhile
	return e.keep(ctx, func(ctx context.Context) error {
		err := e.Log.Put(ctx, []*Record{&r})[0]
		if err == nil {
			e.mu.Lock()
			i.Seq, e.newest = r.Seq, max(e.newest, r.Seq)
			e.mu.Unlock()
		}
		if errors.Is(err, events.ErrContended) {
			lost = true
			e.Logger.WarnContext(ctx, "delivery was taken over by another notifier", "delivery_id", i.DeliveryID)
			return nil
		}
		return err
	}) && !lost
}

// tellDead appends delivery.dead_lettered. Doing it again for the same delivery stores nothing.
func (e *Engine) tellDead(ctx context.Context, s Subscription, i *item, ev events.Event, a attempt) {
	if aboutDelivery(ev) {
		return
	}
	dead := events.DeadDelivery{
		Project: s.Project, DeliveryID: i.DeliveryID, SubscriptionID: s.ID, SinkOrigin: s.Endpoint.Origin(),
		EventID: ev.ID, EventType: ev.Type, EventSource: ev.Source, EventSequence: ev.Sequence,
		Attempts: a.number, FirstAttemptTime: i.Attempts[0].StartTime, LastAttemptTime: events.At(a.started),
		LastOutcome: string(a.outcome), LastStatusCode: a.answer.Status, Reason: i.Reason,
	}
	e.keep(ctx, func(ctx context.Context) error {
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
	})
}

func (e *Engine) log(ctx context.Context, s Subscription, i *item, ev events.Event, a attempt, v verdict) {
	attrs := []slog.Attr{
		slog.String("state", string(i.State)), slog.String("outcome", string(a.outcome)),
		slog.String("project", s.Project), slog.String("subscription", s.Name), slog.String("subscription_id", s.ID),
		slog.String("delivery_id", i.DeliveryID), slog.String("event_id", ev.ID), slog.String("event_type", ev.Type),
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
	switch i.State {
	case Retrying:
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("again_in", v.next.String()))
	case Dead:
		level = slog.LevelError
		attrs = append(attrs, slog.String("reason", i.Reason))
	}
	e.Logger.LogAttrs(ctx, level, "delivery finished", attrs...)
}

// maxLogged bounds the text of an error, in which a peer may have a say.
const maxLogged = 300
