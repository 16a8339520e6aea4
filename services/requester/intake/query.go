package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Backup is one backup by its id.
func (i *Intake) Backup(ctx context.Context, project, id string) (events.Backup, error) {
	b, err := i.view.Backup(ctx, project, id)
	return b, missing("read the backup", err, BackupNotFound, "there is no backup %s in project %s", id, project)
}

// BackupByCloudSQL is one backup by the run id that Cloud SQL shows.
func (i *Intake) BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error) {
	b, err := i.view.BackupByCloudSQL(ctx, project, instance, runID)
	return b, missing("read the backup", err, BackupNotFound, "there is no backup run %s of instance %s", runID, instance)
}

// BackupBySpanner is the backup that stands under the id that Spanner shows: being made, or there to stay.
func (i *Intake) BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error) {
	b, err := i.view.BackupBySpanner(ctx, project, instance, name)
	return b, missing("read the backup", err, BackupNotFound, "there is no backup %s of instance %s", events.Clip(name, 100), events.Clip(instance, 100))
}

// Standing lists the backups of an instance that stand, by lifecycle.CreationKey, the cursor of each.
func (i *Intake) Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error) {
	list, next, err := i.view.Standing(ctx, project, instance, cursor, limit)
	return list, next, fault("list backups", err)
}

// Creations lists the backups of an instance that were asked for since a moment, gone ones too, and the older ones that
// are being made, by lifecycle.CreationKey, the cursor of each. The name is one of Spanner's, or empty for all.
func (i *Intake) Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error) {
	list, next, err := i.view.Creations(ctx, project, instance, name, since, cursor, limit)
	return list, next, fault("list backups", err)
}

// Restorals lists the restores into a database, likewise by lifecycle.RestoreKey.
func (i *Intake) Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error) {
	list, next, err := i.view.Restorals(ctx, project, instance, database, since, cursor, limit)
	return list, next, fault("list restores", err)
}

// RestoringFrom are the restores that read a backup of an instance and have not ended.
func (i *Intake) RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error) {
	list, err := i.view.RestoringFrom(ctx, project, instance)
	return list, fault("list restores", err)
}

// CopyingFrom are the copies of an instance's backups that are being made.
func (i *Intake) CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error) {
	list, err := i.view.CopyingFrom(ctx, project, instance)
	return list, fault("list copies", err)
}

// ShortOperation is the creation or restore whose operation's id begins with 16 hex digits, hyphens left out.
func (i *Intake) ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error) {
	op, err := i.view.ShortOperation(ctx, project, digits)
	return op, missing("read the operation", err, OperationNotFound, "there is no operation %s in project %s", events.Clip(digits, 100), project)
}

// SchedulesByID are those of the ids that are there.
func (i *Intake) SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error) {
	list, err := i.view.SchedulesByID(ctx, project, ids)
	return list, fault("read the schedules", err)
}

// Backups lists those not deleted, newest first: of one instance, or of the project if it is empty.
func (i *Intake) Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error) {
	list, next, err := i.view.Backups(ctx, project, instance, cursor, limit)
	return list, next, fault("list backups", err)
}

// Progress of a running backup; ok is false if none is known.
func (i *Intake) Progress(ctx context.Context, b events.Backup) (p events.Progress, ok bool) {
	p, err := i.view.Progress(ctx, b.Project, b.BackupID)
	return p, err == nil && p.Attempt == b.Attempt
}

// RestoreProgress of a running restore; ok is false if none is known.
func (i *Intake) RestoreProgress(ctx context.Context, r events.Restore) (p events.Progress, ok bool) {
	p, err := i.view.Progress(ctx, r.Project, r.RestoreID)
	return p, err == nil
}

// Peak is the highest percentage that was told of a backup, in any of its attempts; 0 if none is known.
func (i *Intake) Peak(ctx context.Context, b events.Backup) int {
	peaks, err := i.Peaks(ctx, b.Project, []string{b.BackupID})
	if err != nil {
		return 0
	}
	return peaks[b.BackupID]
}

// Peaks are those of several backups and restores, by their ids. Only the view has them.
func (i *Intake) Peaks(ctx context.Context, project string, ids []string) (map[string]int, error) {
	peaks, err := i.view.Peaks(ctx, project, ids)
	if err != nil {
		err = fmt.Errorf("%w: %w", events.ErrUnavailable, err)
	}
	return peaks, fault("read percentages", err)
}

// RestoreByID is one restore.
func (i *Intake) RestoreByID(ctx context.Context, project, id string) (events.Restore, error) {
	r, err := i.view.Restore(ctx, project, id)
	return r, missing("read the restore", err, RestoreNotFound, "there is no restore %s in project %s", id, project)
}

// Instance is one instance by its name.
func (i *Intake) Instance(ctx context.Context, project, instance string) (events.Instance, error) {
	in, err := i.view.Instance(ctx, project, instance)
	return in, missing("read the instance", err, InstanceNotFound, "there is no instance %s in project %s: apply it first", events.Clip(instance, 100), project)
}

// Instances lists a project's instances by name.
func (i *Intake) Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error) {
	list, next, err := i.view.Instances(ctx, project, cursor, limit)
	return list, next, fault("list instances", err)
}

// Health tells how well an instance is backed up: its last good backup, and what became of the slots due since.
func (i *Intake) Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error) {
	if _, err := i.Instance(ctx, project, instance); err != nil {
		return lifecycle.Health{}, err
	}
	h, err := i.view.Health(ctx, project, instance, since)
	return h, fault("read the instance's health", err)
}

// Operation is one piece of work by its id.
func (i *Intake) Operation(ctx context.Context, project, id string) (lifecycle.Operation, error) {
	op, err := i.view.Operation(ctx, project, id)
	return op, missing("read the operation", err, OperationNotFound, "there is no operation %s in project %s", events.Clip(id, 100), project)
}

// Operations lists work, newest first: of one instance, or of the project if it is empty.
func (i *Intake) Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error) {
	list, next, err := i.view.Operations(ctx, project, instance, cursor, limit)
	return list, next, fault("list operations", err)
}

func missing(doing string, err error, r Reason, format string, a ...any) error {
	if errors.Is(err, events.ErrNotFound) {
		return refuse(NotFound, r, format, a...)
	}
	return fault(doing, err)
}
