package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
)

const (
	together = 256 // records are written at once at most
	writers  = 2   // at once, so that one encodes while the other waits
)

// recorder writes records together: those that come while all writers are busy go with the next write. So there is
// one round trip for many deliveries, and none of them has ended before its record is stored. Safe for
// concurrent use.
type recorder struct {
	log Log

	mu      sync.Mutex
	waiting []write
	writing int // writers
}

type write struct {
	*Record
	stored chan error
}

// put returns when r is stored or refused, with what Log.Put says of it.
func (r *recorder) put(ctx context.Context, rec *Record) error {
	w := write{rec, make(chan error, 1)}
	r.mu.Lock()
	r.waiting = append(r.waiting, w)
	if r.writing < writers {
		r.writing++
		go r.write(context.WithoutCancel(ctx)) // it ends when nobody waits
	}
	r.mu.Unlock()
	return <-w.stored
}

// write writes until nobody waits.
func (r *recorder) write(ctx context.Context) {
	for {
		r.mu.Lock()
		n := min(len(r.waiting), together)
		batch := r.waiting[:n:n]
		r.waiting = r.waiting[n:]
		if n == 0 {
			r.writing--
		}
		r.mu.Unlock()
		if n == 0 {
			return
		}
		records := make([]*Record, n)
		for i, w := range batch {
			records[i] = w.Record
		}
		one, cancel := context.WithTimeout(ctx, storeWait)
		for i, err := range r.log.Put(one, records) {
			batch[i].stored <- err
		}
		cancel()
	}
}

// storeWait bounds the writes of an attempt that ended while the notifier stops.
const storeWait = 10 * time.Second

// keep repeats a write until it holds, as long as the process may. The attempt was made: a stop must not make
// its outcome unknown at once, which would mean another request. write has to end by itself.
func (e *Engine) keep(ctx context.Context, write func(ctx context.Context) error) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := write(context.WithoutCancel(ctx))
		if err == nil {
			return true
		}
		e.Logger.WarnContext(ctx, "record of a delivery not stored", "error", events.Redact(err.Error()))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// bounded is a write that does not wait for longer than storeWait.
func bounded(write func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, storeWait)
		defer cancel()
		return write(ctx)
	}
}

// store writes the record of an attempt; false means that the process stops. What another notifier has stored meanwhile
// is taken over, unless this goes beyond it.
func (e *Engine) store(ctx context.Context, i *item) bool {
	return e.keep(ctx, func(ctx context.Context) error {
		for {
			r := i.Record // others look at the item's place meanwhile
			err := e.recorder.put(ctx, &r)
			if err == nil {
				e.mu.Lock()
				e.recorded(i, r.Seq)
				e.mu.Unlock()
			}
			if !errors.Is(err, events.ErrContended) {
				return err
			}
			e.Logger.WarnContext(ctx, "record of a delivery was written by another notifier", "delivery_id", i.DeliveryID)
			if !e.Held() { // that is the one who leads: what it has is not ours to change
				return errNotHeld
			}
			var ours bool
			err = bounded(func(ctx context.Context) (err error) {
				ours, err = e.adopt(ctx, i)
				return err
			})(ctx)
			if err != nil || !ours {
				return err
			}
		}
	})
}
