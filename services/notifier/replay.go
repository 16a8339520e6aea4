package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/api"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// A replay is a value in the bucket of the notifier's state, one of a subscription at a time, until the active notifier
// has carried it out. Doing it again after a crash makes the same deliveries, which are there already.
const replayPrefix = "replay."

// replaysAtOnce bounds how many replays read the log at the same time. One that the engine has no room for waits outside.
const replaysAtOnce = 32

// replay carries out what is asked for until ctx ends: each subscription's replays one after the other, those of several
// side by side.
func (n *notifier) replay(ctx context.Context, e *delivery.Engine) {
	asked, turns := replays{}, make(chan struct{}, replaysAtOnce)
	var running sync.WaitGroup
	defer running.Wait()
	_ = n.state.Watch(ctx, func() {}, func(entry bus.Entry) {
		if !strings.HasPrefix(entry.Key, replayPrefix) || entry.Value == nil || !asked.add(entry) {
			return
		}
		running.Go(func() {
			for more := true; more && ctx.Err() == nil; entry, more = asked.next(entry) {
				n.takeIn(ctx, e, turns, entry)
			}
		})
	})
}

// replays are those that are asked for and not yet taken in, by subscription; the first of each is being taken in.
type replays struct {
	mu  sync.Mutex
	all map[string][]bus.Entry
}

// add tells whether entry is the first of its subscription. One that is there already is not added: whoever watches is
// told everything anew when the line was cut.
func (r *replays) add(entry bus.Entry) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.all[entry.Key]
	if slices.ContainsFunc(of, func(o bus.Entry) bool { return o.Revision == entry.Revision }) {
		return false
	}
	if r.all == nil {
		r.all = map[string][]bus.Entry{}
	}
	r.all[entry.Key] = append(of, entry)
	return len(of) == 0
}

// next is what comes after an entry that is done with.
func (r *replays) next(done bus.Entry) (entry bus.Entry, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := r.all[done.Key][1:]
	if len(rest) == 0 {
		delete(r.all, done.Key)
		return entry, false
	}
	r.all[done.Key] = rest
	return rest[0], true
}

