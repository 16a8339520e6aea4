package intake

import (
	"context"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// unread refuses the deletion of a backup that a restore or a copy reads at a stream sequence: as the view shows it,
// and what it has not applied yet of the backup's instance, under which its restores lie too. A copy into another instance
// counts as soon as the view shows it: one that is asked for at the same moment fails at its executor.
func (i *Intake) unread(ctx context.Context, b events.Backup, seq uint64) error {
	pos, err := i.view.Reached(ctx, b.Project)
	if err != nil {
		pos = 0 // then the log has it all
	}
	restores, copies := map[string]events.Restore{}, map[string]events.Backup{}
	open, err := i.view.Restoring(ctx, b.Project, b.BackupID)
	if err != nil {
		return err
	}
	for _, r := range open {
		restores[r.RestoreID] = r
	}
	made, err := i.view.CopyingFrom(ctx, b.Project, b.Instance)
	if err != nil {
		return err
	}
	for _, c := range made {
		copies[c.BackupID] = c
	}
	if err := i.readersSince(ctx, b, pos, seq, restores, copies); err != nil {
		return err
	}
	for id, r := range restores {
		if lifecycle.RestorePhaseOf(r) != lifecycle.Ended {
			return refuse(Conflict, NotDeletable, "restore %s reads this backup: wait for it, then ask again", id)
		}
	}
	for id, c := range copies {
		if c.SourceBackupID == b.BackupID && lifecycle.InTheMaking(c) {
			return refuse(Conflict, NotDeletable, "backup %s is being copied from this one: wait for it, then ask again", id)
		}
	}
	return nil
}

// readersSince adds what the log has of the instance between the view's position and a sequence.
func (i *Intake) readersSince(ctx context.Context, b events.Backup, pos, seq uint64, restores map[string]events.Restore, copies map[string]events.Backup) error {
	if pos >= seq {
		return nil
	}
	scope, err := b.Aggregate().InstanceScope()
	if err != nil {
		return err
	}
	_, err = i.log.Scan(ctx, scope, pos+1, false, func(_ string, ev events.Stored) error {
		switch ev.Entity() {
		case events.Restores:
			if r, err := events.Decode[events.Restore](ev.Event); err == nil && r.BackupID == b.BackupID {
				restores[r.RestoreID] = r
			}
		case events.Backups:
			if c, err := events.Decode[events.Backup](ev.Event); err == nil && c.SourceBackupID == b.BackupID {
				copies[c.BackupID] = c
			}
		}
		return nil // what cannot be read the tracker puts among the dead letters
	})
	return err
}
