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
	soon      = 100 * time.Millisecond
	mostPause = 5 * time.Second // until a first record that could not be stored is tried again

	// So many wait without a record, of all subscriptions, when one more event is matched: few enough to be sent soon.
	// On top come what that event makes, one for each subscription that wants it, and as many requests as there are Slots.
	mostWaiting = 128
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
// meanwhile some end. What cannot be stored holds up nobody else: it is tried again, after a while that grows.
func (e *Engine) storeFirst(ctx context.Context, list []*item) {
	for some := range slices.Chunk(list, together) {
		e.storeSome(ctx, some)
	}
	e.storeEnds(ctx) // of those that were suppressed meanwhile
}

func (e *Engine) storeSome(ctx context.Context, list []*item) {
	var late, there []*item
	var records []*Record
	e.mu.Lock()
	now := e.Now()
	for _, i := range list {
		if e.bare[i] && !i.claimed && e.ending[i.DeliveryID] != i && !i.tryAt.After(now) {
			i.writing = make(chan struct{})
			r := i.Record // others look at the item's place meanwhile
			late, records = append(late, i), append(records, &r)
		}
	}
	e.mu.Unlock()
	if len(late) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	var failed []error
	for n, err := range e.Log.Put(ctx, records) {
		if errors.Is(err, events.ErrContended) {
			there = append(there, late[n])
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("store %s: %w", records[n].DeliveryID, err))
		}
		e.wrote(late[n], records[n].Seq)
	}
	for _, i := range there {
		if _, err := e.adopt(ctx, i); err != nil {
			failed = append(failed, fmt.Errorf("read %s: %w", i.DeliveryID, err))
		}
		e.wrote(i, 0)
	}
	if len(failed) > 0 {
		e.Logger.WarnContext(ctx, "deliveries that wait not stored: tried again", "deliveries", len(failed),
			"error", events.Redact(failed[0].Error()))
	}
}

// wrote ends the write of a first record, which stands at seq, or is where it was if that is 0.
func (e *Engine) wrote(i *item, seq uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if seq > 0 {
		e.recorded(i, seq)
	}
	if e.bare[i] {
		i.pause = min(max(2*i.pause, soon), mostPause)
		i.tryAt = e.Now().Add(i.pause)
	}
	close(i.writing)
	i.writing = nil
}
