package intake

import (
	"context"
	"errors"
	"slices"
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

// Occupation is what a new backup of an instance would have to wait for (events.md 3.2).
type Occupation int

// What an instance may be occupied by.
const (
	Free Occupation = iota
	BackingUp
	Restoring // into it
	Deleting  // one of its backups
)

// Occupation of an instance, as the view shows it. Restores and deletions occupy those whose provider locks the whole
// instance.
func (i *Intake) Occupation(ctx context.Context, in events.Instance) (Occupation, error) {
	active, err := i.Active(ctx, in.Project, in.Instance)
	if err != nil {
		return Free, err
	}
	if slices.ContainsFunc(active, func(b events.Backup) bool { // a copy of a backup leaves the databases alone
		return lifecycle.InTheMaking(b) && b.SourceBackupID == ""
	}) {
		return BackingUp, nil
	}
	if in.Provider != "cloudsql" {
		return Free, nil
	}
	restores, err := i.view.RestoringInto(ctx, in.Project, in.Instance)
	switch {
	case err != nil:
		return Free, fault("look for restores", err)
	case len(restores) > 0:
		return Restoring, nil
	case len(active) > 0:
		return Deleting, nil
	}
	return Free, nil
}

// Restorable are the moments of an instance whose data can be put back, the oldest first: at most limit, the newest of
// those between from and to. Zero is no bound.
func (i *Intake) Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error) {
	list, err := i.view.Restorable(ctx, project, instance, from, to, limit)
	return list, fault("look for what can be restored", err)
}
