package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func TestLead_OneLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	ctx, s, _ := setup(t)
	var leaders, most atomic.Int32
	var wg sync.WaitGroup
	started := make(chan string, 10)
	stops := map[string]context.CancelFunc{}
	for i := range 3 {
		kv := must[*bus.KeyValue](t)(s.Connect(t).KeyValue(ctx, bus.NotifierStateBucket))
		name := fmt.Sprint("replica-", i)
		alive, stop := context.WithCancel(ctx)
		stops[name] = stop
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = kv.Lead(alive, bus.Lease{Key: "active", Holder: name, Patience: 2 * time.Second, Now: time.Now}, func(ctx context.Context, held func() bool) error {
				if !held() {
					t.Error("it leads and does not know so")
				}
				if n := leaders.Add(1); n > most.Load() {
					most.Store(n)
				}
				started <- name
				<-ctx.Done()
				leaders.Add(-1)
				return ctx.Err()
			})
		}()
	}
	for range 3 {
		stops[receive(t, "a leader", started)]()
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d led at once", most.Load())
	}
}

// A process that dies renews no more: its lease is left as it stands.
func TestLead_LeaseOfADeadProcessIsTaken(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.NotifierStateBucket))
	must[uint64](t)(kv.Put(ctx, "active", []byte("the dead one"), 0))
	other := must[*bus.KeyValue](t)(s.Connect(t).KeyValue(ctx, bus.NotifierStateBucket))
	led := errors.New("led")
	if err := other.Lead(ctx, bus.Lease{Key: "active", Holder: "b", Patience: time.Second, Now: time.Now}, func(context.Context, func() bool) error { return led }); !errors.Is(err, led) {
		t.Error(err)
	}
}

// Who cannot renew knows that it may have lost the lease before anybody else has it, whatever has become of its context.
func TestLead_HeldEndsBeforeAnotherLeads(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	cut := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.NotifierStateBucket))
	held, led := make(chan func() bool, 1), errors.New("led")
	alive, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cut.Lead(alive, bus.Lease{Key: "active", Holder: "a", Patience: time.Second, Now: time.Now}, func(_ context.Context, h func() bool) error {
			held <- h
			<-alive.Done() // it does not look at its own
			return nil
		})
	}()
	h := receive(t, "a leader", held)
	if !h() {
		t.Error("it leads and does not know so")
	}
	b.Close()
	other := must[*bus.KeyValue](t)(s.Connect(t).KeyValue(ctx, bus.NotifierStateBucket))
	err := other.Lead(ctx, bus.Lease{Key: "active", Holder: "b", Patience: time.Second, Now: time.Now}, func(context.Context, func() bool) error {
		if h() {
			t.Error("the other one still holds it")
		}
		return led
	})
	if !errors.Is(err, led) {
		t.Error(err)
	}
	stop()
	<-ended
}

// The answers to the renewals are lost: who leads reads that they hold, and goes on.
func TestLead_RenewalsWithoutAnAnswerHold(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.NotifierStateBucket))
	alive, stop := context.WithCancel(ctx)
	type leading struct {
		ctx  context.Context
		held func() bool
	}
	led, ended := make(chan leading, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = kv.Lead(alive, bus.Lease{Key: "active", Holder: "a", Patience: 2 * time.Second, Now: time.Now}, func(ctx context.Context, held func() bool) error {
			led <- leading{ctx, held}
			<-ctx.Done()
			return nil
		})
	}()
	l := receive(t, "a leader", led)
	const many = 6
	lost := make(chan struct{}, many)
	s.Faults.Drop(many, func(f bustest.Frame) bool {
		if !bustest.PubAck(f) || !bytes.Contains(f.Data, []byte(bus.NotifierStateBucket)) {
			return false
		}
		lost <- struct{}{}
		return true
	})
	for n := range many {
		receive(t, "a renewal", lost)
		if !l.held() || l.ctx.Err() != nil {
			t.Fatalf("not held at renewal %d: %v", n, l.ctx.Err())
		}
	}
	stop()
	<-ended
}

// The renewals do not arrive, and what was there before can be read: that is none.
func TestLead_IsLostWithoutRenewals(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.NotifierStateBucket))
	led := errors.New("led")
	times := 0
	err := kv.Lead(ctx, bus.Lease{Key: "active", Holder: "a", Patience: time.Second, Now: time.Now}, func(ctx context.Context, held func() bool) error {
		if times++; times > 1 {
			return led
		}
		s.Faults.Drop(4, bustest.Published("$KV."+bus.NotifierStateBucket+".active"))
		receive(t, "the loss", ctx.Done())
		return nil
	})
	if !errors.Is(err, led) {
		t.Error(err)
	}
}
