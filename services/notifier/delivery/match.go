package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Match makes a delivery of every event for every subscription that wants it. When it returns nil all their
// records are stored; after an error call it again: what was stored is not stored, and not sent, twice.
func (e *Engine) Match(ctx context.Context, evs ...events.Stored) error {
	var made []*item
	var full []Subscription
	e.mu.Lock()
	for n := range evs {
		ev := &evs[n]
		for _, l := range e.byProject[ev.Project] {
			if !e.wants(l, ev.Event) {
				continue
			}
			id, err := events.DeliveryID(l.sub.ID, ev.Source, ev.ID)
			if err != nil {
				e.mu.Unlock()
				return fmt.Errorf("delivery of %s to %s: %w", ev.ID, l.sub.ID, err)
			}
			i := e.newItem(l, ev, id)
			if e.refuse(l, i) {
				full = append(full, l.sub)
			}
			made = append(made, i)
		}
	}
	e.mu.Unlock()
	for _, s := range full {
		e.Logger.WarnContext(ctx, "subscription is full: further deliveries are SUPPRESSED until fewer wait", "reason", Backlog,
			"project", s.Project, "subscription", s.Name, "subscription_id", s.ID, "waiting", e.MaxOpen)
	}
	return e.accept(ctx, made)
}

// refuse ends a delivery that comes on top of as many as may wait; replays count for themselves. It tells whether
// that has just begun. The caller holds the mutex.
func (e *Engine) refuse(l *lane, i *item) (began bool) {
	live := len(l.open) - len(l.replays)
	if live < e.MaxOpen {
		l.full = l.full && live >= e.MaxOpen-e.MaxOpen/10 // else one that ends now and then would make a log line each
		return false
	}
	if !i.State.Open() {
		return false
	}
	i.State, i.Reason, i.NextAttemptTime = Suppressed, Backlog, events.Time{}
	began, l.full = !l.full, true
	return began
}

// ErrFull puts a replay off: as many replays of the subscription wait as may.
var ErrFull = errors.New("as many replays of the subscription wait as may: the others follow")

// Replay makes a delivery of an event once more, whatever the filters say (events.md 7.11). false means that
// the subscription is not there or disabled. After an error, ErrFull too, call it again.
func (e *Engine) Replay(ctx context.Context, subscriptionID, replayID string, ev events.Stored) (bool, error) {
	if about(ev.Event, subscriptionID) { // it never gets its own (events.md 7.9)
		return true, nil
	}
	id, err := events.ReplayedDeliveryID(subscriptionID, ev.Source, ev.ID, replayID)
	if err != nil {
		return false, err
	}
	first, err := events.DeliveryID(subscriptionID, ev.Source, ev.ID)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	l := e.lanes[subscriptionID]
	if l == nil || l.sub.Disabled {
		e.mu.Unlock()
		return false, nil
	}
	if len(l.replays) >= max(e.MaxOpen/2, 1) {
		e.mu.Unlock()
		return false, ErrFull
	}
	i := e.newItem(l, &ev, id)
	i.ReplayID, i.ReplayOf = replayID, first
	e.mu.Unlock()
	return true, e.accept(ctx, []*item{i})
}

// newItem is a delivery that nobody has stored yet; the caller holds the mutex.
func (e *Engine) newItem(l *lane, ev *events.Stored, id string) *item {
	now := events.At(e.Now())
	i := &item{due: now.Time, Record: Record{
		DeliveryID: id, SubscriptionID: l.sub.ID, Project: l.project, EventID: ev.ID, EventType: ev.Type,
		EventSource: ev.Source, EventSequence: ev.Sequence, EventSeq: ev.Seq, State: Pending, CreateTime: now, NextAttemptTime: now,
	}}
	e.letters.keep(ev.Seq, ev.Event)
	switch {
	case l.stopped != "":
		i.State, i.Reason, i.NextAttemptTime = Suppressed, l.stopped, events.Time{}
	case l.sub.Disabled:
		i.State, i.Reason, i.NextAttemptTime = Suppressed, l.sub.Reason, events.Time{}
	}
	return i
}

// accept stores what is new and takes it in. What is there already and in no lane of ours is taken in as it stands:
// its writer never learnt that it was stored, or has lost the lease since.
func (e *Engine) accept(ctx context.Context, made []*item) error {
	if len(made) == 0 {
		return nil
	}
	records := make([]*Record, len(made))
	for n, i := range made {
		records[n] = &i.Record
	}
	e.mu.Lock()
	e.accepting++
	e.mu.Unlock()
	errs := e.Log.Put(ctx, records)
	for n, i := range made {
		if errors.Is(errs[n], events.ErrContended) {
			errs[n] = e.adopt(ctx, i)
		}
	}
	e.mu.Lock()
	e.accepting--
	failed := e.takeIn(made, errs)
	e.mu.Unlock()
	e.nudge()
	e.storeEnds(ctx)
	return failed
}

// adopt makes i the record that is stored of it, unless it is at hand: then i is left as one that has ended.
func (e *Engine) adopt(ctx context.Context, i *item) error {
	e.mu.Lock()
	l := e.lanes[i.SubscriptionID]
	known := l != nil && l.open[i.DeliveryID] != nil || e.ending[i.DeliveryID] != nil
	e.mu.Unlock()
	if known {
		i.State = Suppressed
		return nil
	}
	r, err := e.Log.Get(ctx, &i.Record)
	switch {
	case errors.Is(err, events.ErrUnreadable): // the log has reported it
		i.State = Suppressed
		return nil
	case err != nil:
		return err
	}
	i.Record, i.due = *r, r.NextAttemptTime.Time
	return nil
}

// takeIn gives what is stored to its lanes. Of a source nothing is taken in behind one that could not be stored, or
// it would overtake it (events.md 7.10): the next call finds it stored. The caller holds the mutex.
func (e *Engine) takeIn(made []*item, errs []error) error {
	var failed []error
	behind := map[[2]string]bool{}
	for n, i := range made {
		way := [2]string{i.SubscriptionID, i.EventSource}
		switch {
		case errs[n] != nil:
			behind[way] = true
			failed = append(failed, fmt.Errorf("store %s: %w", i.DeliveryID, errs[n]))
		case behind[way] || !i.State.Open():
		default:
			e.place(i)
		}
	}
	return errors.Join(failed...)
}

// wants tells whether ev is for a lane, and counts a filter that cannot be evaluated. Progress never goes to
// webhooks (events.md 7.1). The caller holds the mutex.
func (e *Engine) wants(l *lane, ev events.Event) bool {
	if ev.Step() == events.ProgressStep || about(ev, l.sub.ID) {
		return false
	}
	ok, err := l.sub.Interest.Wants(ev)
	if err != nil {
		l.health.FilterErrors++
		l.health.LastFilterError = events.Clip(events.Redact(err.Error()), 256)
		l.dirty = true
	}
	return ok && err == nil
}

// about tells whether ev is one about this subscription or its deliveries.
func about(ev events.Event, subscriptionID string) bool {
	rest, ok := strings.CutPrefix(ev.Subject, "subscriptions/"+subscriptionID)
	return ok && (rest == "" || rest[0] == '/')
}

// aboutDelivery tells the events whose failed delivery makes no further event (events.md 7.9).
func aboutDelivery(ev events.Event) bool {
	return ev.Entity() == events.Deliveries || ev.Entity() == events.Subscriptions
}
