package lifecycle

import (
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
)

// ErrTooMany is returned for a selection that would cost too much to answer exactly.
var ErrTooMany = errors.New("too many backups to look at")

// Listing selects backups for a list whose pages are numbered (gaussdb.md 4.2). What is empty selects nothing away.
type Listing struct {
	Instance string
	Name     string         // as ListedName gives it
	Trigger  events.Trigger // ON_DEMAND or SCHEDULED
	From, To time.Time      // of Begun, both inclusive
}

// Matches tells whether a backup is in the list.
func (l Listing) Matches(b events.Backup) bool {
	begun := Begun(b)
	return Listed(b) && (l.Instance == "" || b.Instance == l.Instance) && (l.Name == "" || ListedName(b) == l.Name) &&
		(l.Trigger == "" || b.Trigger == l.Trigger) && (l.From.IsZero() || !begun.Before(l.From)) && (l.To.IsZero() || !begun.After(l.To))
}

// Listed tells whether a backup is visible in such a list (gaussdb.md 7, column L): not once its deletion was asked
// for, and not while it is a due slot that has come to nothing.
func Listed(b events.Backup) bool {
	switch PhaseOf(b) {
	case Deleting, Gone, Unrequested:
		return false
	}
	return b.Trigger != events.Scheduled || b.State != Overdue && b.State != Skipped
}

// Begun is when a backup was accepted, in whole seconds: the precision of these lists, and their order.
func Begun(b events.Backup) time.Time { return b.EnqueuedTime.Truncate(time.Second) }

// ListedName is the name of a backup, or the one that stands for it where nobody gave it any: GaussDB's form of
// automated ones (gaussdb.md 4.11).
func ListedName(b events.Backup) string {
	if b.Name != "" {
		return b.Name
	}
	at := b.EnqueuedTime.UTC()
	return "GaussDBforMySQL-" + b.Instance + "-" + at.Format("20060102150405") + at.Format(".000")[1:]
}

// InTheMaking tells a backup that was asked for and has not ended.
func InTheMaking(b events.Backup) bool { return Occupies(b, false) }
