package intake

import (
	"context"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Change asks for something to be done about a backup that is there.
type Change struct {
	Caller
	Project  string
	BackupID string
	Reason   string // cancel: at most 256 characters

	// WholeInstance: refuse while the instance is busy with anything (cloudsql.md PD-5).
	WholeInstance bool
}

// Cancel appends `cancel_requested`; a backup that nobody works on is `cancelled` at once, any other by
// its executor. What has ended or is already being cancelled is NOT_CANCELLABLE.
func (i *Intake) Cancel(ctx context.Context, c Change) (Receipt, error) {
	if err := text("reason", c.Reason, 256); err != nil {
		return Receipt{}, err
	}
	return i.change(ctx, c, events.CancelRequested, 0, NotCancellable, func(b events.Backup, rq string) (events.Backup, error) {
		return lifecycle.AskCancel(b, events.Cancel{RequestTime: events.At(i.now()), RequestID: rq, RequestedBy: c.Name, Reason: c.Reason}), nil
	}, i.finishCancel)
}

// finishCancel completes the cancel of a backup that was waiting: no executor will.
func (i *Intake) finishCancel(ctx context.Context, asked events.Appended, b events.Backup) (events.Appended, events.Backup, error) {
	waiting := events.Backup{State: b.PreviousState, MaxAttempts: b.MaxAttempts}
	if lifecycle.PhaseOf(waiting) != lifecycle.Waiting {
		return asked, b, nil
	}
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: events.Cancelled, At: i.now(),
		EventID: events.EventID(b.BackupID, events.Backups, events.Cancelled, 0),
		Cause:   events.CausedBy(asked.Event),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			b, err := decodePrior(p)
			if err != nil {
				return nil, err
			}
			return lifecycle.Advance(lifecycle.Stop(b, i.now(), false), events.Cancelled)
		},
	})
	if err != nil {
		return asked, b, err
	}
	b, err = events.Decode[events.Backup](done.Event)
	return done, b, err
}

// Delete appends `deletion_requested`. What is still being made, or already going, is NOT_DELETABLE, and
// so is a backup that a restore reads.
func (i *Intake) Delete(ctx context.Context, c Change) (Receipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, err
	}
	open, err := i.view.Restoring(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, fault("look for restores", err)
	}
	if len(open) > 0 {
		return Receipt{}, refuse(Conflict, NotDeletable, "restore %s reads this backup: wait for it, then ask again", open[0].RestoreID)
	}
	whole := c.WholeInstance || b.Provider == "cloudsql"
	return i.change(ctx, c, events.DeletionRequested, lifecycle.NextDeletion(b), NotDeletable, func(b events.Backup, rq string) (events.Backup, error) {
		if whole {
			active, _, err := i.view.Active(ctx, b.Project, b.Instance)
			if err != nil {
				return b, err
			}
			if len(active) > 0 {
				return b, pending(active[0])
			}
		}
		return lifecycle.AskDeletion(b, events.Deletion{Cause: "USER", RequestTime: events.At(i.now()), RequestID: rq, RequestedBy: c.Name}), nil
	}, nil)
}

// change appends one step to a backup that is there.
func (i *Intake) change(ctx context.Context, c Change, step events.Step, n int, illegal Reason,
	move func(b events.Backup, requestID string) (events.Backup, error),
	finish func(context.Context, events.Appended, events.Backup) (events.Appended, events.Backup, error),
) (Receipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return Receipt{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: step, At: i.now(),
		EventID: events.EventID(b.BackupID, events.Backups, step, n),
		Cause:   events.Cause{CorrelationID: b.RequestID, Trace: c.Trace},
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			b, err := decodePrior(p)
			if err != nil {
				return nil, err
			}
			moved, err := move(b, rq)
			if err != nil {
				return nil, err
			}
			next, err := lifecycle.Advance(moved, step)
			if err != nil {
				return nil, stateRefusal(b, illegal, err)
			}
			return next, nil
		},
	})
	if err != nil {
		return Receipt{}, fault("append "+string(step), err)
	}
	stored, err := events.Decode[events.Backup](done.Event)
	if err != nil {
		return Receipt{}, fault("read back "+string(step), err)
	}
	if done.Repeat && !asked(stored, rq) {
		return Receipt{}, stateRefusal(stored, illegal, lifecycle.ErrIllegal)
	}
	if finish != nil {
		if done, stored, err = finish(ctx, done, stored); err != nil {
			return Receipt{}, fault("finish "+string(step), err)
		}
	}
	i.visible(ctx, c.Project, done.Seq)
	return Receipt{RequestID: rq, Backup: stored, Repeat: done.Repeat}, nil
}

// asked tells whether the cancel or deletion in a record is the one of this request.
func asked(b events.Backup, rq string) bool {
	return b.Cancel != nil && b.Cancel.RequestID == rq || b.Deletion != nil && b.Deletion.RequestID == rq
}

// stateRefusal says in which state the backup is, which the door shows in its own words.
func stateRefusal(b events.Backup, r Reason, cause error) *Error {
	e := refuse(Conflict, r, "backup %s is %s", b.BackupID, b.State)
	e.Existing, e.cause = b.BackupID, cause
	return e
}

func decodePrior(p events.Prior) (events.Backup, error) {
	if p.Last == nil {
		return events.Backup{}, refuse(NotFound, BackupNotFound, "no such backup")
	}
	return events.Decode[events.Backup](p.Last.Event)
}
