package intake_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// failing is a log that does not answer appends of `failed` while it is down.
type failing struct {
	*bus.Bus
	down atomic.Bool
}

func (f *failing) Append(ctx context.Context, d events.Draft) (events.Appended, error) {
	if d.Step == events.Failed && f.down.Load() {
		return events.Appended{}, events.ErrUnavailable
	}
	return f.Bus.Append(ctx, d)
}

// A request that is accepted in order to fail is accepted though its end cannot be stored; a repeat stores it, and
// nobody may take it for work meanwhile (PD-6, cloudsql.md 7.4).
func TestCreate_RefusedIsAcceptedWithoutItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders")
	log := &failing{Bus: w.bus}
	log.down.Store(true)
	in := w.over(log, view.NewFallback(view.New(view.NewMemory(time.Now), 1), truth{w.bus}, time.Now))
	ask := create("orders")
	ask.Key, ask.Failure = "k", &events.Failure{Code: events.QuotaExceeded, Category: events.ByUser, Message: "try again later"}
	ask.NotBefore = time.Now().Add(time.Hour)
	r, err := in.Create(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ask.Failure, lifecycle.Refused(r.Backup)); diff != "" {
		t.Errorf("the request does not carry its end:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"requested"}, w.steps(r.Backup.Aggregate())); diff != "" {
		t.Error(diff)
	}
	log.down.Store(false)
	again, err := in.Create(t.Context(), ask)
	if err != nil || again.Backup.BackupID != r.Backup.BackupID || !again.Repeat {
		t.Errorf("%+v, %v", again, err)
	}
	if diff := cmp.Diff([]string{"requested", "failed-0"}, w.steps(r.Backup.Aggregate())); diff != "" {
		t.Error(diff)
	}
	b, err := in.Backup(t.Context(), "shop", r.Backup.BackupID)
	if err != nil || b.State != lifecycle.Failed || b.Error == nil || b.Error.Code != events.QuotaExceeded {
		t.Errorf("%+v, %v", b, err)
	}
	if lifecycle.Refused(b) != nil {
		t.Error("what has ended is to be ended again")
	}
	if _, err := in.Create(t.Context(), create("orders")); err != nil {
		t.Errorf("the instance is not free: %v", err)
	}
	var _ intake.Log = log
}
