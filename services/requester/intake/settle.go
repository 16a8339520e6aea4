package intake

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// lookAgain is how often a view that cannot tell of a change is asked.
const lookAgain = 250 * time.Millisecond

// Settled returns a backup as soon as it can be read that the work on it has ended, or as it stands when ctx ends.
func (i *Intake) Settled(ctx context.Context, project, id string) (b events.Backup, err error) {
	err = i.until(ctx, project, func(ctx context.Context) (bool, error) {
		b, err = i.Backup(ctx, project, id)
		switch lifecycle.PhaseOf(b) {
		case lifecycle.Waiting, lifecycle.Working, lifecycle.Stopping:
			return err != nil, err
		}
		return true, err
	})
	return b, err
}

// Removed returns a backup as soon as it can be read that no deletion of it is under way, or as it stands when ctx ends.
func (i *Intake) Removed(ctx context.Context, project, id string) (b events.Backup, err error) {
	err = i.until(ctx, project, func(ctx context.Context) (bool, error) {
		b, err = i.Backup(ctx, project, id)
		return err != nil || lifecycle.PhaseOf(b) != lifecycle.Deleting, err
	})
	return b, err
}

// SettledRestore is Settled for a restore.
func (i *Intake) SettledRestore(ctx context.Context, project, id string) (r events.Restore, err error) {
	err = i.until(ctx, project, func(ctx context.Context) (bool, error) {
		r, err = i.RestoreByID(ctx, project, id)
		return err != nil || lifecycle.RestorePhaseOf(r) == lifecycle.Ended, err
	})
	return r, err
}

// until looks, and looks again when the view has moved, until there is nothing to wait for or ctx ends; then it looks
// once more, as a view that cannot tell of a change may have it. What is read is read to the end: a look that ctx cuts
// short would leave the caller with nothing.
func (i *Intake) until(ctx context.Context, project string, look func(context.Context) (bool, error)) error {
	for {
		last := ctx.Err() != nil
		at, perr := i.view.Reached(ctx, project)
		if over, err := look(context.WithoutCancel(ctx)); over || last {
			return err
		}
		if perr == nil {
			perr = i.view.Moved(ctx, project, at)
		}
		if perr == nil || ctx.Err() != nil {
			continue
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
