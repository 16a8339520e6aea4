package intake

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// BackupByGaussDB is one backup by the id that GaussDB shows, also a deleted one.
func (i *Intake) BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error) {
	b, err := i.view.BackupByGaussDB(ctx, project, id)
	return b, missing("read the backup", err, BackupNotFound, "there is no backup %s in project %s", events.Clip(id, 100), project)
}

// InstanceByGaussDB is one instance by the id that GaussDB shows.
func (i *Intake) InstanceByGaussDB(ctx context.Context, project, id string) (events.Instance, error) {
	name, err := i.InstanceName(ctx, project, id)
	if err != nil {
		return events.Instance{}, err
	}
	return i.Instance(ctx, project, name)
}

// InstanceName is the name of the instance that GaussDB shows under an id, also of one that was deregistered.
func (i *Intake) InstanceName(ctx context.Context, project, id string) (string, error) {
	name, err := i.view.InstanceNameByGaussDB(ctx, project, id)
	return name, missing("read the instance", err, InstanceNotFound, "there is no instance %s in project %s: apply it first", events.Clip(id, 100), project)
}

// Listed is a page of a numbered list, newest first, from the one with that offset on, and how many there are.
func (i *Intake) Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error) {
	list, total, err := i.view.Listed(ctx, project, l, offset, limit)
	if errors.Is(err, lifecycle.ErrTooMany) {
		return nil, 0, refuse(Invalid, SchemaViolation, "too many backups have this name: ask for a shorter time, or for the instance alone")
	}
	return list, total, fault("list backups", err)
}

// Active are the backups that occupy an instance, waiting deletions too.
func (i *Intake) Active(ctx context.Context, project, instance string) ([]events.Backup, error) {
	list, _, err := i.view.Active(ctx, project, instance)
	return list, fault("read what the instance is busy with", err)
}

// Restorable are the moments of an instance whose data can be put back, the oldest first: at most limit, the newest of
// those between from and to. Zero is no bound.
func (i *Intake) Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error) {
	list, err := i.view.Restorable(ctx, project, instance, from, to, limit)
	return list, fault("look for what can be restored", err)
}
