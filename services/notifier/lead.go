package notifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

const (
	batch     = 256             // events that are matched together
	tendEvery = time.Second     // of what is stored now and then
	askEvery  = time.Hour       // of sinks that have given no permission
	leaseKey  = "active"        // of several notifiers one is active
	patience  = 4 * time.Second // until another one takes over
)

// lead runs the engine while this process holds the lease.
func (n *notifier) lead(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p, err := readPosition(ctx, n.Bus, n.state)
	if err != nil {
		return n.again(ctx, err)
	}
	e, err := n.engine(ctx, p)
	if err != nil {
		return n.again(ctx, err)
	}
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	running.Go(func() { tend(ctx, e) })
	if n.store != nil {
		running.Go(func() { n.askUnverified(ctx) })
		running.Go(func() { n.replay(ctx, e) })
	}
	n.Log.InfoContext(ctx, "notifier is active", "event_seq", p.Events)
	err = n.follow(ctx, e, &p)
	stop()
	running.Wait()
	if n.store != nil {
		n.store.OnChange(nil)
	}
	n.active.Store(nil)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	p.Log = e.Floor(p.Log)
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
func (n *notifier) engine(ctx context.Context, p position) (*delivery.Engine, error) {
	e, err := delivery.New(delivery.Deps{
		Log: n.records, Events: stored{n.Bus}, Keeper: n.keeper, Appender: n.Bus, Logger: n.Log, Now: n.Now, Random: n.Random,
		Count: n.figures.count, Plan: n.plan, Slots: slots,
	})
	if err != nil {
		return nil, err
	}
	for _, s := range n.registry.fixed {
		h, err := n.keeper.Health(ctx, s.ID)
		if err == nil {
			err = e.Set(ctx, s, h)
		}
		if err != nil {
			return nil, err
		}
	}
	if n.store != nil {
		if err := n.store.Repair(ctx); err != nil {
			return nil, err
		}
		n.store.OnChange(func(id string) { n.update(ctx, e, id) })
	}
	open, err := n.records.open(ctx, p.Log)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(open, func(a, b *delivery.Record) int {
		return int(min(max(int64(a.EventSeq)-int64(b.EventSeq), -1), 1))
	})
	n.active.Store(e)
	return e, e.Load(ctx, open)
}

// update tells the engine of the newest version of a subscription.
func (n *notifier) update(ctx context.Context, e *delivery.Engine, id string) {
	n.updating.Lock()
	defer n.updating.Unlock()
	d, there := n.store.Known(id)
	var err error
	if !there {
		err = errors.Join(e.Remove(ctx, id), n.keeper.forget(ctx, id))
		n.registry.forget(id)
	} else {
		err = n.tellEngine(ctx, e, d)
	}
	if err != nil && ctx.Err() == nil {
		n.Log.ErrorContext(ctx, "subscription not updated", "subscription_id", id, "error", events.Redact(err.Error()))
	}
}

func (n *notifier) tellEngine(ctx context.Context, e *delivery.Engine, d subscription.Document) error {
	s, _, err := n.registry.of(d)
	if err != nil { // as of an address that the settings no longer allow
		return err
	}
	if n.handshakeOff {
		s.Unverified = false
	}
	h, err := n.keeper.Health(ctx, d.ID)
	if err != nil {
		return err
	}
	return e.Set(ctx, s, h)
}

// follow matches every event, in the order of the log and without a gap, from where the last notifier was.
func (n *notifier) follow(ctx context.Context, e *delivery.Engine, p *position) error {
	if err := n.catchUp(ctx, e, p); err != nil {
		return err
	}
	reader, err := n.Bus.Batches(ctx, bus.NotifierDurable)
	if err != nil {
		return err
	}
	defer reader.Stop()
	saved := n.Now()
	for {
		wait, cancel := context.WithTimeout(ctx, tendEvery)
		messages, err := reader.Next(wait, batch)
		cancel()
		switch {
		case err == nil:
			if err := n.take(ctx, e, p, messages); err != nil {
				return err
			}
			for _, m := range messages {
				if err := reader.Ack(m); err != nil { // it comes again, and is below the position
					break
				}
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if now := n.Now(); now.Sub(saved) >= tendEvery || len(messages) == 0 {
			saved = now
			if err := n.savePosition(ctx, e, p); err != nil {
				return err
			}
		}
	}
}

// tend has its own goroutine: what it stores must not hold up what is new.
func tend(ctx context.Context, e *delivery.Engine) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.Tend(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (n *notifier) savePosition(ctx context.Context, e *delivery.Engine, p *position) error {
	before := *p
	if p.Log = e.Floor(p.Log); before == *p && p.revision > 0 {
		return nil
	}
	err := p.save(ctx, n.state)
	if errors.Is(err, bus.ErrConflict) {
		return fmt.Errorf("another notifier is active: %w", err)
	}
	if err != nil && ctx.Err() == nil {
		n.Log.WarnContext(ctx, "position not stored", "error", events.Redact(err.Error()))
	}
	return nil
}

// take matches what has arrived. Below the position it has been matched; above a gap, what lies between is read
// from the log: another reader may have been given it.
func (n *notifier) take(ctx context.Context, e *delivery.Engine, p *position, messages []bus.Message) error {
	var evs []events.Stored
	match := func() error {
		if len(evs) == 0 {
			return nil
		}
		if err := n.match(ctx, e, evs); err != nil {
			return err
		}
		p.Events, evs = evs[len(evs)-1].Seq, nil
		return nil
	}
	for _, m := range messages {
		at := p.Events
		if len(evs) > 0 {
			at = evs[len(evs)-1].Seq
		}
		if m.Seq <= at {
			continue
		}
		if m.Seq > at+1 {
			if err := match(); err != nil {
				return err
			}
			if err := n.catchUp(ctx, e, p); err != nil {
				return err
			}
			continue
		}
		ev, err := m.Event()
		if err != nil {
			if reason, refused := bus.Refused(err); refused {
				if err := n.Bus.DeadLetter(ctx, service, reason, m, err); err != nil {
					return err
				}
			}
			if err := match(); err != nil {
				return err
			}
			p.Events = m.Seq
			continue
		}
		evs = append(evs, ev)
	}
	return match()
}

// catchUp matches what the log has above the position.
func (n *notifier) catchUp(ctx context.Context, e *delivery.Engine, p *position) error {
	var evs []events.Stored
	end, err := n.Bus.Scan(ctx, events.EventRoot+".>", p.Events+1, false, func(_ string, ev events.Stored) error {
		if evs = append(evs, ev); len(evs) < batch {
			return nil
		}
		err := n.match(ctx, e, evs)
		p.Events, evs = ev.Seq, nil
		return err
	})
	if err == nil && len(evs) > 0 {
		err = n.match(ctx, e, evs)
	}
	if err != nil {
		return err
	}
	p.Events = max(p.Events, end)
	return nil
}

// match repeats until all deliveries are stored: an event that is not matched must not be passed over.
func (n *notifier) match(ctx context.Context, e *delivery.Engine, evs []events.Stored) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := e.Match(ctx, evs...)
		if err == nil {
			return nil
		}
		n.Log.WarnContext(ctx, "deliveries not stored", "error", events.Redact(err.Error()))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// askUnverified asks sinks again that have given no permission (events.md 7.6).
func (n *notifier) askUnverified(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for _, d := range n.store.List("") {
			if d.Permitted || d.Spec.Disabled || n.handshakeOff || n.Now().Sub(d.Asked) < askEvery {
				continue
			}
			if err := n.askAgain(ctx, d); err != nil && ctx.Err() == nil {
				n.Log.WarnContext(ctx, "permission not noted", "subscription_id", d.ID, "error", events.Redact(err.Error()))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notifier) askAgain(ctx context.Context, d subscription.Document) error {
	w, err := n.registry.webhook(d)
	if err != nil {
		return err
	}
	n.registry.ask(ctx, w, &d, n.Now())
	_, err = n.store.Change(ctx, d.Project, d.ID, d.Generation, "", func(c *subscription.Document) ([]string, error) {
		c.Asked, c.Permitted, c.AllowedBy = d.Asked, d.Permitted, d.AllowedBy
		return []string{"status"}, nil
	})
	if errors.Is(err, subscription.ErrChanged) || errors.Is(err, subscription.ErrNotFound) {
		return nil
	}
	return err
}
