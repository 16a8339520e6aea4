package executor

import (
	"context"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// lastOf is a log whose last event is of one backup.
type lastOf struct {
	Log
	b events.Backup
}

func (l lastOf) Last(context.Context, string) (events.Stored, bool, error) {
	ev, err := events.New("bus", l.b, events.Succeeded, l.b.BackupID+"-succeeded-1", 1, l.b.EndTime.Time, events.Cause{})
	return events.Stored{Event: ev, Seq: 1}, true, err
}

// A copy of another instance's backup says nothing about the instance's own data.
func TestLastGood_IsOfTheInstance(t *testing.T) {
	t.Parallel()
	size := int64(7)
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", State: lifecycle.Successful, SizeBytes: &size, ProviderRef: &events.ProviderRef{}}
	for name, c := range map[string]struct {
		of   *events.CopyOf
		size int64
	}{"of the database": {nil, 7}, "a copy within": {&events.CopyOf{Instance: "i"}, 7}, "a copy from elsewhere": {&events.CopyOf{Instance: "other"}, 0}} {
		b.CopyOf = c.of
		r := &Runner{log: lastOf{b: b}}
		if got := r.lastSize(t.Context(), b); got != c.size {
			t.Errorf("%s: size %d, want %d", name, got, c.size)
		}
		if _, ok := r.lastGood(t.Context(), b); ok != (c.size > 0) {
			t.Errorf("%s: good %t", name, ok)
		}
	}
}
