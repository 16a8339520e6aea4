package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events/bus"
)

// ticks collects what goes out; a channel of its own tells of each.
type ticks struct {
	mu   sync.Mutex
	seen map[string]int
	came chan bus.Timer
}

func listen(ctx context.Context, t *testing.T, b *bus.Bus) *ticks {
	t.Helper()
	k := &ticks{seen: map[string]int{}, came: make(chan bus.Timer, 10_000)}
	handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.TicksDurable, func(msg *message.Message) error {
		timer, err := bus.TickOf(msg)
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.seen[timer.Key]++
		k.mu.Unlock()
		k.came <- timer
		return nil
	})
	return k
}

func TestTimers_GoOutOnceAtTheirTime(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	k := listen(ctx, t, b)
	at := time.Now().Add(300 * time.Millisecond)
	if err := b.Arm(ctx, bus.Timer{Key: "slot.sc_a", At: at, Data: []byte(`{"due":1}`)}); err != nil {
		t.Fatal(err)
	}
	armed, err := b.Armed(ctx, "slot")
	if err != nil || !armed["slot.sc_a"] || len(armed) != 1 {
		t.Errorf("%v, %v", armed, err)
	}
	got := receive(t, "the tick", k.came)
	if early := time.Until(at); early > 0 || got.Key != "slot.sc_a" || string(got.Data) != `{"due":1}` {
		t.Errorf("%s early: %+v", early, got)
	}
	if armed, err := b.Armed(ctx, "slot"); err != nil || len(armed) != 0 {
		t.Errorf("after it went out: %v, %v", armed, err)
	}
	if err := b.Arm(ctx, bus.Timer{Key: "slot.past", At: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "a past time", k.came); got.Key != "slot.past" {
		t.Errorf("%+v", got)
	}
}

func TestTimers_AreReplacedAndTakenBack(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	k := listen(ctx, t, b)
	soonest := time.Now().Add(400 * time.Millisecond)
	for key, data := range map[string]string{"slot.a": "old", "slot.gone": "x"} {
		if err := b.Arm(ctx, bus.Timer{Key: key, At: soonest, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Arm(ctx, bus.Timer{Key: "slot.a", At: soonest, Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	if err := b.Disarm(ctx, "slot.gone"); err != nil {
		t.Fatal(err)
	}
	if err := b.Disarm(ctx, "slot.never"); err != nil {
		t.Errorf("taking back what is not there: %v", err)
	}
	if err := b.Arm(ctx, bus.Timer{Key: "slot.last", At: soonest.Add(300 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "the replaced one", k.came); got.Key != "slot.a" || string(got.Data) != "new" {
		t.Errorf("%+v", got)
	}
	if got := receive(t, "the last", k.came); got.Key != "slot.last" {
		t.Errorf("%+v came, and was replaced or taken back", got)
	}
}

func TestTimers_OutliveTheServerAndWhoArmedThem(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	if err := b.Arm(ctx, bus.Timer{Key: "slot.a", At: time.Now().Add(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start(t)
	k := listen(ctx, t, s.Connect(t))
	if got := receive(t, "the tick that fell due while the server was away", k.came); got.Key != "slot.a" {
		t.Errorf("%+v", got)
	}
}

func TestTimers_ManyAtOnce(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	at := time.Now().Add(time.Second)
	const n = 2000
	for i := range n {
		if err := b.Arm(ctx, bus.Timer{Key: fmt.Sprintf("slot.%d", i), At: at}); err != nil {
			t.Fatal(err)
		}
	}
	k := listen(ctx, t, b)
	for range n {
		receive(t, "every tick", k.came)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) != n {
		t.Errorf("%d of %d", len(k.seen), n)
	}
}

func TestTimers_RefuseWhatIsNoKey(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	for _, key := range []string{"", ".", "a..b", "a b", "a.*", ">", "ä"} {
		if err := b.Arm(ctx, bus.Timer{Key: key}); err == nil {
			t.Errorf("%q was armed", key)
		}
		if err := b.Disarm(ctx, key); err == nil {
			t.Errorf("%q was disarmed", key)
		}
	}
	if err := b.Arm(ctx, bus.Timer{Key: "a", Data: make([]byte, 2000)}); err == nil {
		t.Error("too much data was armed")
	}
}
