package lifecycle

import (
	"encoding/json"
	"time"

	"github.com/backupbus/backupbus/events"
)

// An operation is computed from a record, so a record remembers what has ended for as long as somebody may ask for
// it (cloudsql.md PD-19), within bounds that keep it small enough to travel.

// maxTryMessage is how much of the message of a failed try is remembered.
const maxTryMessage = 256

// earlierTries are the tries that a deletion remembers, and itself if it was asked for.
func earlierTries(d *events.Deletion) []events.DeletionTry {
	if d == nil || d.Try == 0 {
		return nil
	}
	last := events.DeletionTry{Try: d.Try, Cause: d.Cause, RequestTime: d.RequestTime, RequestedBy: d.RequestedBy, EndTime: d.EndTime, Resource: d.Resource}
	if d.Error != nil {
		f := *d.Error
		f.Message = events.Clip(f.Message, maxTryMessage)
		last.Error = &f
	}
	return latest(append(d.Earlier[:len(d.Earlier):len(d.Earlier)], last), events.MaxEarlierTries)
}

// earlierUpdates are the updates that a backup remembers, and its latest one.
func earlierUpdates(b events.Backup, now time.Time) []events.Update {
	if b.Update == nil {
		return b.EarlierUpdates
	}
	all := append(b.EarlierUpdates[:len(b.EarlierUpdates):len(b.EarlierUpdates)], *b.Update)
	for len(all) > 0 && now.Sub(all[0].RequestTime.Time) > events.KeepChanges {
		all = all[1:]
	}
	return latest(all, events.MaxEarlierUpdates)
}

// RememberChange adds the latest change to those that a schedule remembers, without those that are too old or too
// many, or make the record too large.
func RememberChange(before []events.ScheduleChange, c events.ScheduleChange) []events.ScheduleChange {
	all := append(before[:len(before):len(before)], c)
	for len(all) > 1 && c.Time.Sub(all[0].Time.Time) > events.KeepChanges {
		all = all[1:]
	}
	all = latest(all, events.MaxChanges)
	size := 0
	for i := len(all) - 1; i >= 0; i-- {
		doc, err := json.Marshal(all[i])
		if err != nil {
			return all // strings, numbers and times always encode
		}
		if size += len(doc) + 1; size > events.MaxChangesSize && i < len(all)-1 {
			return all[i+1:]
		}
	}
	return all
}

func latest[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }
