package intake

import (
	"context"

	"github.com/backupbus/backupbus/events"
)

// The events of an instance or a schedule are numbered (events.md 1.4), so the number has to be known before the
// append, and a round is lost if somebody else's event took it. Whose an event is, its correlation id tells.

// nextStep is the step that follows the last event of what can be made, removed and changed, and its number.
func nextStep(last events.Stored, found bool, made, removed, changed events.Step) (events.Step, int, error) {
	if !found {
		return made, 1, nil
	}
	n, err := last.SequenceNumber()
	if err != nil {
		return "", 0, err
	}
	if last.Step() == removed {
		return made, int(n) + 1, nil
	}
	return changed, int(n) + 1, nil
}

// unmoved is errMoved if n is no longer the number of the next event.
func unmoved(p events.Prior, n int) error {
	var at uint64
	if p.Last != nil {
		var err error
		if at, err = p.Last.SequenceNumber(); err != nil {
			return err
		}
	}
	if at+1 != uint64(n) {
		return errMoved
	}
	return nil
}

// made looks for an event of a request that others have written over: the answer to its append was lost.
func (i *Intake) made(ctx context.Context, a events.Aggregate, eventID, rq string) (ev events.Stored, found bool, err error) {
	scope, err := a.Scope()
	if err != nil {
		return ev, false, err
	}
	_, err = i.log.Scan(ctx, scope, 1, false, func(_ string, s events.Stored) error {
		if s.ID == eventID && s.CorrelationID == rq {
			ev, found = s, true
		}
		return nil
	})
	return ev, found, err
}

// standing is an instance as the log has it.
func (i *Intake) standing(ctx context.Context, a events.Aggregate) (events.Instance, error) {
	last, found, err := i.last(ctx, a)
	if err != nil {
		return events.Instance{}, err
	}
	if !found || last.Step() == events.Deregistered {
		return events.Instance{}, refuse(NotFound, InstanceNotFound, "there is no instance %s in project %s: apply it first", a.Instance, a.Project)
	}
	return events.Decode[events.Instance](last.Event)
}
