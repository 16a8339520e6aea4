package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
)

// The first record of most deliveries is that of their first outcome. What has not ended soon gets a PENDING one.
const (
	soon        = 100 * time.Millisecond
	mostWaiting = 128 // without a record, of all subscriptions, besides requests that run: few enough to be sent soon
)

// waitForRoom waits until fewer than mostWaiting wait without a record. The caller holds the mutex, as it does
// afterwards.
func (e *Engine) waitForRoom(ctx context.Context) error {
	for len(e.bare)-e.bareRunning >= mostWaiting {
		e.mu.Unlock()
		nudge(e.wake)
		nudge(e.more)
		nudge(e.full)
		e.storeEnds(ctx)
		var err error
		select {
		case <-e.room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		e.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// recorded notes that i has a record. The caller holds the mutex.
func (e *Engine) recorded(i *item, seq uint64) {
	i.Seq, e.newest = seq, max(e.newest, seq)
	if e.bare[i] {
		if i.running {
			e.bareRunning--
		}
		delete(e.bare, i)
		nudge(e.room)
	}
}

// runs notes that a request is made of i, or no longer. The caller holds the mutex.
func (e *Engine) runs(i *item, running bool) {
	switch {
	case !e.bare[i] || i.running == running:
	case running:
		e.bareRunning++
		nudge(e.room)
	default:
		e.bareRunning--
	}
	i.running = running
}

// claim makes the record of i the caller's to change and to write: a first one that is under way is waited for.
func (e *Engine) claim(i *item) {
	e.mu.Lock()
	i.claimed = true
	under := i.writing
	e.mu.Unlock()
	if under != nil {
		<-under
	}
}

// storeLate gives a record to what has none soon after it was matched, until ctx ends. When there is no room for more,
// what will surely wait gets it at once.
func (e *Engine) storeLate(ctx context.Context) {
	t := time.NewTimer(soon)
	defer t.Stop()
	var list []*item
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-e.full:
			e.storeFirst(ctx, e.stuck())
		case <-e.more:
			if len(list) == 0 {
				list = e.withoutRecord()
				t.Reset(soon)
			}
		case <-t.C:
			e.storeFirst(ctx, list)
			e.storeEnds(ctx) // of those that were suppressed meanwhile
			if list = e.withoutRecord(); len(list) > 0 {
				t.Reset(soon)
			}
		}
	}
}

// stuck are those without a record that wait for a time, or behind requests that run for long.
func (e *Engine) stuck() (list []*item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	for i := range e.bare {
		l := e.lanes[i.SubscriptionID]
		if l != nil && !i.running && (l.index >= 0 || len(l.inFlight) > 0 && now.Sub(l.tookAt) >= soon) {
			list = append(list, i)
		}
	}
	return list
}

func (e *Engine) withoutRecord() []*item {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*item, 0, len(e.bare))
	for i := range e.bare {
		list = append(list, i)
	}
	return list
}

// storeFirst stores the PENDING record of those that still wait for it, running requests included. Not all at once:
// meanwhile some end.
func (e *Engine) storeFirst(ctx context.Context, list []*item) {
	for some := range slices.Chunk(list, together) {
		e.storeSome(ctx, some)
	}
}

func (e *Engine) storeSome(ctx context.Context, list []*item) {
	written := make(chan struct{})
	var late []*item
	e.mu.Lock()
	for _, i := range list {
		if e.bare[i] && !i.claimed && e.ending[i.DeliveryID] != i {
			i.writing = written
			late = append(late, i)
		}
	}
	e.mu.Unlock()
	if len(late) == 0 {
		return
	}
	rest := late
	e.keep(ctx, bounded(func(ctx context.Context) (err error) {
		rest, err = e.putFirst(ctx, rest)
		return err
	}))
	e.mu.Lock()
	for _, i := range late {
		i.writing = nil
	}
	e.mu.Unlock()
	close(written)
	e.storeEnds(ctx) // of those that were suppressed meanwhile
}

// putFirst writes those records once, and returns what is to be tried again.
func (e *Engine) putFirst(ctx context.Context, list []*item) (rest []*item, err error) {
	records := make([]*Record, len(list))
	e.mu.Lock()
	for n, i := range list {
		r := i.Record // others look at the item's place meanwhile
		records[n] = &r
	}
	e.mu.Unlock()
	errs := e.Log.Put(ctx, records)
	for n, i := range list {
		switch {
		case errs[n] == nil:
			e.mu.Lock()
			e.recorded(i, records[n].Seq)
			e.mu.Unlock()
			continue
		case errors.Is(errs[n], events.ErrContended):
			if errs[n] = e.adopt(ctx, i, false); errs[n] == nil {
				continue
			}
		}
		rest = append(rest, i)
		err = fmt.Errorf("store %s: %w", i.DeliveryID, errs[n])
	}
	return rest, err
}

// adopt makes i the record that is stored of it although its writer here did not know: another notifier wrote it after
// this one had read the log, or the answer was lost. What is in flight meets it with its outcome only.
func (e *Engine) adopt(ctx context.Context, i *item, outcome bool) error {
	r, err := e.Log.Get(ctx, &i.Record)
	if errors.Is(err, events.ErrUnreadable) { // the log has reported it
		r, err = &Record{DeliveryID: i.DeliveryID, SubscriptionID: i.SubscriptionID, State: Suppressed}, nil
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if i.running && !outcome {
		return nil
	}
	ending := e.ending[i.DeliveryID] == i
	reason := i.Reason
	i.Record = *r
	e.recorded(i, r.Seq)
	switch {
	case outcome:
		i.due = r.NextAttemptTime.Time
	case ending && i.State.Open():
		e.suppress([]*item{i}, reason)
	case ending:
		delete(e.ending, i.DeliveryID)
	}
	return nil
}
