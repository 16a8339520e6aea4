package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

// N1: awkward names keep the number of tokens, and wildcards find them.
func TestLast_AwkwardNames(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	must[bus.Appended](t)(b.Append(ctx, requested(backup("my db.*>", 1))))
	must[bus.Appended](t)(b.Append(ctx, requested(backup("other", 2))))
	const filter = "backupbus.v1.event.*.*.my~20db~2E~2A~3E.>"
	got, ok, err := b.Last(ctx, filter)
	if err != nil || !ok {
		t.Fatalf("found %v, %v", ok, err)
	}
	if got.Instance != "my~20db~2E~2A~3E" || got.Seq != 1 {
		t.Errorf("got instance %s at %d", got.Instance, got.Seq)
	}
	if n := len(log(ctx, t, b, filter)); n != 1 {
		t.Errorf("the filter finds %d events, want 1", n)
	}
}

func TestLast_NoneAndUnreadable(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	if _, ok, err := b.Last(ctx, everything); ok || err != nil {
		t.Fatalf("in an empty log: %v, %v", ok, err)
	}
	publishRaw(ctx, t, s, "backupbus.v1.event.shop.sqlite.orders.backup.x.requested", "no event")
	if _, _, err := b.Last(ctx, everything); !errors.Is(err, events.ErrUnreadable) {
		t.Errorf("got %v, want ErrUnreadable", err)
	}
}

