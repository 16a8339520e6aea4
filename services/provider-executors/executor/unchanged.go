package executor

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// detectLimit bounds the question whether a database has changed: no answer means that it is backed up.
const detectLimit = time.Minute

// covered ends a scheduled backup as `skipped` (NO_CHANGES) if nothing was committed since the instance's last good
// one, whose copy is still there: that covers the data. What is not known counts as changed.
func (r *Runner) covered(ctx context.Context, last events.Stored, b events.Backup, cfg events.InstanceConfig) (bool, error) {
	d, ok := r.exec.(ChangeDetector)
	if !ok || b.Trigger != events.Scheduled || b.Attempt > 0 {
		return false, nil
	}
	before, ok := r.lastGood(ctx, b)
	if !ok {
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, detectLimit)
	defer cancel()
	j := jobOf(b, cfg)
	j.Attempt = b.Attempt + 1
	same, err := d.Unchanged(bounded, j, *before.ProviderRef)
	if err != nil {
		r.slog.InfoContext(ctx, "whether the database has changed is not known", "backup_id", b.BackupID, "error", events.Redact(err.Error()))
	}
	if err != nil || !same {
		return false, ctx.Err()
	}
	r.slog.InfoContext(ctx, "backup skipped: nothing changed", "backup_id", b.BackupID, "covered_by", before.BackupID)
	return true, r.report(ctx, last, b, events.Skipped, 0, waiting, func(b events.Backup) events.Backup {
		b.Skip = &events.Skip{Reason: "NO_CHANGES", Message: "nothing was committed since the last good backup",
			CoveredByBackupID: before.BackupID, Time: events.At(r.now())}
		return b
	})
}

// waiting: nobody has begun.
func waiting(b events.Backup) bool {
	return lifecycle.PhaseOf(b) == lifecycle.Waiting && b.Attempt == 0
}

// lastGood is the instance's last good backup of the same data, if its copy is still trusted. None is known if
// the last one is a copy of another instance's: then the database is backed up.
func (r *Runner) lastGood(ctx context.Context, b events.Backup) (events.Backup, bool) {
	filter, err := b.Aggregate().SiblingsFilter(events.Succeeded)
	if err != nil {
		return b, false
	}
	last, found, err := r.log.Last(ctx, filter)
	if err != nil || !found {
		return b, false
	}
	good, err := events.Decode[events.Backup](last.Event)
	if err != nil || lifecycle.Foreign(good) {
		return b, false
	}
	_, good, err = r.lastBackup(ctx, good) // it may have been deleted, or found damaged, since
	return good, err == nil && lifecycle.Sound(good) && good.Database == b.Database && good.ProviderRef != nil
}
