package tracker

import (
	"context"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

const (
	buryTries = 5
	buryPause = time.Second
	buryRoom  = 256             // advisories that wait while the bus does not answer
	buryLast  = 5 * time.Second // for those that wait when the service stops
)

// gravedigger copies messages among the dead letters whose handlers died without saying so, as often as their durable
// allows (events.md 4.5). Any number of replicas may hear the same advisory: one copy is stored.
type gravedigger struct {
	tracker *tracker
	heard   chan bus.Exhausted
}

// hear listens until stop is called, which waits for the copy that is being made.
func (t *tracker) hear(ctx context.Context) (stop func(), err error) {
	g := gravedigger{t, make(chan bus.Exhausted, buryRoom)}
	silence, err := t.Bus.ListenExhausted(g.note)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { g.work(ctx) })
	return func() {
		silence()
		cancel()
		working.Wait()
	}, nil
}

// note must not block: the connection's other messages would wait.
func (g gravedigger) note(e bus.Exhausted) {
	select {
	case g.heard <- e:
	default:
		g.tracker.Log.Error("exhausted message not copied: too many at once", "stream", e.Stream, "durable", e.Durable, "stream_seq", e.Seq)
	}
}

func (g gravedigger) work(ctx context.Context) {
	for {
		select {
		case e := <-g.heard:
			g.bury(ctx, e)
		case <-ctx.Done():
			g.drain(context.WithoutCancel(ctx))
			return
		}
	}
}

// drain copies what was heard before the service had to stop: the server does not tell of it again.
func (g gravedigger) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, buryLast)
	defer cancel()
	for {
		select {
		case e := <-g.heard:
			g.bury(ctx, e)
		default:
			return
		}
	}
}

// bury tries for a while: the server tells of a message only once.
func (g gravedigger) bury(ctx context.Context, e bus.Exhausted) {
	for try := 1; ; try++ {
		// The copy under way is finished although the service stops.
		once, done := context.WithTimeout(context.WithoutCancel(ctx), buryLast)
		err := g.tracker.Bus.BuryExhausted(once, e)
		done()
		if err == nil {
			return
		}
		if try == buryTries || ctx.Err() != nil {
			g.tracker.Log.ErrorContext(ctx, "exhausted message not copied", "stream", e.Stream, "durable", e.Durable, "stream_seq", e.Seq,
				"error", events.Redact(err.Error()))
			return
		}
		timer := time.NewTimer(buryPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
