package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Batches reads a durable for the projector: everything that waits, at once, acknowledged at once.
//
// The durables for it are pinned: of several readers one is active, the others wait in Next. When the
// active one dies or loses its line, another takes over after about three seconds. What the first one had
// been given and did not acknowledge then comes again only after AckWait, behind newer messages, and an
// Ack of those newer ones acknowledges it too. A reader therefore trusts its own checkpoint and not the
// durable: if a message's Seq leaves a gap above what it has applied, it fills the gap with Scan; what lies
// below its checkpoint it drops.
type Batches struct {
	bus     *Bus
	durable string
	cancel  context.CancelFunc
	stopped chan struct{} // closed when the reading goroutine has ended

	mu    sync.Mutex
	ready []Message     // received, not yet taken by Next
	open  []Message     // received, not yet acknowledged, ready ones included
	more  chan struct{} // closed and replaced when ready grows
	err   error         // why reading ended
}

// errStopped is why a stopped reader has no more messages.
var errStopped = errors.New("reader is stopped")

// Batches starts reading a durable that Provision made. ctx ends only the start; Stop ends the reading.
func (b *Bus) Batches(ctx context.Context, durable string) (*Batches, error) {
	stream, ok := StreamOf(durable)
	if !ok {
		return nil, fmt.Errorf("read durable %q: none of events.md 4.5", durable)
	}
	cons, err := b.js.Consumer(ctx, stream, durable)
	if err != nil {
		return nil, fmt.Errorf("read durable %s of %s: %w", durable, stream, b.answer(ctx, err))
	}
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the call: Stop ends it
	r := &Batches{bus: b, durable: durable, cancel: cancel, stopped: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(r.stopped)
		r.run(whole, stream, cons)
	}()
	return r, nil
}

// Next returns what has arrived, at least one and at most limit messages, in the order of arrival. It waits
// for the first and for no more. The error is ctx's, or says that reading has ended for good.
func (r *Batches) Next(ctx context.Context, limit int) ([]Message, error) {
	for {
		r.mu.Lock()
		if n := min(len(r.ready), max(limit, 1)); n > 0 {
			batch := r.ready[:n:n]
			r.ready = r.ready[n:]
			r.mu.Unlock()
			return batch, nil
		}
		more, err := r.more, r.err
		r.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("read durable %s: %w", r.durable, err)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Ack acknowledges m and everything below it in the stream. It does not wait for the server: an
// acknowledgement that is lost only brings messages again.
func (r *Batches) Ack(m Message) error {
	if m.raw == nil {
		return errors.New("ack: not a message of a durable")
	}
	r.mu.Lock()
	kept := r.open[:0]
	for _, o := range r.open {
		if o.Seq > m.Seq {
			kept = append(kept, o)
		}
	}
	clear(r.open[len(kept):])
	r.open = kept
	r.mu.Unlock()
	if err := m.raw.Ack(); err != nil {
		return fmt.Errorf("ack up to %d: %w", m.Seq, err)
	}
	return nil
}

// Stop ends the reading and waits for it. Messages that Next returned can still be acknowledged; the others
// are handed back. Calling it again does nothing.
func (r *Batches) Stop() {
	r.cancel()
	<-r.stopped
}

// run receives until ctx ends, through as many iterators as it takes.
func (r *Batches) run(ctx context.Context, stream string, cons jetstream.Consumer) {
	for ctx.Err() == nil {
		err := r.receive(ctx, cons)
		if r.bus.nc.IsClosed() {
			r.end(fmt.Errorf("%w: connection is closed", ErrUnavailable))
			return
		}
		if ctx.Err() != nil || !pause(ctx, time.Second) {
			break
		}
		r.bus.log.WarnContext(ctx, "reader interrupted", "durable", r.durable, "error", err)
		if again, err := r.bus.js.Consumer(ctx, stream, r.durable); err == nil {
			cons = again
		}
	}
	r.end(errStopped)
}

func (r *Batches) receive(ctx context.Context, cons jetstream.Consumer) error {
	config := cons.CachedInfo().Config
	options := []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(4096), jetstream.PullExpiry(pullExpiry),
		jetstream.WithMessagesErrOnMissingHeartbeat(false)}
	if len(config.PriorityGroups) > 0 {
		options = append(options, jetstream.PullPriorityGroup(config.PriorityGroups[0]))
	}
	iter, err := cons.Messages(options...)
	if err != nil {
		return err
	}
	defer handBack(iter)
	marking, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.mark(marking, config.AckWait/3)
	}()
	defer func() { cancel(); <-done }()
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		got, err := received(m)
		if err != nil {
			r.bus.log.WarnContext(ctx, "message without metadata", "durable", r.durable, "error", err)
			continue
		}
		r.add(got)
	}
}

// add never blocks, so that pulls go on and keep the pin; the durable's MaxAckPending bounds what is held,
// as marks keep it from coming twice.
func (r *Batches) add(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = append(r.ready, m)
	r.open = append(r.open, m)
	close(r.more)
	r.more = make(chan struct{})
}

// mark keeps what is held from redelivery while the view cannot be written, however long that is.
func (r *Batches) mark(ctx context.Context, every time.Duration) {
	t := time.NewTicker(max(every, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		open := append([]Message(nil), r.open...)
		r.mu.Unlock()
		for _, m := range open {
			if err := m.raw.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
				break // no connection: the next round
			}
		}
	}
}

// end hands back what nobody has taken.
func (r *Batches) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.ready {
		_ = m.raw.Nak()
	}
	r.ready, r.err = nil, err
	close(r.more)
	r.more = make(chan struct{})
}
