package janitor_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/janitor"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func backup(id string) events.Backup {
	return events.Backup{BackupID: id, Project: "p", Provider: "sqlite", Instance: "orders", Trigger: events.Scheduled, RequestID: "rq_" + id,
		IDs: events.NewBackupIDs(id, "", noon.Add(own(id))), EnqueuedTime: events.At(noon), DueTime: events.At(noon),
		Verification: events.NotVerified}
}

// own is a time of an id's own: its number in Cloud SQL comes from it.
func own(id string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()) * time.Millisecond
}

// live writes a life of a backup, a word for each step; ! leaves remains.
func (w *world) live(id, steps string) {
	w.t.Helper()
	b := backup(id)
	for _, word := range strings.Fields(steps) {
		step, remains := strings.CutSuffix(word, "!")
		switch events.Step(step) {
		case events.Requested:
			b.MaxAttempts = 3
		case events.Overdue:
			b.Overdue = &events.OverdueNote{Requested: b.EverRequested()}
		case events.Started:
			b = lifecycle.Claim(b, noon, "ex")
		case events.AttemptFailed:
			b = lifecycle.FailAttempt(b, &events.Failure{Code: events.Network}, noon)
		case events.Succeeded:
			b = lifecycle.Complete(b, noon, lifecycle.Outcome{Proof: events.ProofStored})
		case events.Failed:
			b = lifecycle.Fail(b, noon, &events.Failure{Code: events.Network}, nil, remains)
		case events.CancelRequested:
			b = lifecycle.AskCancel(b, events.Cancel{})
		case events.Cancelled:
			b = lifecycle.Stop(b, noon, nil, remains)
		case events.DeletionRequested:
			b = lifecycle.AskDeletion(b, events.Deletion{Cause: "USER"})
		case events.Deleted:
			b = lifecycle.Remove(b, noon, 1)
		case events.DeletionFailed:
			b = lifecycle.FailDeletion(b, noon, &events.Failure{Code: events.Network})
		case events.VerificationRequested:
			b = lifecycle.AskCheck(b, events.Check{})
		case events.Verified:
			b = lifecycle.FinishCheck(b, noon, noon, lifecycle.Checked{}, nil)
		case events.Skipped:
			b.Skip = &events.Skip{Reason: "NO_CHANGES"}
		}
		var err error
		if b, err = lifecycle.Advance(b, events.Step(step)); err != nil {
			w.t.Fatal(err)
		}
		w.write(b, events.Step(step))
	}
}

// lives are lives of backups up to every state, by what is left of them.
var lives = map[string]struct {
	steps string
	left  lifecycle.Left
}{
	"enqueued":         {"requested", lifecycle.LastEvent},
	"enqueued_again":   {"requested started attempt_failed", lifecycle.LastEvent},
	"overdue_never":    {"overdue", lifecycle.Nothing},
	"overdue_asked":    {"requested overdue", lifecycle.LastEvent},
	"overdue_running":  {"requested started overdue", lifecycle.LastEvent},
	"running":          {"requested started", lifecycle.LastEvent},
	"cancelling":       {"requested started cancel_requested", lifecycle.LastEvent},
	"successful":       {"requested started succeeded", lifecycle.LastEvent},
	"verified":         {"requested started succeeded verification_requested verified", lifecycle.LastEvent},
	"failed":           {"requested started failed", lifecycle.Nothing},
	"failed_remains":   {"requested started failed!", lifecycle.LastEvent},
	"skipped":          {"skipped", lifecycle.Nothing},
	"skipped_late":     {"overdue skipped", lifecycle.Nothing},
	"cancelled":        {"requested cancel_requested cancelled", lifecycle.Nothing},
	"cancelled_left":   {"requested started cancel_requested cancelled!", lifecycle.LastEvent},
	"deletion_pending": {"requested started succeeded deletion_requested", lifecycle.LastEvent},
	"deletion_failed":  {"requested started succeeded deletion_requested deletion_failed", lifecycle.LastEvent},
	"deleted":          {"requested started succeeded deletion_requested deleted", lifecycle.Nothing},
}

