package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Scan calls fn for every stored event that matches filter, from the stream sequence from on, up to the
// last one that was stored when Scan began; it returns that sequence, so that a Tail or a Scan from end+1
// goes on without a gap. latestOnly leaves out an event if a newer one has the same subject; the server then ignores
// from and sends the newest of every subject of the filter, so it is for reading from the beginning: to catch up from a
// later place ask without it.
//
// fn is called in the order of the log, by one goroutine. Its error ends the scan and is returned. A
// message that is no event is logged and passed over: it cannot be un-stored. Reconnects are survived.
func (b *Bus) Scan(ctx context.Context, filter string, from uint64, latestOnly bool,
	fn func(subject string, s events.Stored) error) (end uint64, err error) {
	return b.read(ctx, &reader{filter: filter, next: max(from, 1), latest: latestOnly, fn: fn})
}

// read runs a reader of what is stored now.
func (b *Bus) read(ctx context.Context, r *reader) (end uint64, err error) {
	r.bus, r.stream = b, streamFor(r.filter)
	info, err := b.streamInfo(ctx, r.stream)
	if err != nil {
		return 0, err
	}
	r.end = info.State.LastSeq
	if r.next > r.end || info.State.Msgs == 0 || r.next == 0 && info.State.LastTime.Before(r.since) {
		return r.end, nil
	}
	return r.end, r.run(ctx)
}

// Replay calls fn as Tail does, from start up to the last event that was stored when it began, and returns that
// one's sequence. The zero Start is the first event.
func (b *Bus) Replay(ctx context.Context, filter string, start Start, fn func(subject string, s events.Stored) error) (end uint64, err error) {
	r := &reader{filter: filter, next: start.Seq, since: start.Time, fn: fn}
	if r.since.IsZero() {
		r.next = max(r.next, 1)
	}
	return b.read(ctx, r)
}

// Start is where a Tail begins. The zero value means: what is stored from now on.
type Start struct {
	Seq  uint64    // the first stream sequence wanted
	Time time.Time // else: what was stored at that time or later
}

// Tail calls fn for every event that matches filter, in the order of the log and without a gap, until ctx
// ends (then it returns ctx's error) or fn returns an error (then that). It survives reconnects and server
// restarts. A message that is no event is logged and passed over.
func (b *Bus) Tail(ctx context.Context, filter string, start Start, fn func(subject string, s events.Stored) error) error {
	r := reader{bus: b, stream: streamFor(filter), filter: filter, next: start.Seq, since: start.Time, fn: fn}
	if start.Seq == 0 && start.Time.IsZero() {
		info, err := b.streamInfo(ctx, r.stream)
		if err != nil {
			return err
		}
		r.next = info.State.LastSeq + 1
	}
	return r.run(ctx)
}

// TailProgress is Tail for progress, from now on. Only the newest progress of a backup or restore is kept, so what
// was overwritten during a reconnect is not seen.
func (b *Bus) TailProgress(ctx context.Context, filter string, fn func(subject string, s events.Stored) error) error {
	return b.Tail(ctx, filter, Start{}, fn)
}

const (
	readAhead      = 1024
	readHeartbeat  = 2 * time.Second
	readStall      = 2 * time.Second // a reading that has an end and gets nothing for so long begins anew, at first
	mostStall      = 30 * time.Second
	crawl          = 2 * 2            // moves in readStall: so slowly comes the rest of the latest events when one of them was purged
	readerLifetime = 30 * time.Second // an ephemeral consumer that nobody pulls from goes away
	retryPause     = 200 * time.Millisecond
)

// reader reads part of a stream through ephemeral consumers: one after the other, each from where the last
// one stopped, whenever something may have been lost on the way.
type reader struct {
	bus            *Bus
	stream, filter string
	next           uint64    // the first stream sequence still wanted; 0: by time
	since          time.Time // if next is 0
	latest         bool
	end            uint64 // the last sequence wanted; 0: no end
	fn             func(subject string, s events.Stored) error
	raw            func(subject string, seq uint64, data []byte) error // instead of fn, for what is no event
	unreadable     func(subject string, seq uint64)                    // told of what is no event; nil: it is logged
	stall          time.Duration                                       // how long to wait for a message; longer after each time in vain
}

// errBroken ends one consumer; the reader makes another.
var errBroken = errors.New("reading was interrupted")

func (r *reader) run(ctx context.Context) error {
	for {
		err := r.once(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case r.bus.nc.IsClosed():
			return fmt.Errorf("read %s: %w: connection is closed", r.stream, ErrUnavailable)
		case !errors.Is(err, errBroken) && !unreachable(err):
			return err
		}
		if !pause(ctx, retryPause) {
			return ctx.Err()
		}
	}
}

