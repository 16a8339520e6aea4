package intake

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
)

// Deregister takes an instance out.
type Deregister struct {
	Caller
	Project  string
	Instance string
}

// Deregister appends `instance.deregistered`. The instance's backups stay; nothing more is taken of it. While
// something works on the instance, or is about to, it is PENDING_BACKUP_EXISTS.
func (i *Intake) Deregister(ctx context.Context, c Deregister) (events.Instance, error) {
	inst, err := i.Instance(ctx, c.Project, c.Instance)
	if err != nil {
		return inst, err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return inst, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	for range maxRounds {
		done, err := i.deregisterOnce(ctx, c, inst.Aggregate(), rq)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return inst, fault("take out the instance", err)
		}
		i.visible(ctx, c.Project, done.Seq)
		inst, err = events.Decode[events.Instance](done.Event)
		return inst, fault("read back the instance", err)
	}
	return inst, refuse(Unavailable, BusUnavailable, "others keep changing instance %s: look at it, then ask again", inst.Instance)
}

func (i *Intake) deregisterOnce(ctx context.Context, c Deregister, a events.Aggregate, rq string) (events.Stored, error) {
	inst, err := i.standing(ctx, a)
	if err != nil {
		return events.Stored{}, err
	}
	n := inst.Generation + 1
	id := events.EventID(a.ID, events.Instances, events.Deregistered, n)
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: a, Step: events.Deregistered, At: i.now(), EventID: id, Cause: c.cause(rq),
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			if err := unmoved(p, n); err != nil {
				return nil, err
			}
			state, err := i.stateNow(ctx, a)
			if err != nil {
				return nil, err
			}
			next := inst
			next.Generation, next.RequestedBy, next.ChangedFields = n, c.Name, nil
			return next, state.busy(true)
		},
	})
	if errors.Is(err, errMoved) {
		ours, found, lookErr := i.made(ctx, a, id, rq)
		if lookErr != nil {
			return ours, lookErr
		}
		if found {
			return ours, nil
		}
	}
	if err == nil && done.Repeat && done.CorrelationID != rq {
		return done.Stored, errMoved
	}
	return done.Stored, err
}
