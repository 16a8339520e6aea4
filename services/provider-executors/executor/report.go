package executor

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// errLost means that the backup is no longer this runner's to report on.
var errLost = errors.New("the backup is somebody else's now")

// owner says whether a runner may report on a record as it stands in the log.
type owner func(events.Backup) bool

// anyone: the trigger is ours, and whoever worked before is gone.
func anyone(events.Backup) bool { return true }

// sameAttempt: the attempt is still the one that this runner claimed or took over; no other was started since.
func sameAttempt(held events.Backup) owner {
	return func(b events.Backup) bool {
		if p := lifecycle.PhaseOf(b); p != lifecycle.Working && p != lifecycle.Stopping {
			return false
		}
		return b.Attempt == held.Attempt && b.ExecutorID == held.ExecutorID
	}
}

// report appends a step of a backup's life. It outlives the end of ctx: what has happened is said, within
// the time that the log itself allows.
func (r *Runner) report(ctx context.Context, cause events.Stored, b events.Backup, step events.Step, n int, whose owner, move func(events.Backup) events.Backup) error {
	_, err := r.append(context.WithoutCancel(ctx), cause, b, step, n, func(b events.Backup) (events.Backup, error) {
		if !whose(b) {
			return b, errLost
		}
		return move(b), nil
	})
	return err
}

func (r *Runner) append(ctx context.Context, cause events.Stored, b events.Backup, step events.Step, n int, move func(events.Backup) (events.Backup, error)) (events.Appended, error) {
	return r.log.Append(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: step, At: r.now(),
		EventID: events.EventID(b.BackupID, events.Backups, step, n),
		Cause:   events.CausedBy(cause.Event),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			if p.Last == nil {
				return nil, fmt.Errorf("backup %s is not in the log", b.BackupID)
			}
			now, err := events.Decode[events.Backup](p.Last.Event)
			if err != nil {
				return nil, err
			}
			if now, err = move(now); err != nil {
				return nil, err
			}
			return lifecycle.Advance(now, step)
		},
	})
}

// lastBackup reads a backup's last event, which is the truth about it.
func (r *Runner) lastBackup(ctx context.Context, b events.Backup) (events.Stored, events.Backup, error) {
	last, err := r.last(ctx, b.Aggregate())
	if err != nil {
		return last, b, err
	}
	b, err = events.Decode[events.Backup](last.Event)
	return last, b, err
}

func (r *Runner) last(ctx context.Context, a events.Aggregate) (events.Stored, error) {
	scope, err := a.Scope()
	if err != nil {
		return events.Stored{}, err
	}
	last, found, err := r.log.Last(ctx, scope)
	if err == nil && !found {
		err = fmt.Errorf("%s %s is not in the log", a.Entity, a.ID)
	}
	return last, err
}

// instance reads how the database is reached; one that is not registered (any more) is a Failure.
func (r *Runner) instance(ctx context.Context, project, provider, name string) (events.InstanceConfig, error) {
	gone := &events.Failure{Code: events.NotFound, Category: events.ByUser,
		Message: fmt.Sprintf("instance %s is not registered with provider %s: apply it, then ask again", name, provider)}
	id, err := events.InstanceID(project, provider, name)
	if err != nil {
		return events.InstanceConfig{}, err
	}
	a := events.Aggregate{Project: project, Provider: provider, Instance: name, Entity: events.Instances, ID: id}
	scope, err := a.Scope()
	if err != nil {
		return events.InstanceConfig{}, err
	}
	last, found, err := r.log.Last(ctx, scope)
	if err != nil {
		return events.InstanceConfig{}, err
	}
	if !found || last.Step() == events.Deregistered {
		return events.InstanceConfig{}, gone
	}
	i, err := events.Decode[events.Instance](last.Event)
	return i.Config, err
}
