package notifier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

const (
	tendEvery = time.Second     // of what is stored now and then
	leaseKey  = "active"        // of several notifiers one is active
	patience  = 4 * time.Second // until another one takes over
)

// lead runs the engine while this process holds the lease.
func (n *notifier) lead(ctx context.Context, held func() bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if n.store != nil {
		defer n.store.OnChange(nil)
	}
	p, err := readPosition(ctx, n.Bus, n.state)
	if err != nil {
		return n.again(ctx, err)
	}
	e, err := n.engine(ctx, p, held)
	if err != nil {
		return n.again(ctx, err)
	}
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	running.Go(func() { tend(ctx, func() { e.Tend(ctx) }) })
	if n.store != nil {
		running.Go(func() { n.askUnverified(ctx) })
		running.Go(func() { n.replay(ctx, e) })
		running.Go(func() { tend(ctx, func() { n.mend(ctx, e) }) })
	}
	n.Log.InfoContext(ctx, "notifier is active", "event_seq", p.Events)
	err = n.follow(ctx, e, &p)
	stop()
	running.Wait()
	n.active.Store(nil)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	p.note(e)
	if err := p.save(last, n.state); err != nil {
		n.Log.WarnContext(ctx, "position not stored", "error", events.Redact(err.Error()))
	}
	return n.again(ctx, err)
}

// again logs why leading ended; the lease is asked for anew.
func (n *notifier) again(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		n.Log.WarnContext(ctx, "notifier is not active any more", "error", events.Redact(err.Error()))
	}
	return nil
}

// engine knows all subscriptions and what is open of their deliveries.
func (n *notifier) engine(ctx context.Context, p position, held func() bool) (*delivery.Engine, error) {
	e, err := delivery.New(delivery.Deps{
		Log: n.records, Events: stored{n.Bus}, Keeper: n.keeper, Appender: n.Bus, Logger: n.Log, Now: n.Now, Random: n.Random,
		Count: n.figures.count, Plan: n.plan, Slots: slots, Held: held,
	})
	if err != nil {
		return nil, err
	}
	for _, s := range n.registry.fixed {
		h, err := n.keeper.Health(ctx, s.ID)
		if h.Disables(n.Now()) && n.started.After(h.FirstFailure) {
			h = h.Fresh() // it was disabled: starting anew enables it
		}
		if err == nil {
			err = e.Set(ctx, s, h)
		}
		if err != nil {
			return nil, err
		}
	}
	if n.store != nil {
		if err := n.subscriptions(ctx, e); err != nil {
			return nil, err
		}
	}
	left, err := n.records.left(ctx, p)
	if err != nil {
		return nil, err
	}
	n.active.Store(e)
	e.Load(ctx, left, p.Events, p.Log)
	return e, nil
}

// subscriptions tells the engine of all that the store has, and of their changes from now on. Without every one of
// them nobody may lead: events would pass those that are missing without a record, and their deliveries would end.
func (n *notifier) subscriptions(ctx context.Context, e *delivery.Engine) error {
	if sealed := n.store.Sealed(); sealed > 0 {
		return fmt.Errorf("%d subscriptions cannot be opened: start with the key of notifier.keyRef that they were sealed with", sealed)
	}
	if err := n.store.Repair(ctx); err != nil {
		return err
	}
	n.updating.Lock()
	n.behind = map[string]error{}
	n.updating.Unlock()
	n.store.OnChange(func(id string) { n.update(ctx, e, id) })
	n.updating.Lock()
	defer n.updating.Unlock()
	for _, err := range n.behind {
		return err
	}
	return nil
}

// mend does what failed at first: events of changes are told, changes reach the engine.
func (n *notifier) mend(ctx context.Context, e *delivery.Engine) {
	if err := n.store.Repair(ctx); err != nil && ctx.Err() == nil {
		n.Log.WarnContext(ctx, "change of a subscription not told", "error", events.Redact(err.Error()))
	}
	n.updating.Lock()
	ids := slices.Collect(maps.Keys(n.behind))
	n.updating.Unlock()
	for _, id := range ids {
		n.update(ctx, e, id)
	}
}

// update tells the engine of the newest version of a subscription; mend tries again what fails.
func (n *notifier) update(ctx context.Context, e *delivery.Engine, id string) {
	n.updating.Lock()
	defer n.updating.Unlock()
	d, there := n.store.Known(id)
	var err error
	if !there {
		e.Remove(ctx, id)
		n.registry.forget(id)
		err = n.keeper.forget(ctx, id)
	} else {
		err = n.tellEngine(ctx, e, d)
	}
	delete(n.behind, id)
	if err != nil {
		n.behind[id] = err
	}
	if err != nil && ctx.Err() == nil {
		n.Log.ErrorContext(ctx, "subscription not updated", "subscription_id", id, "error", events.Redact(err.Error()))
	}
}

func (n *notifier) tellEngine(ctx context.Context, e *delivery.Engine, d subscription.Document) error {
	s, err := n.registry.of(d)
	if err != nil { // as of an address that the settings no longer allow
		n.Log.ErrorContext(ctx, "subscription cannot be used: its deliveries are suppressed", "subscription_id", d.ID,
			"error", events.Redact(err.Error()))
		s = unusable(d)
	}
	if n.handshakeOff {
		s.Unverified = false
	}
	var h delivery.Health
	if !e.Has(d.ID) {
		if h, err = n.keeper.Health(ctx, d.ID); err != nil {
			return err
		}
	}
	return e.Set(ctx, s, h)
}

// tend has a goroutine for each task: what it stores must not hold up what is new.
func tend(ctx context.Context, task func()) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			task()
		case <-ctx.Done():
			return
		}
	}
}
