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
		i.State, i.Reason, i.NextAttemptTime = Suppressed, reason, events.Time{}
		e.ending[i.DeliveryID] = i
	}
}

// place gives a stored delivery to its lane, or ends it if nothing is sent there any more. The caller holds the mutex.
func (e *Engine) place(i *item) {
	switch l := e.lanes[i.SubscriptionID]; {
	case l == nil:
		e.suppress([]*item{i}, Removed)
	case l.sub.Disabled:
		e.suppress([]*item{i}, l.sub.Reason)
	default:
		e.add(l, i)
	}
}

// storeEnds stores the ends of what was suppressed.
func (e *Engine) storeEnds(ctx context.Context) {
	e.ends.Lock() // nobody else writes these records
	defer e.ends.Unlock()
	e.mu.Lock()
	var list []*Record
	for _, i := range e.ending {
		r := i.Record // others look at its place meanwhile
		list = append(list, &r)
	}
	e.mu.Unlock()
	if len(list) == 0 {
		return
	}
	var failed []error
	errs := e.Log.Put(ctx, list)
	e.mu.Lock()
	for n, r := range list {
		if errs[n] != nil && !errors.Is(errs[n], events.ErrContended) {
			failed = append(failed, errs[n])
			continue
		}
		e.newest = max(e.newest, r.Seq)
		delete(e.ending, r.DeliveryID)
	}
	e.mu.Unlock()
	if len(failed) > 0 && ctx.Err() == nil {
		e.Logger.WarnContext(ctx, "suppressed deliveries not stored: tried again", "deliveries", len(failed),
			"error", events.Redact(failed[0].Error()))
	}
}
