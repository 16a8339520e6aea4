package intake

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Restore asks for a copy to be put into a registered instance of the same provider.
type Restore struct {
	Caller
	Project  string
	BackupID string
	Target   events.Target
}

// RestoreReceipt says what an accepted restore made.
type RestoreReceipt struct {
	RequestID string
	Restore   events.Restore
	Repeat    bool
}

type errKnownRestore struct{ events.Restore }

func (errKnownRestore) Error() string { return "already there" }

// Restore appends `restore.requested`. A backup without a good copy is NOT_RESTORABLE.
func (i *Intake) Restore(ctx context.Context, c Restore) (RestoreReceipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return RestoreReceipt{}, err
	}
	target, err := i.Instance(ctx, c.Project, c.Target.Instance)
	if err != nil {
		return RestoreReceipt{}, err
	}
	if target.Provider != b.Provider {
		return RestoreReceipt{}, refuse(Conflict, NotRestorable, "backup %s is of provider %s, instance %s of %s: restore into an instance of the same provider",
			b.BackupID, b.Provider, target.Instance, target.Provider)
	}
	if c.Target.Database != "" {
		if c.Target.Database, err = name("target.database", c.Target.Database); err != nil {
			return RestoreReceipt{}, err
		}
	}
	r, err := i.draftRestore(c, b)
	if err != nil {
		return RestoreReceipt{}, err
	}
	done, err := i.insist(ctx, events.Draft{
		Aggregate: r.Aggregate(), Step: events.Requested, Scope: events.ScopeInstance, At: i.now(), // a deletion must see it, or it the deletion
		EventID: events.EventID(r.RestoreID, events.Restores, events.Requested, 0),
		Cause:   c.cause(r.RequestID),
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			last := p.Last
			if last == nil && c.Key != "" {
				other, found, err := i.elsewhere(ctx, r.Aggregate())
				if err != nil {
					return nil, err
				}
				if found {
					last = &other
				}
			}
			if last != nil {
				known, err := events.Decode[events.Restore](last.Event)
				if err != nil {
					return nil, err
				}
				return nil, errKnownRestore{known}
			}
			if err := i.restorable(ctx, b); err != nil {
				return nil, err
			}
			return lifecycle.AdvanceRestore(r, events.Requested)
		},
	})
	var known errKnownRestore
	if errors.As(err, &known) {
		return i.repeatRestore(known.Restore, c)
	}
	if err != nil {
		return RestoreReceipt{}, fault("append the restore", err)
	}
	i.visible(ctx, c.Project, done.Seq)
	stored, err := events.Decode[events.Restore](done.Event)
	if err != nil {
		return RestoreReceipt{}, fault("read back the restore", err)
	}
	if done.Repeat {
		return i.repeatRestore(stored, c)
	}
	return RestoreReceipt{RequestID: r.RequestID, Restore: stored}, nil
}

func (i *Intake) repeatRestore(r events.Restore, c Restore) (RestoreReceipt, error) {
	if r.RequestDigest != c.Digest {
		e := refuse(Conflict, IdempotencyConflict, "this key was used for another request: send another key, or the first request unchanged")
		e.Existing = r.BackupID
		return RestoreReceipt{}, e
	}
	return RestoreReceipt{RequestID: r.RequestID, Restore: r, Repeat: true}, nil
}

// restorable asks the log, not the view: the copy may have been asked to go a moment ago.
func (i *Intake) restorable(ctx context.Context, b events.Backup) error {
	last, found, err := i.last(ctx, b.Aggregate())
	if err != nil {
		return err
	}
	if found {
		if b, err = events.Decode[events.Backup](last.Event); err != nil {
			return err
		}
	}
	if !lifecycle.Good(b) {
		return stateRefusal(b, NotRestorable, lifecycle.ErrIllegal)
	}
	return nil
}

func (i *Intake) draftRestore(c Restore, b events.Backup) (events.Restore, error) {
	o := i.origin(c.Caller)
	id, err := events.RestoreID(c.Project, o)
	if err != nil {
		return events.Restore{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	rq, err := events.RequestID(c.Project, o)
	if err != nil {
		return events.Restore{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	return events.Restore{
		RestoreID: id, BackupID: b.BackupID, Project: c.Project, Provider: b.Provider, Instance: b.Instance,
		IDs:  events.RestoreIDs{Operation: events.OperationID(events.EventID(id, events.Restores, events.Requested, 0))},
		Door: c.Door, RequestedBy: c.Name, RequestID: rq, RequestDigest: c.Digest,
		EnqueuedTime: events.At(i.now()), Target: c.Target,
	}, nil
}
