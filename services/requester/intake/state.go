package intake

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// instanceState is the state of an instance at one stream sequence: what the view shows, plus the events
// that it has not applied yet (events.md 3.2).
type instanceState struct {
	backups  map[string]events.Backup // those that the view shows as active, and those that moved since
	restores []events.Restore         // into the instance and not ended, as the view shows them
	runIDs   map[string]bool          // numbers given since the view's position
}

// stateNow is instanceState at the end of the log, for an append that is not compared with the instance.
func (i *Intake) stateNow(ctx context.Context, a events.Aggregate) (instanceState, error) {
	scope, err := a.InstanceScope()
	if err != nil {
		return instanceState{}, err
	}
	last, _, err := i.log.Last(ctx, scope)
	if err != nil {
		return instanceState{}, err
	}
	return i.instanceState(ctx, a, last.Seq)
}

func (i *Intake) instanceState(ctx context.Context, a events.Aggregate, seq uint64) (instanceState, error) {
	s := instanceState{backups: map[string]events.Backup{}, runIDs: map[string]bool{}}
	active, pos, err := i.view.Active(ctx, a.Project, a.Instance)
	if err != nil {
		return s, err
	}
	for _, b := range active {
		s.backups[b.BackupID] = b
	}
	if s.restores, err = i.view.RestoringInto(ctx, a.Project, a.Instance); err != nil {
		return s, err
	}
	if pos >= seq {
		return s, nil
	}
	scope, err := a.InstanceScope()
	if err != nil {
		return s, err
	}
	_, err = i.log.Scan(ctx, scope, pos+1, false, func(_ string, ev events.Stored) error {
		if ev.Entity() != events.Backups {
			return nil
		}
		b, err := events.Decode[events.Backup](ev.Event)
		if err != nil {
			return nil //nolint:nilerr // the tracker puts it among the dead letters
		}
		s.backups[b.BackupID] = b
		s.runIDs[b.IDs.CloudSQL] = true
		return nil
	})
	return s, err
}

// occupied is the backup that has the instance, or that a restore reads which has it. whole: deletions and restores
// count too (cloudsql.md PD-5).
func (s instanceState) occupied(whole bool) (events.Backup, bool) {
	for _, b := range s.backups {
		if lifecycle.Occupies(b, whole) {
			return b, true
		}
	}
	if whole && len(s.restores) > 0 {
		r := s.restores[0]
		return events.Backup{BackupID: r.BackupID, Project: r.Project, Provider: r.Provider, Instance: r.Target.Instance}, true
	}
	return events.Backup{}, false
}

// rival is what stands in the way of a new backup (events.md 3.2). whole: as in occupied.
func (s instanceState) rival(next events.Backup, whole bool) (events.Backup, bool) {
	if whole {
		return s.occupied(true)
	}
	for _, b := range s.backups {
		if lifecycle.Excludes(next, b, false) {
			return b, true
		}
	}
	return events.Backup{}, false
}

// busy refuses while the instance is occupied, and says by what.
func (s instanceState) busy(whole bool) error {
	b, ok := s.occupied(whole)
	if !ok {
		return nil
	}
	return s.occupiedBy(b)
}

func (s instanceState) occupiedBy(b events.Backup) error {
	e := refuse(Conflict, PendingBackupExists, "instance %s is busy with backup %s: wait for it or cancel it, then ask again", b.Instance, b.BackupID)
	e.Existing, e.Rival = b.BackupID, &b
	if b.State == lifecycle.None { // made up by occupied
		e = refuse(Conflict, PendingBackupExists, "instance %s is busy with restore %s: wait for it, then ask again", b.Instance, s.restores[0].RestoreID)
	}
	return e
}

// free tells whether the number that Cloud SQL would show is not taken in the instance.
func (s instanceState) free(ctx context.Context, view Reader, b events.Backup) (bool, error) {
	if s.runIDs[b.IDs.CloudSQL] {
		return false, nil
	}
	_, err := view.BackupByCloudSQL(ctx, b.Project, b.Instance, b.IDs.CloudSQL)
	if errors.Is(err, events.ErrNotFound) {
		return true, nil
	}
	return false, err
}
