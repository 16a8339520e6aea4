package janitor_test

import (
	"context"
	"errors"
	"fmt"
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
	for _, id := range []string{"bk_unreadable", "bk_unknown", "bk_illegal", "bk_late"} {
		w.live(id, "requested started failed")
	}
	w.n["bk_late"] = 1 // an event that comes behind one with a higher sequence is not the one that counts
	late := backup("bk_late")
	late.PreviousState, late.State, late.Step = lifecycle.Enqueued, lifecycle.Running, events.Started
	w.write(late, events.Started)
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
	now := func() time.Time { return w.end().Add(limit) }
	j := janitor.New(clocked{w.bus, now}, behind{}, w, slog.New(slog.DiscardHandler), now)
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

// A clock that is far from that of the log's server ends nothing.
func TestClean_TrustsNoClockThatIsFarOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live("bk_gone", "requested started failed")
	whole := w.left()
	for _, ahead := range []time.Duration{365 * 24 * time.Hour, 11 * time.Minute, -11 * time.Minute} {
		j := janitor.New(w.bus, w.proj, w, slog.New(slog.DiscardHandler), func() time.Time { return time.Now().Add(ahead) })
		if err := j.Clean(t.Context()); err == nil || !strings.Contains(err.Error(), "clock") {
			t.Errorf("%s ahead: %v", ahead, err)
		}
	}
	if diff := cmp.Diff(whole, w.left()); diff != "" || len(w.tally) > 0 {
		t.Errorf("%s\npurged %v", diff, w.tally)
	}
}
