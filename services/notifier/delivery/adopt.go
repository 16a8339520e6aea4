package delivery

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
)

// adopt makes i the record that is stored of it although its writer here did not know: another notifier wrote it after
// this one had read the log, or the answer was lost. ours means that an attempt of i, made or on its way, goes beyond what
// is stored: then only the place of that is taken over, and the next write of i goes over it.
func (e *Engine) adopt(ctx context.Context, i *item) (ours bool, err error) {
	e.mu.Lock()
	known := i.Record
	e.mu.Unlock()
	r, err := e.Log.Get(ctx, &known)
	if errors.Is(err, events.ErrUnreadable) { // the log has reported it
		known.State, known.Reason = Suppressed, ""
		r, err = &known, nil
	}
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch more := len(i.Attempts) - len(r.Attempts); {
	case r.State.Open() && (more > 0 || more == 0 && i.running):
		e.recorded(i, r.Seq)
		return true, nil
	case i.running && i.writing != nil: // what is in flight meets it with its outcome only
		return false, nil
	}
	ending, reason := e.ending[i.DeliveryID] == i, i.Reason
	i.Record = *r
	e.recorded(i, r.Seq)
	switch {
	case ending && i.State.Open():
		e.suppress([]*item{i}, reason)
	case ending:
		delete(e.ending, i.DeliveryID)
	}
	i.due = i.NextAttemptTime.Time
	if l := e.lanes[i.SubscriptionID]; l != nil && l.open[i.DeliveryID] == i {
		l.plain.moved(i)
		l.replays.moved(i)
		e.settle(l)
	}
	return false, nil
}