// takeIn carries out one replay, now and again until it is done or ctx ends.
func (n *notifier) takeIn(ctx context.Context, e *delivery.Engine, turns chan struct{}, entry bus.Entry) {
	p := &putOff{entry: entry}
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := n.replayOne(ctx, e, p)
		<-turns
		if err == nil || ctx.Err() != nil {
			return
		}
		full := errors.Is(err, delivery.ErrFull)
		if !full || !p.full { // that one may take hours
			n.Log.WarnContext(ctx, "replay put off", "error", events.Redact(err.Error()))
		}
		p.full = full
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// putOff is a replay and how far it is. The notifier that comes next begins anew.
type putOff struct {
	entry bus.Entry
	id    int    // of EventIDs, the next
	seq   uint64 // place in the log of the next event
	count int    // taken in
	full  bool   // the log has told so
}

func (n *notifier) replayOne(ctx context.Context, e *delivery.Engine, p *putOff) error {
	entry := p.entry
	var r api.Replay
	if err := json.Unmarshal(entry.Value, &r); err != nil { // it will never be one
		n.Log.ErrorContext(ctx, "replay cannot be read", "error", events.Redact(err.Error()))
		return n.state.Delete(ctx, entry.Key, entry.Revision)
	}
	send := func(ev events.Stored) error {
		p.seq = ev.Seq
		again, err := n.wanted(ctx, r, ev)
		if err != nil || !again {
			return err
		}
		ok, err := e.Replay(ctx, r.SubscriptionID, r.ReplayID, ev)
		if err != nil {
			return err
		}
		if !ok {
			return n.refused(ctx, r)
		}
		p.seq = ev.Seq + 1
		if p.count++; p.count >= r.MaxEvents {
			return errEnough
		}
		return nil
	}
	err := n.replayEvents(ctx, r, p, send)
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	n.Log.InfoContext(ctx, "replay taken in", "replay_id", r.ReplayID, "subscription_id", r.SubscriptionID, "events", p.count)
	if err := n.state.Delete(ctx, entry.Key, entry.Revision); err != nil && !errors.Is(err, bus.ErrConflict) { // else it is gone
		return err
	}
	return nil
}

// errEnough ends a replay: so many were wanted, or the subscription is gone or disabled.
var errEnough = errors.New("enough")

// refused tells whether a replay that the engine does not take ends there, or waits until the engine knows that the
// subscription was enabled.
func (n *notifier) refused(ctx context.Context, r api.Replay) error {
	d, err := n.store.Get(ctx, r.Project, r.SubscriptionID)
	switch {
	case errors.Is(err, subscription.ErrNotFound), err == nil && d.Spec.Disabled:
		return errEnough
	case err != nil:
		return err
	}
	return errNotYet
}

// errNotYet puts a replay off.
var errNotYet = errors.New("the subscription is enabled and not yet known to be")

func (n *notifier) replayEvents(ctx context.Context, r api.Replay, p *putOff, send func(events.Stored) error) error {
	if len(r.EventIDs) == 0 {
		all, err := events.ProjectFilter(r.Project)
		if err != nil {
			return err
		}
		_, err = n.Bus.Scan(ctx, all, p.seq, false, func(_ string, ev events.Stored) error {
			if ev.Time.Before(r.From) {
				return nil
			}
			if !ev.Time.Before(r.To) {
				return nil // times are not in the order of the log
			}
			return send(ev)
		})
		return err
	}
	for ; p.id < len(r.EventIDs); p.id, p.seq = p.id+1, 0 {
		id := r.EventIDs[p.id]
		one, err := events.EventFilter(r.Project, id)
		if err != nil {
			return err
		}
		_, err = n.Bus.Scan(ctx, one, p.seq, false, func(_ string, ev events.Stored) error {
			if ev.ID != id {
				return nil
			}
			return send(ev)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted tells whether a replay takes an event: one that it names as it is, one of a time if the subscription wants it
// and the replay does.
func (n *notifier) wanted(ctx context.Context, r api.Replay, ev events.Stored) (bool, error) {
	if len(r.EventIDs) > 0 {
		return true, nil
	}
	if ok, err := r.Interest.Wants(ev.Event); !ok || err != nil {
		return false, nil //nolint:nilerr // what cannot be evaluated does not pass
	}
	if len(r.Types) > 0 && !slices.Contains(r.Types, ev.Type) {
		return false, nil
	}
	if ok, err := r.Filters.Match(ev.Event); !ok || err != nil {
		return false, nil //nolint:nilerr // what cannot be evaluated does not pass
	}
	if len(r.States) == 0 {
		return true, nil
	}
	id, err := events.DeliveryID(r.SubscriptionID, ev.Source, ev.ID)
	if err != nil {
		return false, err
	}
	row, there, err := n.records.table.Get(ctx, bus.DeliverySubject(ev.Project, r.SubscriptionID, id))
	if err != nil || !there {
		return false, err
	}
	d, ok := n.records.read(ctx, row)
	return ok && slices.Contains(r.States, d.State), nil
}

// testText is what a test says.
const testText = "This is a test of the subscription. Nothing has happened."

// testEvent is `subscription.test` (events.md 7.11): it stands in no stream.
func testEvent(busName, project, id string, at time.Time) (events.Event, error) {
	ev, err := events.New(busName, events.SubscriptionTest{Project: project, SubscriptionID: id, Message: testText, TestTime: events.At(at)},
		events.Test, events.EventID(id, events.Subscriptions, events.Test, int(at.UnixMilli())), 0, at, events.Cause{})
	if err != nil {
		return ev, fmt.Errorf("test of %s: %w", id, err)
	}
	return ev, nil
}
