package intake_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// between is a log in which something else happens once, between a decision of this step and its append.
type between struct {
	intake.Log
	step events.Step
	once *sync.Once
	f    func()
}

func (b between) Append(ctx context.Context, d events.Draft) (events.Appended, error) {
	decide := d.Decide
	d.Decide = func(ctx context.Context, p events.Prior) (events.Payload, error) {
		next, err := decide(ctx, p)
		if err == nil && d.Step == b.step {
			b.once.Do(b.f)
		}
		return next, err
	}
	return b.Log.Append(ctx, d)
}

// Of a deletion and a reader of the same backup one is refused, whichever decided first and appended last, and however
// far the views are behind.
func TestReaders_AndADeletionAtOnce(t *testing.T) {
	t.Parallel()
	for what, read := range map[string]func(context.Context, *intake.Intake, events.Backup) error{
		"copy in its instance": func(ctx context.Context, i *intake.Intake, b events.Backup) error {
			return second(i.Create(ctx, intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "shop", Instance: "orders", SpannerID: "c1", Source: &b}))
		},
		"restore": func(ctx context.Context, i *intake.Intake, b events.Backup) error {
			return second(i.Restore(ctx, intake.Restore{Caller: intake.Caller{Door: "native"}, Project: "shop", BackupID: b.BackupID, Target: events.Target{Instance: "elsewhere"}}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "orders", "elsewhere")
			other := w.rival()
			drop := func(ctx context.Context, i *intake.Intake, b events.Backup) error {
				return second(i.Delete(ctx, intake.Change{Caller: intake.Caller{Door: "spanner"}, Project: "shop", BackupID: b.BackupID}))
			}
			late := func(step events.Step, f func()) *intake.Intake {
				return w.over(between{w.bus, step, &sync.Once{}, f}, view.NewFallback(view.New(view.NewMemory(time.Now), 1), truth{w.bus}, time.Now))
			}
			b := w.taken("orders")
			slow := late(events.DeletionRequested, func() {
				if err := read(t.Context(), other, b); err != nil {
					t.Errorf("the reader: %v", err)
				}
			})
			refused(t, "deletion that appends last", drop(t.Context(), slow, b), intake.NotDeletable)
			w = newWorld(t, "orders", "elsewhere")
			other = w.rival()
			b = w.taken("orders")
			slow = late(events.Requested, func() {
				if err := drop(t.Context(), other, b); err != nil {
					t.Errorf("the deletion: %v", err)
				}
			})
			refused(t, "reader that appends last", read(t.Context(), slow, b), intake.NotRestorable)
		})
	}
}

// A copy into another instance is decided there. With a deletion of its source at the same moment both are accepted (the
// executor fails the copy), whichever appends last; one after the other, the second is refused.
func TestReaders_ACopyElsewhereAndADeletion(t *testing.T) {
	t.Parallel()
	copyOf := func(ctx context.Context, i *intake.Intake, b events.Backup) error {
		return second(i.Create(ctx, intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "shop", Instance: "elsewhere", SpannerID: "c" + b.BackupID, Source: &b}))
	}
	drop := func(ctx context.Context, i *intake.Intake, b events.Backup) error {
		return second(i.Delete(ctx, intake.Change{Caller: intake.Caller{Door: "spanner"}, Project: "shop", BackupID: b.BackupID}))
	}
	w := newWorld(t, "orders", "elsewhere")
	ctx, other := t.Context(), w.rival()
	late := func(step events.Step, f func() error) *intake.Intake {
		return w.over(between{w.bus, step, &sync.Once{}, func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		}}, view.NewFallback(view.New(view.NewMemory(time.Now), 1), truth{w.bus}, time.Now))
	}
	b := w.taken("orders")
	if err := drop(ctx, late(events.DeletionRequested, func() error { return copyOf(ctx, other, b) }), b); err != nil {
		t.Errorf("deletion that appends last: %v", err)
	}
	refused(t, "copy of what goes", copyOf(ctx, w.rival(), b), intake.NotRestorable)
	w = newWorld(t, "orders", "elsewhere")
	other = w.rival()
	b = w.taken("orders")
	if err := copyOf(ctx, late(events.Requested, func() error { return drop(ctx, other, b) }), b); err != nil {
		t.Errorf("copy that appends last: %v", err)
	}
	w = newWorld(t, "orders", "elsewhere")
	b = w.taken("orders")
	if err := copyOf(ctx, w.Intake, b); err != nil {
		t.Fatal(err)
	}
	refused(t, "deletion of what is copied", drop(ctx, w.Intake, b), intake.NotDeletable)
}

// Many deletions and readers of one project at once do not wear each other out.
func TestReaders_ManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders", "elsewhere")
	other := w.rival()
	var all []events.Backup
	for range 12 {
		all = append(all, w.taken("orders"))
	}
	var both sync.WaitGroup
	for n, b := range all {
		var deleted, restored error
		both.Go(func() {
			var one sync.WaitGroup
			one.Go(func() {
				deleted = second(w.Delete(t.Context(), intake.Change{Caller: intake.Caller{Door: "spanner"}, Project: "shop", BackupID: b.BackupID}))
			})
			one.Go(func() {
				restored = second(other.Restore(t.Context(), intake.Restore{Caller: intake.Caller{Door: "native"}, Project: "shop", BackupID: b.BackupID, Target: events.Target{Instance: "elsewhere"}}))
			})
			one.Wait()
			if (deleted == nil) == (restored == nil) || intake.KindOf(deleted) == intake.Unavailable || intake.KindOf(restored) == intake.Unavailable {
				t.Errorf("backup %d: deletion %v, restore %v", n, deleted, restored)
			}
		})
	}
	both.Wait()
}

// A copy of another instance's backup is no good backup of the instance in which it lies.
func TestOverdueSlot_NamesTheInstancesOwnLastSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orders", "elsewhere")
	own, source := w.taken("orders"), w.taken("elsewhere")
	r, err := w.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "spanner"}, Project: "shop", Instance: "orders", SpannerID: "c1", Source: &source})
	if err != nil {
		t.Fatal(err)
	}
	b := w.move(r.Backup, events.Started, 1, func(b events.Backup) events.Backup { return lifecycle.Claim(b, time.Now(), "ex") })
	w.move(b, events.Succeeded, 1, func(b events.Backup) events.Backup {
		return lifecycle.Complete(b, time.Now(), lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 1})
	})
	late, err := w.OverdueSlot(t.Context(), slot("orders", "sqlite"))
	if err != nil || late.Overdue == nil || late.Overdue.LastSuccessBackupID != own.BackupID {
		t.Errorf("%+v, %v; want %s", late.Overdue, err, own.BackupID)
	}
}

// What is said to block a slot is what its backup would have to wait for, and nothing else that runs.
func TestOverdueSlot_NamesWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "server")
	running, err := w.Create(t.Context(), of("d1", ""))
	if err != nil {
		t.Fatal(err)
	}
	for database, want := range map[string]string{"d1": running.Backup.BackupID, "d2": "", "": running.Backup.BackupID} {
		s := slot("server", "sqlite")
		s.Schedule.Database, s.Schedule.ScheduleID = database, s.Schedule.ScheduleID+database
		late, err := w.OverdueSlot(t.Context(), s)
		if err != nil || late.Overdue == nil || late.Overdue.BlockedByBackupID != want {
			t.Errorf("%q: %+v, %v; want %q", database, late.Overdue, err, want)
		}
	}
}