// once reads through one consumer: nil when the end is reached, errBroken to go on with another.
func (r *reader) once(ctx context.Context) error {
	if r.end > 0 && r.next > r.end {
		return nil
	}
	cut := r.bus.cuts.watch() // before the consumer exists, or a cut right after it would go unnoticed
	// A question that a cut swallowed is never answered: without a limit of its own it would wait as long as ctx.
	ask, answered := context.WithTimeout(ctx, answerWait)
	cons, err := r.bus.js.CreateConsumer(ask, r.stream, r.config())
	answered()
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", r.filter, r.stream, err)
	}
	name := cons.CachedInfo().Name
	defer r.remove(ctx, name)
	if r.end > 0 && cons.CachedInfo().NumPending == 0 {
		return nil
	}
	iter, err := cons.Messages(jetstream.PullMaxMessages(readAhead), jetstream.PullHeartbeat(readHeartbeat))
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", r.filter, r.stream, err)
	}
	defer iter.Stop()
	return r.consume(ctx, iter, cut, cons.CachedInfo().NumPending)
}

// consume takes what one consumer gives. Of one that gives the latest of each subject, waiting is how many there were at
// first: what the server says of them later is too little while events are purged (seen with nats-server 2.15.2).
func (r *reader) consume(ctx context.Context, iter jetstream.MessagesContext, cut <-chan struct{}, waiting uint64) error {
	whole, cancel := context.WithCancel(ctx)
	defer cancel()
	var moves atomic.Uint64 // one when a message came, another when it was taken
	stall := max(r.stall, readStall)
	r.stall = min(2*stall, mostStall) // unless something comes: a server may need longer for the first
	go func() {
		defer cancel()
		r.watch(whole, cut, &moves, stall)
	}()
	for n := uint64(1); ; n++ {
		m, err := iter.Next(jetstream.NextContext(whole))
		if err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		moves.Add(1)
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Consumer != n {
			return errBroken
		}
		r.stall = readStall
		if done, err := r.take(m, meta); done || err != nil {
			return err
		}
		if r.latest && r.end > 0 && n >= waiting {
			return nil
		}
		moves.Add(1)
	}
}

// watch returns when the reading has to begin anew: after a cut, and where one that has an end waits in vain. The last
// of what it waits for may have been purged (events.md 4.4), of which nobody tells it; another consumer knows.
func (r *reader) watch(ctx context.Context, cut <-chan struct{}, moves *atomic.Uint64, stall time.Duration) {
	look := time.NewTicker(stall)
	defer look.Stop()
	for before := uint64(1); ; {
		select {
		case <-cut:
			return
		case <-ctx.Done():
			return
		case <-look.C:
			now := moves.Load()
			still := now == before || r.latest && now-before <= crawl
			if waiting := now%2 == 0; r.end > 0 && waiting && still {
				return
			}
			before = now
		}
	}
}

// take hands one message on; done when it was the last one wanted.
func (r *reader) take(m jetstream.Msg, meta *jetstream.MsgMetadata) (done bool, err error) {
	seq := meta.Sequence.Stream
	// Of those that are the latest, one that came after the end may stand for one before it.
	if r.end > 0 && seq > r.end && !r.latest {
		return true, nil
	}
	if seq >= r.next && r.raw != nil {
		if err := r.raw(m.Subject(), seq, m.Data()); err != nil {
			return true, err
		}
		r.next = seq + 1
	} else if seq >= r.next {
		ev, err := events.Parse(m.Headers(), m.Data())
		if err != nil && r.unreadable != nil {
			r.unreadable(m.Subject(), seq)
		} else if err != nil {
			r.bus.log.Warn("unreadable message passed over", "stream", r.stream, "stream_seq", seq, "error", err)
		} else if err := r.fn(m.Subject(), events.Stored{Event: ev, Seq: seq, Kept: meta.Timestamp}); err != nil {
			return true, err
		}
		r.next = seq + 1
	}
	return r.end > 0 && !r.latest && (seq == r.end || meta.NumPending == 0), nil
}

func (r *reader) config() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		FilterSubject: r.filter, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: readerLifetime,
	}
	switch {
	case r.latest:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	case r.next > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.next
	default:
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.since
	}
	return c
}

// remove spares the server an idle consumer; if it fails, the inactivity threshold does the same later.
func (r *reader) remove(ctx context.Context, name string) {
	if !r.bus.nc.IsConnected() {
		return
	}
	// The reader's context has often ended by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.bus.js.DeleteConsumer(ctx, r.stream, name)
}
