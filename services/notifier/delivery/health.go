package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
)

// endpoint notes what an attempt says about the sink: pause, circuit, failing for long, gone.
// An attempt at an earlier target says nothing about this one.
func (e *Engine) endpoint(ctx context.Context, l *lane, target int, a attempt) {
	now := e.Now()
	e.mu.Lock()
	if l.sub.Target != target {
		e.mu.Unlock()
		return
	}
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
	turn.Target = target
	if due && turn.Disable {
		l.stopped = turn.Reason
	}
	id, saved := l.sub.ID, l.health
	e.mu.Unlock()
	switch {
	case due:
		e.turn(ctx, l, id, turn, saved)
	case urgent:
		e.keep(ctx, bounded(func(ctx context.Context) error { return e.Keeper.SaveHealth(ctx, id, saved) }))
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

// Disables tells whether the sink has failed for so long that its subscription is disabled.
func (h Health) Disables(now time.Time) bool {
	to, due := h.turn(now)
	return due && to.Disable
}

// turn has a subscription turned and ends what waits for one that is disabled by it.
func (e *Engine) turn(ctx context.Context, l *lane, id string, to Turn, h Health) {
	e.Logger.WarnContext(ctx, "subscription failing", "subscription_id", id, "disabled", to.Disable, "reason", to.Reason)
	stale := false
	if !e.keep(ctx, bounded(func(ctx context.Context) error {
		err := e.Keeper.Turn(ctx, id, to, h)
		if stale = errors.Is(err, ErrTarget); stale {
			return nil
		}
		return err
	})) {
		return
	}
	e.mu.Lock()
	switch {
	case l.sub.Target != to.Target: // it was replaced meanwhile
	case stale: // it is about to be
		l.stopped = ""
	default:
		if to.Disable {
			e.suppress(l.drop(), to.Reason)
		}
		l.health.ToldFailing = true
		l.dirty = true
	}
	e.settle(l)
	e.mu.Unlock()
	nudge(e.wake)
	e.storeEnds(ctx)
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
		turn.Target = l.sub.Target
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
	e.storeEnds(ctx)
}

// saveEvery bounds how often what only users look at is stored.
const saveEvery = 5 * time.Second
