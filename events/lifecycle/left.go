package lifecycle

import (
	"encoding/json"

	"github.com/backupbus/backupbus/events"
)

// Left is what the log keeps of an aggregate whose last event is older than the history limit (events.md 4.4).
type Left int

// What is left.
const (
	Unclear   Left = iota // all of it: what is not understood is not touched
	Whole                 // all of it: it has not ended
	LastEvent             // its last event, which carries the whole record
	Nothing               // there is nothing behind it
)

// String is the word for logs and metrics.
func (l Left) String() string { return [...]string{"unclear", "whole", "last_event", "nothing"}[l] }

// LeftBy is what is left of an aggregate whose last event is ev.
func LeftBy(ev events.Event) Left {
	t, err := events.ParseType(ev.Type)
	if err != nil || t.Major != 1 || !known(t.Entity, t.Step) {
		return Unclear
	}
	if _, err := ev.SequenceNumber(); err != nil {
		return Unclear
	}
	if _, v := judge(t, Head{}, ev); v != Applied {
		return Unclear
	}
	switch t.Entity {
	case events.Backups:
		var b events.Backup
		if err := json.Unmarshal(ev.Data, &b); err != nil {
			return Unclear
		}
		return leftOfBackup(b)
	case events.Restores:
		var r events.Restore
		if err := json.Unmarshal(ev.Data, &r); err != nil {
			return Unclear
		}
		if RestorePhaseOf(r) != Ended {
			return Whole
		}
		return Nothing
	case events.Instances, events.Schedules, events.Subscriptions: // generations and names are never given again
		return LastEvent
	case events.Requests, events.Deliveries:
		return Nothing
	}
	return Unclear
}

// leftOfBackup keeps what has or may have something behind it.
func leftOfBackup(b events.Backup) Left {
	something := false
	switch b.State {
	case Enqueued, Running, Cancelling, Successful, DeletionPending, DeletionFailed:
		something = true
	case Overdue:
		something = b.EverRequested()
	case Failed, Cancelled:
		something = b.PartialRemains
	case Skipped, Deleted:
	default:
		return Unclear
	}
	if something {
		return LastEvent
	}
	return Nothing
}
