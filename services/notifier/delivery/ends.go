package delivery

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
)

// suppress ends deliveries that will not be sent. Until that is stored they are kept: Floor does not pass them, and
// Tend stores what storeEnds could not. The caller holds the mutex.
func (e *Engine) suppress(list []*item, reason string) {
	for _, i := range list {
		if !i.State.Open() { // as was found when its first record was written
			continue
		}
		i.State, i.Reason, i.NextAttemptTime = Suppressed, reason, events.Time{}
		e.ending[i.DeliveryID] = i
	}
}

// place gives a stored delivery to its lane, or ends it if nothing is sent there any more. The caller holds the mutex.
func (e *Engine) place(i *item) {
	l := e.lanes[i.SubscriptionID]
	if l == nil {
		e.suppress([]*item{i}, Removed)
	} else if reason, ended := l.why(); ended {
		e.suppress([]*item{i}, reason)
	} else {
		e.add(l, i)
	}
}

// storeEnds stores the ends of what was suppressed.
func (e *Engine) storeEnds(ctx context.Context) {
	e.ends.Lock() // nobody else writes these records
	defer e.ends.Unlock()
	e.mu.Lock()
	var list []*item
	var records []*Record
	for _, i := range e.ending {
		if i.writing != nil { // its first record, after which this is called again
			continue
		}
		r := i.Record // others look at its place meanwhile
		list, records = append(list, i), append(records, &r)
	}
	e.mu.Unlock()
	if len(list) == 0 {
		return
	}
	var failed []error
	for n, err := range e.Log.Put(ctx, records) {
		i, r := list[n], records[n]
		if errors.Is(err, events.ErrContended) && e.Held() {
			if _, err = e.adopt(ctx, i); err == nil {
				continue // if it is open its end is stored with the next
			}
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		e.mu.Lock()
		e.recorded(i, r.Seq)
		delete(e.ending, r.DeliveryID)
		e.mu.Unlock()
	}
	if len(failed) > 0 && ctx.Err() == nil {
		e.Logger.WarnContext(ctx, "suppressed deliveries not stored: tried again", "deliveries", len(failed),
			"error", events.Redact(failed[0].Error()))
	}
}
