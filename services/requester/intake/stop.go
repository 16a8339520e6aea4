package intake

import (
	"context"
	"errors"
	"slices"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Change asks for something to be done about a backup that is there.
type Change struct {
	Caller
	Project  string
	BackupID string
	Reason   string // cancel: at most 256 characters
	Cause    string // of a deletion: RETENTION for a policy's; empty: USER

	// WholeInstance: refuse while the instance is busy with anything (cloudsql.md PD-5).
	WholeInstance bool

	// Resource: a deletion was asked for as Cloud SQL's Backup, not as a backup run; its operation shows it.
	Resource bool

	// Insist: the caller is told that the backup is gone, so a deletion that fails is tried again until it is.
	Insist bool

	// Newest, if there is one, is the backup that a policy leaves as the newest good one of the same instance: if the log
	// has it otherwise by now, the deletion is refused as NOT_DELETABLE.
	Newest string

	// Still, if there is one, is asked with the backup as it stands in the log, before a deletion is appended: false
	// refuses it as NOT_DELETABLE. It may be called more than once.
	Still func(events.Backup) bool
}

// Cancel appends `cancel_requested`; a backup that nobody works on is `cancelled` at once, any other by
// its executor. What has ended or is already being cancelled is NOT_CANCELLABLE.
func (i *Intake) Cancel(ctx context.Context, c Change) (Receipt, error) {
	if err := text("reason", c.Reason, 256); err != nil {
		return Receipt{}, err
	}
	return i.change(ctx, c, change{
		step: events.CancelRequested, illegal: NotCancellable,
		move: func(_ context.Context, b events.Backup, rq string, _ events.Prior) (events.Backup, error) {
			return lifecycle.AskCancel(b, events.Cancel{RequestTime: events.At(i.now()), RequestID: rq, RequestedBy: c.Name, Reason: c.Reason}), nil
		},
		finish: i.finishCancel,
	})
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
			return lifecycle.Advance(lifecycle.Stop(b, i.now(), nil, false), events.Cancelled)
		},
	})
	if err != nil {
		return asked, b, err
	}
	b, err = events.Decode[events.Backup](done.Event)
	return done, b, err
}

// errMoved carries out of Decide that the number of the event was taken from an older state.
var errMoved = errors.New("the backup moved on")

// Delete appends `deletion_requested`. What is still being made, or already going, is NOT_DELETABLE, and
// so is a backup that a restore or a copy reads; one that is held is HELD.
func (i *Intake) Delete(ctx context.Context, c Change) (Receipt, error) {
	for range maxRounds {
		r, err := i.deleteOnce(ctx, c)
		if !errors.Is(err, errMoved) {
			return r, err
		}
	}
	return Receipt{}, refuse(Unavailable, BusUnavailable, "others keep changing backup %s: look at it, then ask again", c.BackupID)
}

func (i *Intake) deleteOnce(ctx context.Context, c Change) (Receipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, err
	}
	if err := i.unread(ctx, b, 0); err != nil { // what the view shows needs no append to be refused
		return Receipt{}, fault("look for readers", err)
	}
	n := lifecycle.NextDeletion(b)
	// A restore, or a copy within the instance, that is asked for at the same time must see the deletion, or it the
	// reader; so must a creation where the whole instance is locked.
	ch := change{step: events.DeletionRequested, n: n, illegal: NotDeletable, scope: events.ScopeInstance}
	whole := c.WholeInstance || b.Provider == "cloudsql"
	ch.move = func(ctx context.Context, b events.Backup, rq string, p events.Prior) (events.Backup, error) {
		if lifecycle.NextDeletion(b) != n {
			return b, errMoved
		}
		if c.Still != nil && !c.Still(b) {
			return b, refuse(Conflict, NotDeletable, "backup %s is to be kept: look at it, then ask again", b.BackupID)
		}
		if err := i.stays(ctx, b, c.Newest); err != nil {
			return b, err
		}
		if b.Held {
			return b, refuse(Conflict, Held, "backup %s is held: release it, then ask again", b.BackupID)
		}
		if err := i.unread(ctx, b, p.ScopeSeq); err != nil {
			return b, err
		}
		if whole {
			state, err := i.instanceState(ctx, b.Aggregate(), p.ScopeSeq)
			if err != nil {
				return b, err
			}
			if err := state.busy(true); err != nil {
				return b, err
			}
		}
		return lifecycle.AskDeletion(b, events.Deletion{Cause: cause(c), RequestTime: events.At(i.now()), RequestID: rq, RequestedBy: c.Name, Resource: c.Resource, Insist: c.Insist}), nil
	}
	return i.change(ctx, c, ch)
}

