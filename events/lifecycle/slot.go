package lifecycle

import (
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
)

// SlotOutcome says what became of a due time of a schedule.
type SlotOutcome string

// The outcomes of a slot. A success rate is Succeeded of Succeeded, Failed and Missed: of the slots that should
// have run and are over.
const (
	SlotPending   SlotOutcome = "PENDING"   // not over
	SlotSucceeded SlotOutcome = "SUCCEEDED" // a copy was made; it may have gone by now
	SlotFailed    SlotOutcome = "FAILED"    // it was asked for and left no copy, cancelled ones too
	SlotMissed    SlotOutcome = "MISSED"    // nobody was there in time, or there was no room for it
	SlotSpared    SlotOutcome = "SPARED"    // it did not have to run: nothing had changed, the instance was stopped
)

// needless are the reasons for which a slot did not have to run (events.md 2.1, skip).
var needless = []string{"NO_CHANGES", "INSTANCE_STOPPED", "SCHEDULE_PAUSED", "INSTANCE_DEREGISTERED"}

// SlotOf tells the outcome of a backup's slot; false for a backup that no schedule asked for.
func SlotOf(b events.Backup) (SlotOutcome, bool) {
	if b.Trigger != events.Scheduled || b.DueTime.IsZero() {
		return "", false
	}
	switch PhaseOf(b) {
	case Waiting, Working, Stopping:
		return SlotPending, true
	case Unrequested:
		return SlotMissed, true
	}
	switch {
	case Succeeded(b):
		return SlotSucceeded, true
	case b.Skip != nil && slices.Contains(needless, b.Skip.Reason):
		return SlotSpared, true
	case b.Skip != nil, b.Overdue != nil && !b.EverRequested():
		return SlotMissed, true
	}
	return SlotFailed, true
}

// Succeeded tells whether a backup has ever ended as SUCCESSFUL, whatever became of its copy since: `succeeded`
// alone sets sizeBytes (events.md 2.1).
func Succeeded(b events.Backup) bool { return b.SizeBytes != nil }

// Health tells how well an instance is backed up.
type Health struct {
	LastGood *events.Backup // by the time of its data; nil if there is none that could be restored
	Slots    Slots
}

// Slots counts the due times of an instance's schedules by what became of them.
type Slots struct{ Succeeded, Failed, Missed, Pending, Spared int }

// Count adds one.
func (s *Slots) Count(o SlotOutcome) {
	switch o {
	case SlotSucceeded:
		s.Succeeded++
	case SlotFailed:
		s.Failed++
	case SlotMissed:
		s.Missed++
	case SlotPending:
		s.Pending++
	case SlotSpared:
		s.Spared++
	}
}

// Due is how many should have run and are over.
func (s Slots) Due() int { return s.Succeeded + s.Failed + s.Missed }

// Rate is the share of the due ones that succeeded; false if none was due.
func (s Slots) Rate() (float64, bool) {
	if s.Due() == 0 {
		return 0, false
	}
	return float64(s.Succeeded) / float64(s.Due()), true
}

// DataTime is the moment whose data a backup has: its consistency point, or the start of the work.
func DataTime(b events.Backup) time.Time {
	switch {
	case !b.ConsistencyTime.IsZero():
		return b.ConsistencyTime.Time
	case !b.StartTime.IsZero():
		return b.StartTime.Time
	}
	return b.EnqueuedTime.Time
}