// others are the lives of what is no backup.
func (w *world) others(age string) map[string]lifecycle.Left {
	w.t.Helper()
	want := map[string]lifecycle.Left{}
	for name, c := range map[string]struct {
		steps []events.Step
		left  lifecycle.Left
	}{
		"open":    {[]events.Step{events.Requested}, lifecycle.Whole},
		"running": {[]events.Step{events.Requested, events.Started}, lifecycle.Whole},
		"done":    {[]events.Step{events.Requested, events.Started, events.Succeeded}, lifecycle.Nothing},
		"failed":  {[]events.Step{events.Requested, events.Failed}, lifecycle.Nothing},
	} {
		r := events.Restore{RestoreID: "rs_" + name + age, BackupID: "bk_successful" + age, Project: "p", Provider: "sqlite", Instance: "orders",
			IDs: events.RestoreIDs{Operation: "op-" + name + age}, Target: events.Target{Instance: "copy"}, EnqueuedTime: events.At(noon)}
		for _, step := range c.steps {
			var err error
			if r, err = lifecycle.AdvanceRestore(r, step); err != nil {
				w.t.Fatal(err)
			}
			w.write(r, step)
		}
		want[r.RestoreID] = c.left
	}
	for name, last := range map[string]events.Step{"there": events.Updated, "gone": ""} {
		removed := func(step events.Step) []events.Step {
			if last == "" {
				return []events.Step{step}
			}
			return []events.Step{last}
		}
		id := name + age
		for n, step := range append([]events.Step{events.Registered}, removed(events.Deregistered)...) {
			w.write(events.Instance{Project: "p", InstanceID: "in_" + id, Provider: "sqlite", Instance: id, Generation: n + 1}, step)
		}
		for n, step := range append([]events.Step{events.Created}, removed(events.Deleted)...) {
			w.write(events.Schedule{Project: "p", ScheduleID: "sc_" + id, Name: id, Provider: "sqlite", Instance: "orders", Generation: n + 1,
				Config: events.ScheduleConfig{Cron: "0 2 * * *"}}, step)
			w.write(events.Subscription{Project: "p", SubscriptionID: "su_" + id, Generation: n + 1}, step)
		}
		for _, prefix := range []string{"in_", "sc_", "su_"} {
			want[prefix+id] = lifecycle.LastEvent
		}
	}
	rejected := events.RejectedRequest{Project: "p", RequestID: "rq_r" + age, Reason: "INTERNAL", Retryable: true}
	w.write(rejected, events.Rejected)
	rejected.RequestID = "rq_a" + age
	w.write(rejected, events.Rejected)
	w.write(events.AcceptedRequest{Project: "p", RequestID: "rq_a" + age, BackupID: "bk_successful"}, events.Accepted)
	w.write(events.DeadDelivery{Project: "p", DeliveryID: "dl_d" + age, SubscriptionID: "su_there", EventSource: "//bus.local/projects/p/x"}, events.DeadLettered)
	for _, id := range []string{"rq_r", "rq_a", "dl_d"} {
		want[id+age] = lifecycle.Nothing
	}
	return want
}

// Case S18: of what is older than the limit exactly that is left which events.md 4.4 says, and all of what is younger.
// Case S17: the view that is left is the one that a rebuild gives. A second run does nothing.
func TestClean_LeavesWhatTheTableSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string]lifecycle.Left{}
	for name, l := range lives {
		w.live("bk_"+name, l.steps)
		want["bk_"+name] = l.left
	}
	maps.Copy(want, w.others(""))
	before := w.end()
	for name, l := range lives {
		w.live("bk_"+name+"_young", l.steps)
		want["bk_"+name+"_young"] = lifecycle.Whole
	}
	for id := range w.others("_young") {
		want[id] = lifecycle.Whole
	}
	w.settle()
	whole := w.left()
	w.clean(w.cleaner(w.bus, before))
	got := w.left()
	for id, left := range want {
		steps := strings.Fields(whole[id])
		shown := whole[id]
		switch left {
		case lifecycle.LastEvent:
			shown = steps[len(steps)-1]
		case lifecycle.Nothing:
			shown = ""
			if keys := w.store.keysWith(id); !strings.HasSuffix(id, "_young") && len(keys) > 0 && len(slicesWithout(keys, id)) > 0 {
				t.Errorf("the view still knows %s: %v", id, keys)
			}
		case lifecycle.Whole, lifecycle.Unclear:
		}
		if got[id] != shown {
			t.Errorf("%s: %q is left of %q, want %q", id, got[id], whole[id], shown)
		}
	}
	w.rebuilt()
	if w.tally[lifecycle.LastEvent] == 0 || w.tally[lifecycle.Nothing] == 0 {
		t.Errorf("counted: %v", w.tally)
	}
	clear(w.tally)
	kept := w.store.content()
	w.clean(w.cleaner(w.bus, before))
	if diff := cmp.Diff(got, w.left()); diff != "" || len(w.tally) > 0 {
		t.Errorf("a second run, %v:\n%s", w.tally, diff)
	}
	if diff := cmp.Diff(kept, w.store.content()); diff != "" {
		t.Errorf("a second run changed the view:\n%s", diff)
	}
}

// slicesWithout leaves out keys of longer ids that begin alike.
func slicesWithout(keys []string, id string) (own []string) {
	for _, k := range keys {
		if at := strings.Index(k, id) + len(id); at == len(k) || k[at] != '_' {
			own = append(own, k)
		}
	}
	return own
}

// between is a log in which something happens at a moment of the janitor's work.
type between struct {
	janitor.Log
	read, purge func()
}

func (b *between) Last(ctx context.Context, filter string) (events.Stored, bool, error) {
	last, found, err := b.Log.Last(ctx, filter)
	if b.read != nil {
		b.read()
	}
	return last, found, err
}

func (b *between) Purge(ctx context.Context, s events.Subject, before uint64) (int, error) {
	if b.purge != nil {
		b.purge()
		b.purge = nil
	}
	return b.Log.Purge(ctx, s, before)
}

