package lifecycle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// life draws a legal life of one backup as the events that its writers append.
func life(t *rapid.T) []events.Event {
	at := time.Date(2026, 1, 15, 2, 0, 0, 0, time.UTC)
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", RequestID: "rq_x"}
	var out []events.Event
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		var legal []events.Step
		for _, s := range backupSteps {
			if s == events.ProgressStep || s == events.Overdue {
				continue
			}
			if _, err := lifecycle.Advance(b, s); err == nil {
				legal = append(legal, s)
			}
		}
		if len(legal) == 0 {
			break
		}
		step := rapid.SampledFrom(legal).Draw(t, "step")
		at = at.Add(time.Second)
		n := len(out) + 1
		next := b
		switch step {
		case events.Requested:
			next.MaxAttempts = 3
		case events.Started:
			next = lifecycle.Claim(b, at, "ex")
		case events.DeletionRequested:
			next = lifecycle.AskDeletion(b, events.Deletion{Cause: "USER"})
		case events.Deleted:
			next = lifecycle.Remove(b, at, 1)
		}
		var err error
		if b, err = lifecycle.Advance(next, step); err != nil {
			t.Fatal(err)
		}
		ev, err := events.New("bus.local", b, step, events.EventID("bk_x", events.Backups, step, n), uint64(n), at, events.Cause{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	}
	return out
}

// delivery doubles and shuffles.
func delivery(t *rapid.T, evs []events.Event) []events.Event {
	seen := append([]events.Event{}, evs...)
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(evs)-1), 0, 8).Draw(t, "again") {
		seen = append(seen, evs[i])
	}
	return rapid.Permutation(seen).Draw(t, "order")
}

type folded struct {
	lifecycle.Head
	Data string
}

func fold(t *rapid.T, evs []events.Event) folded {
	var f folded
	for _, ev := range evs {
		h, v := lifecycle.Fold(f.Head, ev)
		switch v {
		case lifecycle.Applied:
			f.Data = string(ev.Data)
		case lifecycle.Old:
		default:
			t.Fatalf("%s: %s", ev.ID, v)
		}
		f.Head = h
	}
	return f
}

// Case S2, and S17 for one aggregate.
func TestFold_OrderAndDuplicatesChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := life(t)
		inOrder := fold(t, all)
		if diff := cmp.Diff(inOrder, fold(t, delivery(t, all))); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(inOrder, fold(t, all[len(all)-1:])); diff != "" {
			t.Fatalf("from the last event alone:\n%s", diff)
		}
	})
}

func TestFold_Verdicts(t *testing.T) {
	t.Parallel()
	base := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", MaxAttempts: 1}
	make := func(b events.Backup, step events.Step, id string, n uint64) events.Event {
		b.Step = step
		ev, err := events.New("bus.local", b, step, id, n, time.Unix(1, 0), events.Cause{})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	enqueued, running := base, base
	enqueued.State = lifecycle.Enqueued
	running.State, running.PreviousState = lifecycle.Running, lifecycle.Enqueued
	first, second := make(enqueued, events.Requested, "a", 1), make(running, events.Started, "b", 2)
	head, v := lifecycle.Fold(lifecycle.Head{}, first)
	if v != lifecycle.Applied {
		t.Fatal(v)
	}
	head, v = lifecycle.Fold(head, second)
	if v != lifecycle.Applied {
		t.Fatal(v)
	}
	lied := running
	lied.PreviousState = lifecycle.Successful
	other := second
	other.Type = "dev.backupbus.backup.moved.v1"
	newer := second
	newer.Type, newer.Sequence = "dev.backupbus.backup.started.v2", "0000000003"
	odd := make(running, events.Started, "c", 3)
	odd.Sequence = "3"
	torn := make(running, events.Started, "c", 3)
	torn.Data = []byte(`{"state":`)
	renamed := make(running, events.Started, "c", 2)
	for name, c := range map[string]struct {
		ev   events.Event
		want lifecycle.Verdict
	}{
		"older":                                {first, lifecycle.Old},
		"the same again":                       {second, lifecycle.Old},
		"the same sequence with another id":    {renamed, lifecycle.Conflict}, // S3
		"unknown step":                         {other, lifecycle.Unknown},
		"unknown major version":                {newer, lifecycle.Unknown},
		"no row of the table":                  {make(lied, events.Started, "c", 3), lifecycle.Illegal},
		"state that the step does not lead to": {make(enqueued, events.Started, "c", 3), lifecycle.Illegal},
		"sequence of another form":             {odd, lifecycle.Malformed},
		"data that is no JSON":                 {torn, lifecycle.Malformed},
		"a gap":                                {make(running, events.Started, "d", 9), lifecycle.Applied},
	} {
		got, v := lifecycle.Fold(head, c.ev)
		if v != c.want {
			t.Errorf("%s: %s, want %s", name, v, c.want)
		}
		if v != lifecycle.Applied && got != head {
			t.Errorf("%s: the head moved", name)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	rec := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", State: lifecycle.Enqueued, MaxAttempts: 1}
	ev, err := events.New("bus.local", rec, events.Requested, "a", 1, time.Unix(1, 0), events.Cause{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, v := lifecycle.Fold(lifecycle.Head{}, ev); v != lifecycle.Applied {
			b.Fatal(v)
		}
	}
}