func publishRaw(ctx context.Context, t testing.TB, s *bustest.Server, subject, body string) {
	t.Helper()
	if _, err := raw(t, s).PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

func TestScan_FromFilterLatestAndUnreadable(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	one, two := backup("orders", 1), backup("stock", 2)
	for _, d := range []bus.Draft{requested(one), requested(two), draft(one, events.Updated, 1, nil)} {
		must[bus.Appended](t)(b.Append(ctx, d))
	}
	publishRaw(ctx, t, s, "backupbus.v1.event.shop.sqlite.orders.backup.x.requested", "no event")
	must[bus.Appended](t)(b.Append(ctx, draft(one, events.Updated, 2, nil)))
	scope := must[string](t)(one.Aggregate().Scope())
	for _, c := range []struct {
		name, filter string
		from         uint64
		latest       bool
		want         []uint64
	}{
		{"all", everything, 0, false, []uint64{1, 2, 3, 5}},
		{"one aggregate", scope, 0, false, []uint64{1, 3, 5}},
		{"from", everything, 3, false, []uint64{3, 5}},
		{"latest", everything, 0, true, []uint64{1, 2, 5}},
		{"latest, from", everything, 2, true, []uint64{2, 5}},
		{"beyond the end", everything, 9, false, nil},
		{"nothing matches", "backupbus.v1.event.nobody.>", 0, false, nil},
	} {
		var got []uint64
		end, err := b.Scan(ctx, c.filter, c.from, c.latest, func(_ string, s events.Stored) error {
			got = append(got, s.Seq)
			return nil
		})
		if err != nil || end != 5 {
			t.Errorf("%s: end %d, %v, want 5", c.name, end, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	names := raw(t, s)
	eventually(t, "no consumer is left but the durables", func() bool {
		info, err := names.Stream(ctx, bus.EventStream)
		return err == nil && info.CachedInfo().State.Consumers == 3
	})
}

func TestScan_ErrorOfTheCallerEndsIt(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	_, err := b.Scan(ctx, everything, 0, false, func(string, events.Stored) error { return errBusy })
	if !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
}

// tail runs a Tail and passes on what it is told.
func tail(ctx context.Context, t testing.TB, b *bus.Bus, start bus.Start) (<-chan uint64, <-chan error) {
	t.Helper()
	seen, ended := make(chan uint64, 100), make(chan error, 1)
	go func() {
		ended <- b.Tail(ctx, everything, start, func(_ string, s events.Stored) error {
			seen <- s.Seq
			return nil
		})
	}()
	return seen, ended
}

func TestTail_SurvivesCutAndRestartWithoutGap(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	writer := s.ConnectWith(t, bus.Config{InProcess: s})
	tailing, stop := context.WithCancel(ctx)
	defer stop()
	seen, ended := tail(tailing, t, b, bus.Start{Seq: 1})
	next := uint64(0)
	write := func() {
		next++
		must[bus.Appended](t)(writer.Append(ctx, requested(backup("orders", int(next)))))
	}
	expect := func(from uint64) {
		t.Helper()
		for want := from; want <= next; want++ {
			if got := receive(t, fmt.Sprintf("event %d", want), seen); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
	}
	write()
	write()
	expect(1)
	s.Faults.Cut()
	write()
	expect(3)
	s.Restart(t)
	write()
	expect(4)
	stop()
	if err := receive(t, "the end of the tail", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestTail_ReordersAndLosesNothing(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	writer := s.ConnectWith(t, bus.Config{InProcess: s})
	for i := range 5 {
		must[bus.Appended](t)(writer.Append(ctx, requested(backup("orders", i+1))))
	}
	reorder := s.Faults.Reorder(1, bustest.Delivered(events.EventRoot))
	lose := s.Faults.Drop(1, bustest.Delivered(events.EventRoot))
	seen, _ := tail(ctx, t, b, bus.Start{Seq: 1})
	for want := uint64(1); want <= 5; want++ {
		if got := receive(t, "an event", seen); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	receive(t, "a reordered message", reorder.Hit())
	receive(t, "a lost message", lose.Hit())
}

func TestTail_NewOnlyAndByTime(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	stored := must[*jetstream.RawStreamMsg](t)(must[jetstream.Stream](t)(raw(t, s).Stream(ctx, bus.EventStream)).GetMsg(ctx, 1))
	byTime, _ := tail(ctx, t, b, bus.Start{Time: stored.Time})
	if got := receive(t, "the stored event", byTime); got != 1 {
		t.Errorf("by time: got %d, want 1", got)
	}
	fresh, _ := tail(ctx, t, b, bus.Start{})
	n := 1
	eventually(t, "a new event arrives", func() bool {
		n++
		must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", n))))
		return len(fresh) > 0
	})
	if got := <-fresh; got == 1 {
		t.Error("an old event arrived")
	}
}

// N6: a thousand progress events of a backup leave one message.
func TestProgress_LastOneIsKept(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	p := events.Progress{BackupID: backup("orders", 1).BackupID, Project: "shop", Provider: "sqlite", Instance: "orders",
		Attempt: 1, Phase: events.Copying}
	heard := make(chan events.Stored, 1000)
	go func() {
		_ = b.TailProgress(ctx, events.ProgressRoot+".>", func(_ string, s events.Stored) error { heard <- s; return nil })
	}()
	for i := range 1000 {
		p.Ordinal = i + 1
		if err := b.PublishProgress(ctx, p, events.FormatSequence(2), noon, events.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	js := raw(t, s)
	eventually(t, "all have arrived", func() bool {
		info, err := js.Stream(ctx, bus.ProgressStream)
		return err == nil && info.CachedInfo().State.LastSeq == 1000 && info.CachedInfo().State.Msgs == 1
	})
	last, ok, err := b.Last(ctx, must[string](t)(p.Aggregate().ProgressSubject()))
	if err != nil || !ok || last.Sequence != "0000000002.001000" {
		t.Errorf("last is %s, %v, %v", last.Sequence, ok, err)
	}
	eventually(t, "the tail hears of progress", func() bool {
		p.Ordinal++
		if err := b.PublishProgress(ctx, p, events.FormatSequence(2), noon, events.Cause{}); err != nil {
			t.Fatal(err)
		}
		return len(heard) > 0
	})
	if err := b.PublishProgress(ctx, events.Progress{}, "", noon, events.Cause{}); err == nil {
		t.Error("progress of nothing is no error")
	}
}

func TestListen_HearsCancelUntilStopped(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	heard := make(chan events.Event, 10)
	stop, err := b.Listen(events.CancelFilter("sqlite"), func(e events.Event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	cancel := func(n int) {
		bk := backup("orders", n)
		must[bus.Appended](t)(b.Append(ctx, requested(bk)))
		must[bus.Appended](t)(b.Append(ctx, draft(bk, events.CancelRequested, 0, func(r events.Backup) events.Backup { return r })))
	}
	cancel(1)
	if got := receive(t, "the cancel", heard); got.Step() != events.CancelRequested {
		t.Errorf("heard %s", got.Type)
	}
	stop()
	cancel(2)
	if _, err := b.State(ctx); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 0 {
		t.Error("heard after stop")
	}
}