// Case S19: an event that is appended after the janitor's read stays, and the view has it, whether it comes before the
// view has forgotten or after.
func TestClean_WhatIsAppendedMeanwhileStays(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]string{"nothing would be left": "requested started failed", "its last event would be left": "requested started succeeded"} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", name, late), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.live("bk_a", old)
				before := w.end()
				w.settle()
				b := lifecycleOf(t, w, "bk_a")
				next, err := lifecycle.Advance(lifecycle.AskDeletion(b, events.Deletion{Cause: "USER"}), events.DeletionRequested)
				if err != nil {
					t.Fatal(err)
				}
				log := &between{Log: w.bus}
				if late {
					log.purge = func() { w.write(next, events.DeletionRequested) }
				} else {
					log.read = func() { w.write(next, events.DeletionRequested); w.settle() }
				}
				w.clean(w.cleaner(log, before))
				if got := w.left()["bk_a"]; !strings.HasSuffix(got, "deletion_requested") {
					t.Errorf("left: %q", got)
				}
				w.settle()
				if got := lifecycleOf(t, w, "bk_a"); got.State != lifecycle.DeletionPending {
					t.Errorf("the view has it %s", got.State)
				}
				w.rebuilt()
			})
		}
	}
}

func lifecycleOf(t *testing.T, w *world, id string) events.Backup {
	t.Helper()
	b, err := w.view.Backup(t.Context(), "p", id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is not understood is not touched: unreadable messages, types of later versions, illegal steps.
func TestClean_KeepsWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"bk_unreadable", "bk_unknown", "bk_illegal"} {
		w.live(id, "requested started failed")
	}
	at := "backupbus.v1.event.p.sqlite.orders.backup."
	w.nats.PublishRaw(t, at+"bk_unreadable.updated", []byte("no event"))
	b := backup("bk_unknown")
	ev, err := events.New("bus.local", b, events.Failed, "x", 9, noon, events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	ev.Type = "dev.backupbus.backup.frozen.v1"
	w.nats.Publish(t, at+"bk_unknown.frozen", ev)
	b = backup("bk_illegal")
	b.PreviousState, b.State, b.Step = lifecycle.Deleted, lifecycle.Failed, events.Failed
	w.write(b, events.Failed)
	before := w.end().Add(time.Second)
	w.settle()
	whole := w.left()
	w.clean(w.cleaner(w.bus, before))
	if diff := cmp.Diff(whole, w.left()); diff != "" {
		t.Error(diff)
	}
}

// counted counts how often the log is read.
type counted struct {
	*bus.Bus
	surveys int
}

func (c *counted) Survey(ctx context.Context, before time.Time, fn func(string, uint64, *events.Event)) error {
	c.surveys++
	return c.Bus.Survey(ctx, before, fn)
}

// More aggregates than fit into memory are gone through by shares, and of long lives one run takes a part.
func TestClean_ManyAggregatesAndLongLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string]string{}
	for n := range 60 {
		w.live(fmt.Sprintf("bk_gone%d", n), "requested failed")
		w.live(fmt.Sprintf("bk_kept%d", n), "requested started")
		want[fmt.Sprintf("bk_kept%d", n)] = "started"
	}
	w.live("bk_long", "requested started succeeded"+strings.Repeat(" verification_requested verified", 50))
	want["bk_long"] = "verified"
	before := w.end()
	w.settle()
	log := &counted{Bus: w.bus}
	w.clean(w.cleaner(log, before).Holding(10))
	if log.surveys < 13 {
		t.Errorf("the log was read %d times", log.surveys)
	}
	if got := w.left()["bk_long"]; len(strings.Fields(got)) != 103-64 {
		t.Errorf("of the long life are left: %s", got)
	}
	w.clean(w.cleaner(log, before))
	if diff := cmp.Diff(want, w.left()); diff != "" {
		t.Error(diff)
	}
	w.rebuilt()
}

// behind is a view that another replica writes.
type behind struct{}

func (behind) Forget(context.Context, []view.Seen, func(int) error) error { return view.ErrBehind }

func TestClean_PurgesNothingThatTheViewCannotForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live("bk_a", "requested failed")
	j := janitor.New(w.bus, behind{}, w, slog.New(slog.DiscardHandler), func() time.Time { return w.end().Add(limit) })
	if err := j.Clean(t.Context()); !errors.Is(err, view.ErrBehind) {
		t.Errorf("got %v", err)
	}
	if got := w.left()["bk_a"]; got != "requested failed" {
		t.Errorf("left: %q", got)
	}
}

// A limit that was raised is the one that holds.
func TestClean_GoesByTheLimitOfTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live("bk_a", "requested failed")
	before := w.end()
	w.settle()
	if err := w.bus.Provision(t.Context(), bus.Topology{HistoryDays: 91}); err != nil {
		t.Fatal(err)
	}
	w.clean(w.cleaner(w.bus, before))
	if got := w.left()["bk_a"]; got == "" {
		t.Error("purged a day too early")
	}
	w.clean(w.cleaner(w.bus, before.Add(24*time.Hour)))
	if got := w.left()["bk_a"]; got != "" {
		t.Errorf("left: %q", got)
	}
}
