package lifecycle

import (
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
)

// The keys below sort the newest first and never change: lists have them as members, and as the cursors of their pages.

// CreationKey sorts backups by when they were asked for, and those of one moment by the name that Spanner shows
// (spanner.md 4.7).
func CreationKey(b events.Backup) string {
	return fmt.Sprintf("%s.%s.%s", MomentKey(b.EnqueuedTime.Time), token(b.IDs.Spanner), b.BackupID)
}

// RestoreKey sorts restores by when they were asked for.
func RestoreKey(r events.Restore) string {
	return MomentKey(r.EnqueuedTime.Time) + "." + r.RestoreID
}

// MomentKey is how the keys of a moment begin.
func MomentKey(t time.Time) string {
	const most = 999_999_999_999_999
	return fmt.Sprintf("%015d", most-min(max(t.UnixMilli(), 0), most))
}

// TargetDatabase is the database that a restore makes; one that names none is of the whole instance.
func TargetDatabase(r events.Restore) string {
	if r.Target.Database == "" {
		return r.Target.Instance
	}
	return r.Target.Database
}

func token(name string) string {
	t, err := events.Token(name)
	if err != nil {
		return "_" // the empty name; names are checked long before
	}
	return t
}
