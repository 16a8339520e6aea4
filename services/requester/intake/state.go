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
	backups map[string]events.Backup // those that the view shows as active, and those that moved since
	runIDs  map[string]bool          // numbers given since the view's position
}

func (i *Intake) instanceState(ctx context.Context, a events.Aggregate, seq uint64) (instanceState, error) {
	s := instanceState{map[string]events.Backup{}, map[string]bool{}}
	active, pos, err := i.view.Active(ctx, a.Project, a.Instance)
	if err != nil {
		return s, err
	}
	for _, b := range active {
		s.backups[b.BackupID] = b
	}
	if pos >= seq {
		return s, nil
	}
	scope, err := a.InstanceScope()
	if err != nil {
		return s, err
	}
	_, err = i.log.Scan(ctx, scope, pos+1, false, func(_ string, ev events.Stored) error {
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

func (s instanceState) occupied(deletions bool) (events.Backup, bool) {
	for _, b := range s.backups {
		if lifecycle.Occupies(b, deletions) {
			return b, true
		}
	}
	return events.Backup{}, false
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
