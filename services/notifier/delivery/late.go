package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
)

// The first record of most deliveries is that of their first outcome. What has not ended soon gets a PENDING one.
const (
	soon     = 100 * time.Millisecond
	mostBare = 512 // without a record, of all subscriptions: Match waits for room
)

// waitForRoom waits until fewer than mostBare are without a record. The caller holds the mutex, as it does afterwards.
func (e *Engine) waitForRoom(ctx context.Context) error {
	for len(e.bare) >= mostBare {
		e.mu.Unlock()
		nudge(e.wake)
		nudge(e.more)
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
		delete(e.bare, i)
		nudge(e.room)
	}
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

// storeLate gives a record to what has none soon after it was matched, until ctx ends.
func (e *Engine) storeLate(ctx context.Context) {
	for {
		select {
		case <-e.more:
		case <-ctx.Done():
			return
		}
		for {
			list := e.withoutRecord()
			if len(list) == 0 {
				break
			}
			t := time.NewTimer(soon)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
			e.storeFirst(ctx, list)
		}
	}
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

// storeFirst stores the PENDING record of those that still wait for it, running requests included.
func (e *Engine) storeFirst(ctx context.Context, list []*item) {
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
