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
	var unacked []bus.Message
	for {
		wait, cancel := context.WithTimeout(ctx, tendEvery)
		messages, err := reader.Next(wait, batch)
		cancel()
		switch {
		case err == nil:
			if err := n.take(ctx, e, p, messages); err != nil {
				return err
			}
			unacked = append(unacked, messages...)
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if err := n.savePosition(ctx, e, p); err != nil {
			return err
		}
		unacked = acknowledge(reader, unacked, e.Matched(p.matched))
	}
}

// acknowledge acknowledges what is not above the position, and returns the rest. What fails comes again, and is below.
func acknowledge(reader *bus.Batches, messages []bus.Message, upTo uint64) []bus.Message {
	var last bus.Message
	rest := messages[:0]
	for _, m := range messages {
		switch {
		case m.Seq > upTo:
			rest = append(rest, m)
		case m.Seq > last.Seq:
			last = m
		}
	}
	if last.Seq > 0 {
		_ = reader.Ack(last) // and with it all below
	}
	clear(messages[len(rest):])
	return rest
}

// savePosition stores p now and then, if it is another one.
func (n *notifier) savePosition(ctx context.Context, e *delivery.Engine, p *position) error {
	now := n.Now()
	if now.Sub(p.savedAt) < tendEvery {
		return nil
	}
	p.savedAt = now
	if p.note(e); p.saved == [2]uint64{p.Events, p.Log} && p.revision > 0 {
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
		p.matched, evs = evs[len(evs)-1].Seq, nil
		return nil
	}
	for _, m := range messages {
		at := p.matched
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
			p.matched = m.Seq
			continue
		}
		evs = append(evs, *ev)
	}
	return match()
}

// catchUp matches what the log has above the position.
func (n *notifier) catchUp(ctx context.Context, e *delivery.Engine, p *position) error {
	var evs []events.Stored
	end, err := n.Bus.Scan(ctx, events.AllEvents, p.matched+1, false, func(subject string, ev events.Stored) error {
		if err := events.Mismatch(ev.Event, subject); err != nil {
			return n.refuse(ctx, ev.Seq)
		}
		if evs = append(evs, ev); len(evs) < batch {
			return nil
		}
		if err := n.match(ctx, e, evs); err != nil {
			return err
		}
		p.matched, evs = ev.Seq, nil
		return n.savePosition(ctx, e, p)
	})
	if err == nil && len(evs) > 0 {
		err = n.match(ctx, e, evs)
	}
	if err != nil {
		return err
	}
	p.matched = max(p.matched, end)
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

// match repeats until all are matched: an event that is not must not be passed over.
func (n *notifier) match(ctx context.Context, e *delivery.Engine, evs []events.Stored) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := e.Match(ctx, evs...)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n.Log.WarnContext(ctx, "events not matched", "error", events.Redact(err.Error()))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
