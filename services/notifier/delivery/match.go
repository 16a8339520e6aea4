package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Match makes a delivery of every event for every subscription that wants it, in the order of the log. They are sent
// at once; Matched tells when all have a record. What is not after what it was given before is passed over: after an
// error call it again.
func (e *Engine) Match(ctx context.Context, evs ...events.Stored) (err error) {
	var full []Subscription
	e.mu.Lock()
	for n := range evs {
		if err = e.waitForRoom(ctx); err != nil {
			break
		}
		if full, err = e.match(&evs[n], full); err != nil {
			break
		}
	}
	e.mu.Unlock()
	nudge(e.wake)
	nudge(e.more)
	for _, s := range full {
		e.Logger.WarnContext(ctx, "subscription is full: further deliveries are SUPPRESSED until fewer wait", "reason", Backlog,
			"project", s.Project, "subscription", s.Name, "subscription_id", s.ID, "waiting", e.MaxOpen)
	}
	e.storeEnds(ctx)
	return err
}

// match takes in the deliveries of one event, except for those that have a record. It adds to full the subscriptions
// that have become so. The caller holds the mutex.
func (e *Engine) match(ev *events.Stored, full []Subscription) ([]Subscription, error) {
	if ev.Seq <= e.matched {
		return full, nil
	}
	there := e.inherit(ev.Seq)
	var made []*item
	for _, l := range e.byProject[ev.Project] {
		if !e.wants(l, ev.Event) {
			continue
		}
		id, err := events.DeliveryID(l.sub.ID, ev.Source, ev.ID)
		if err != nil {
			return full, fmt.Errorf("delivery of %s to %s: %w", ev.ID, l.sub.ID, err)
		}
		if !there[id] && l.open[id] == nil && e.ending[id] == nil {
			made = append(made, e.newItem(l, ev, id))
		}
	}
	for _, i := range made {
		l := e.lanes[i.SubscriptionID]
		if e.refuse(l, i) {
			full = append(full, l.sub)
		}
		e.bare[i] = true
		if i.State.Open() {
			e.place(i)
		} else {
			e.ending[i.DeliveryID] = i
		}
	}
	e.matched = ev.Seq
	return full, nil
}

// refuse ends a delivery that comes on top of as many as may wait; replays count for themselves. It tells whether
// that has just begun. The caller holds the mutex.
func (e *Engine) refuse(l *lane, i *item) (began bool) {
	live := len(l.open) - len(l.replays)
	for _, running := range l.inFlight {
		if running.ReplayID != "" {
			live--
		}
	}
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
	return true, e.accept(ctx, i)
}

// newItem is a delivery that nobody has stored yet; the caller holds the mutex.
func (e *Engine) newItem(l *lane, ev *events.Stored, id string) *item {
	now := events.At(e.Now())
	i := &item{due: now.Time, after: e.after(ev.Seq), Record: Record{
		DeliveryID: id, SubscriptionID: l.sub.ID, Project: l.project, EventID: ev.ID, EventType: ev.Type,
		EventSource: ev.Source, EventSequence: ev.Sequence, EventSeq: ev.Seq, State: Pending, CreateTime: now, NextAttemptTime: now,
	}}
	e.letters.keep(ev.Seq, ev.Event)
	if reason, ended := l.why(); ended {
		i.State, i.Reason, i.NextAttemptTime = Suppressed, reason, events.Time{}
	}
	return i
}

// accept stores a replay and takes it in: there is no place in the log of events from which it would be made again.
// One that is there already and in no lane of ours is taken in as it stands: it was made before.
func (e *Engine) accept(ctx context.Context, i *item) error {
	e.mu.Lock()
	e.accepting++
	e.mu.Unlock()
	err := e.Log.Put(ctx, []*Record{&i.Record})[0]
	if errors.Is(err, events.ErrContended) {
		_, err = e.adopt(ctx, i)
	}
	e.mu.Lock()
	e.accepting--
	if err == nil && i.State.Open() && e.ending[i.DeliveryID] == nil { // a lane takes nothing in twice
		e.place(i)
	}
	e.mu.Unlock()
	nudge(e.wake)
	e.storeEnds(ctx)
	if err != nil {
		return fmt.Errorf("store %s: %w", i.DeliveryID, err)
	}
	return nil
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
	rest, ok := strings.CutPrefix(ev.Subject, "subscriptions/")
	if ok {
		rest, ok = strings.CutPrefix(rest, subscriptionID)
	}
	return ok && (rest == "" || rest[0] == '/')
}

// aboutDelivery tells the events whose failed delivery makes no further event (events.md 7.9).
func aboutDelivery(ev events.Event) bool {
	return ev.Entity() == events.Deliveries || ev.Entity() == events.Subscriptions
}
