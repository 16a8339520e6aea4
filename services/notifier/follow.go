package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// batch is how many events are matched together.
const batch = 256

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
			// What came while nobody led was passed over by the scan if it is no event.
			if _, err := n.event(ctx, m); err != nil {
				return err
			}
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
		ev, err := n.event(ctx, m)
		if err != nil {
			return err
		}
		if ev == nil {
			if err := match(); err != nil {
				return err
			}
			p.Events = m.Seq
			continue
		}
		evs = append(evs, *ev)
	}
	return match()
}

// catchUp matches what the log has above the position.
func (n *notifier) catchUp(ctx context.Context, e *delivery.Engine, p *position) error {
	var evs []events.Stored
	end, err := n.Bus.Scan(ctx, events.AllEvents, p.Events+1, false, func(subject string, ev events.Stored) error {
		if err := events.Mismatch(ev.Event, subject); err != nil {
			return n.refuse(ctx, ev.Seq)
		}
		if evs = append(evs, ev); len(evs) < batch {
			return nil
		}
		if err := n.match(ctx, e, evs); err != nil {
			return err
		}
		p.Events, evs = ev.Seq, nil
		return nil
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

// refuse makes a dead letter of a message of the log that contradicts its subject.
func (n *notifier) refuse(ctx context.Context, seq uint64) error {
	m, err := n.Bus.MessageAt(ctx, seq)
	if errors.Is(err, events.ErrNotFound) { // it was compacted away meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	_, err = n.event(ctx, m)
	return err
}

// event is the event in a message, nil for what is none, which is a dead letter then.
func (n *notifier) event(ctx context.Context, m bus.Message) (*events.Stored, error) {
	ev, err := m.Event()
	if err == nil {
		return &ev, nil
	}
	if reason, refused := bus.Refused(err); refused {
		return nil, n.Bus.DeadLetter(ctx, service, reason, m, err)
	}
	return nil, nil
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
