package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func write(ctx context.Context, t testing.TB, b *bus.Bus, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", n))))
	}
}

// upTo takes batches until the message with that sequence has come, and acknowledges it.
func upTo(ctx context.Context, t testing.TB, r *bus.Batches, seen map[uint64]bool, wanted uint64) {
	t.Helper()
	for !seen[wanted] {
		batch, err := r.Next(ctx, 1024)
		if err != nil {
			t.Fatalf("waiting for %d: %v", wanted, err)
		}
		for _, m := range batch {
			seen[m.Seq] = true
			if m.Seq == wanted {
				if err := r.Ack(m); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestBatches_TakeWhatWaitsAndAckAtOnce(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	write(ctx, t, b, 1, 5)
	r := must[*bus.Batches](t)(b.Batches(ctx, bus.TrackerDurable))
	defer r.Stop()
	first, err := r.Next(ctx, 2)
	if err != nil || len(first) == 0 || len(first) > 2 {
		t.Fatalf("got %d messages, %v, want one or two", len(first), err)
	}
	if ev, err := first[0].Event(); err != nil || ev.Seq != 1 {
		t.Errorf("got %d, %v, want the first event", ev.Seq, err)
	}
	upTo(ctx, t, r, map[uint64]bool{}, 5)
	settled(ctx, t, s, bus.TrackerDurable, 5)
	idle, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(idle, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nothing there: %v, want the deadline", err)
	}
	r.Stop()
	if _, err := r.Next(ctx, 2); err == nil {
		t.Error("a stopped reader goes on")
	}
}

func TestBatches_SecondReaderTakesOver(t *testing.T) {
	t.Parallel()
	ctx, s, writer := setup(t, bus.Topology{AckWait: 2 * time.Second})
	one, two := s.Connect(t), s.Connect(t)
	write(ctx, t, writer, 1, 3)
	active := must[*bus.Batches](t)(one.Batches(ctx, bus.TrackerDurable))
	seen := map[uint64]bool{}
	upTo(ctx, t, active, seen, 3)
	settled(ctx, t, s, bus.TrackerDurable, 3)

	standby := must[*bus.Batches](t)(two.Batches(ctx, bus.TrackerDurable))
	defer standby.Stop()
	write(ctx, t, writer, 4, 6)
	if batch, err := active.Next(ctx, 1024); err != nil || batch[0].Seq != 4 {
		t.Fatalf("the active reader got %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if batch, err := standby.Next(short, 1024); err == nil {
		t.Errorf("the standby got %d while another is active", batch[0].Seq)
	}
	one.Close() // nothing from 4 on is acknowledged
	write(ctx, t, writer, 7, 7)
	for _, seq := range []uint64{4, 5, 6, 7} {
		upTo(ctx, t, standby, seen, seq)
	}
	if _, err := active.Next(ctx, 1); err == nil {
		// What it holds may still come; then it ends.
		eventually(t, "the reader of a closed bus ends", func() bool {
			_, err := active.Next(ctx, 1024)
			return err != nil
		})
	}
}

func TestBatches_SurviveRestartAndDelay(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	r := must[*bus.Batches](t)(b.Batches(ctx, bus.TrackerDurable))
	defer r.Stop()
	seen := map[uint64]bool{}
	write(ctx, t, b, 1, 2)
	upTo(ctx, t, r, seen, 2)
	s.Restart(t)
	slow := s.Faults.Delay(1, 100*time.Millisecond, bustest.Delivered("backupbus."))
	write(ctx, t, b, 3, 4)
	upTo(ctx, t, r, seen, 4)
	receive(t, "a delayed message", slow.Hit())
	s.Faults.Cut()
	write(ctx, t, b, 5, 6)
	upTo(ctx, t, r, seen, 6)
}

// While the view cannot be written nothing is acknowledged, and nothing may come twice.
func TestBatches_MarksKeepWhatIsHeld(t *testing.T) {
	t.Parallel()
	const ackWait = 600 * time.Millisecond
	ctx, s, b := setup(t, bus.Topology{AckWait: ackWait})
	marks := make(chan struct{}, 100)
	s.Faults.Drop(1, func(f bustest.Frame) bool {
		if !f.ToClient && string(f.Data) == "+WPI" {
			marks <- struct{}{}
		}
		return false
	})
	write(ctx, t, b, 1, 1)
	r := must[*bus.Batches](t)(b.Batches(ctx, bus.TrackerDurable))
	defer r.Stop()
	batch, err := r.Next(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	for range 9 { // three times AckWait
		receive(t, "a mark", marks)
	}
	write(ctx, t, b, 2, 2)
	next, err := r.Next(ctx, 10)
	if err != nil || next[0].Seq != 2 {
		t.Fatalf("got %d, %v, want 2 and no redelivery", next[0].Seq, err)
	}
	if err := r.Ack(batch[0]); err != nil {
		t.Error(err)
	}
}
