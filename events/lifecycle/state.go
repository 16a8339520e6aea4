// Package lifecycle is the state machine of backups, restores and everything else that has events
// (events.md 3): one table, which writers ask before they append and readers ask before they apply.
// It has no clock, does no I/O and logs nothing. Nobody outside compares states.
package lifecycle

import "github.com/backupbus/backupbus/events"

// States of a backup; a restore uses Enqueued, Running, Successful and Failed.
const (
	None            events.State = ""
	Enqueued        events.State = "ENQUEUED"
	Overdue         events.State = "OVERDUE"
	Running         events.State = "RUNNING"
	Cancelling      events.State = "CANCELLING"
	Successful      events.State = "SUCCESSFUL"
	Failed          events.State = "FAILED"
	Skipped         events.State = "SKIPPED"
	Cancelled       events.State = "CANCELLED"
	DeletionPending events.State = "DELETION_PENDING"
	DeletionFailed  events.State = "DELETION_FAILED"
	Deleted         events.State = "DELETED"
)

// States of aggregates whose events carry no state of their own.
const (
	Present  events.State = "present"
	Removed  events.State = "removed"
	Rejected events.State = "rejected"
	Accepted events.State = "accepted"
	Dead     events.State = "dead"
)

// Phase says what is to be done about a backup or a restore: a coarser word than its state, for those
// who do the work and those who wait for it.
type Phase int

const (
	Waiting     Phase = iota // nothing runs yet: claim it
	Working                  // somebody has claimed it
	Stopping                 // a cancel was asked for; the work may still run
	Ended                    // has its outcome
	Deleting                 // the copy is about to go
	Gone                     // the copy has gone
	Unrequested              // a due slot that nobody asked for
)

// PhaseOf a backup.
func PhaseOf(b events.Backup) Phase {
	switch b.State {
	case Enqueued:
		return Waiting
	case Overdue:
		if b.EverRequested() {
			return Waiting
		}
		return Unrequested
	case Running:
		return Working
	case Cancelling:
		return Stopping
	case DeletionPending:
		return Deleting
	case Deleted:
		return Gone
	}
	return Ended
}

// RestorePhaseOf a restore.
func RestorePhaseOf(r events.Restore) Phase {
	switch r.State {
	case Enqueued:
		return Waiting
	case Running:
		return Working
	}
	return Ended
}

// Occupies tells whether a backup counts for the rule of one operation at a time (events.md 3.2).
// deletions: whether a pending deletion counts too, as it does for cloudsql.
func Occupies(b events.Backup, deletions bool) bool {
	switch PhaseOf(b) {
	case Waiting, Working, Stopping:
		return true
	case Deleting:
		return deletions
	}
	return false
}

// Excludes tells whether a backup stands in the way of a new one of its instance (events.md 3.2). deletions: the
// dialect's lock covers the whole instance and what is about to go, as that of cloudsql does.
func Excludes(next, b events.Backup, deletions bool) bool {
	if !Occupies(b, deletions) {
		return false
	}
	switch {
	case deletions:
		return true
	case next.SourceBackupID != "" || b.SourceBackupID != "": // a copy of a backup leaves the database alone
		return false
	case next.Provider == "gaussdb":
		return true
	case next.Provider == "spanner": // different databases run at once, and so does what schedules ask for
		return next.Trigger == events.OnDemand && b.Trigger == events.OnDemand && next.Database == b.Database
	}
	return next.Database == "" || b.Database == "" || next.Database == b.Database
}

// Standing tells whether a backup is being made or is there: what a dialect shows that has no word for what failed or
// goes (spanner.md (a)). A copy that is to go is there until it has gone, unless somebody was told that it is
// (deletion.insist): a deletion that fails would bring it back.
func Standing(b events.Backup) bool {
	switch b.State {
	case Successful:
		return true
	case DeletionPending, DeletionFailed:
		return Succeeded(b) && (b.Deletion == nil || !b.Deletion.Insist)
	}
	return Occupies(b, false)
}

// Foreign tells whether a backup is a copy of one of another instance: it lies here, and holds nothing of this one.
func Foreign(b events.Backup) bool { return b.CopyOf != nil && b.CopyOf.Instance != b.Instance }

// Good tells whether a backup left a copy that can be restored.
func Good(b events.Backup) bool { return Kept(b) || FailedDeletion(b) != nil && Succeeded(b) }

// Kept tells whether a backup left a copy that nobody has asked to delete.
func Kept(b events.Backup) bool { return b.State == Successful }

// Sound tells whether a backup left such a copy, which no later check has found bad: what a new one may rely on.
func Sound(b events.Backup) bool { return Kept(b) && b.Verification != events.CheckFailed }

// FailedDeletion is the deletion of a backup that failed and was not asked for again; nil if there is none.
func FailedDeletion(b events.Backup) *events.Deletion {
	if b.State != DeletionFailed {
		return nil
	}
	return b.Deletion
}

// Present tells whether what has no states of its own, an instance or a schedule, is there.
func (h Head) Present() bool { return h.State == Present }