// stays refuses if the backup that is to stay instead of b does not.
func (i *Intake) stays(ctx context.Context, b events.Backup, newest string) error {
	if newest == "" {
		return nil
	}
	a := b.Aggregate()
	a.ID = newest
	last, found, err := i.last(ctx, a)
	if err != nil {
		return fault("read the backup that is to stay", err)
	}
	var other events.Backup
	if found {
		if other, err = events.Decode[events.Backup](last.Event); err != nil {
			return fault("read the backup that is to stay", err)
		}
	}
	if !lifecycle.Sound(other) {
		return refuse(Conflict, NotDeletable, "backup %s was to stay as the newest, and goes: look what there is, then ask again", newest)
	}
	return nil
}

func cause(c Change) string {
	if c.Cause == "" {
		return "USER"
	}
	return c.Cause
}

// change is one step that is asked for.
type change struct {
	step    events.Step
	n       int // of the event's id
	scope   events.Scope
	illegal Reason
	move    func(ctx context.Context, b events.Backup, requestID string, p events.Prior) (events.Backup, error)
	finish  func(context.Context, events.Appended, events.Backup) (events.Appended, events.Backup, error)
}

// change appends one step to a backup that is there. A repeat of a request that has been answered gets the
// same answer, with the backup as it is now.
func (i *Intake) change(ctx context.Context, c Change, ch change) (Receipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return Receipt{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	done, err := i.insist(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: ch.step, Scope: ch.scope, At: i.now(),
		EventID: events.EventID(b.BackupID, events.Backups, ch.step, ch.n),
		Cause:   c.cause(b.RequestID),
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			b, err := decodePrior(p)
			if err != nil {
				return nil, err
			}
			if asked(b, ch.step, rq) {
				return nil, errKnown{b}
			}
			moved, err := ch.move(ctx, b, rq, p)
			if err != nil {
				return nil, err
			}
			next, err := lifecycle.Advance(moved, ch.step)
			if err != nil {
				return nil, stateRefusal(b, ch.illegal, err)
			}
			return next, nil
		},
	})
	var known errKnown
	if errors.As(err, &known) {
		return Receipt{RequestID: rq, Backup: known.Backup, Repeat: true}, nil
	}
	if errors.Is(err, errMoved) {
		return Receipt{}, err
	}
	if err != nil {
		return Receipt{}, fault("append "+string(ch.step), err)
	}
	stored, err := events.Decode[events.Backup](done.Event)
	if err != nil {
		return Receipt{}, fault("read back "+string(ch.step), err)
	}
	if done.Repeat && !asked(stored, ch.step, rq) {
		return Receipt{}, stateRefusal(stored, ch.illegal, lifecycle.ErrIllegal)
	}
	if ch.finish != nil {
		if done, stored, err = ch.finish(ctx, done, stored); err != nil {
			return Receipt{}, fault("finish "+string(ch.step), err)
		}
	}
	i.visible(ctx, c.Project, done.Seq)
	return Receipt{RequestID: rq, Backup: stored, Repeat: done.Repeat}, nil
}

// asked tells whether the cancel, check or deletion in a record is the one of this request.
func asked(b events.Backup, step events.Step, rq string) bool {
	switch step {
	case events.CancelRequested:
		return b.Cancel != nil && b.Cancel.RequestID == rq
	case events.VerificationRequested:
		return b.Check != nil && b.Check.RequestID == rq
	case events.Updated:
		return b.Update != nil && b.Update.RequestID == rq ||
			slices.ContainsFunc(b.EarlierUpdates, func(u events.Update) bool { return u.RequestID == rq })
	}
	return b.Deletion != nil && b.Deletion.RequestID == rq
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
