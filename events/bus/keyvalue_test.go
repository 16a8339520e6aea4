package bus_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func TestKeyValue_ComparesAndSets(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.SubscriptionBucket))
	if _, there, err := kv.Get(ctx, "su_a"); there || err != nil {
		t.Fatalf("%v, %v", there, err)
	}
	first := must[uint64](t)(kv.Put(ctx, "su_a", []byte("1"), 0))
	if _, err := kv.Put(ctx, "su_a", []byte("x"), 0); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("made twice: %v", err)
	}
	second := must[uint64](t)(kv.Put(ctx, "su_a", []byte("2"), first))
	if _, err := kv.Put(ctx, "su_a", []byte("x"), first); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("changed on an old revision: %v", err)
	}
	e, there, err := kv.Get(ctx, "su_a")
	if diff := cmp.Diff(bus.Entry{Key: "su_a", Value: []byte("2"), Revision: second}, e); diff != "" || !there || err != nil {
		t.Errorf("%v, %v: %s", there, err, diff)
	}
	if err := kv.Delete(ctx, "su_a", first); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("deleted on an old revision: %v", err)
	}
	if err := kv.Delete(ctx, "su_a", second); err != nil {
		t.Error(err)
	}
	if _, there, _ := kv.Get(ctx, "su_a"); there {
		t.Error("it is still there")
	}
	must[uint64](t)(kv.Put(ctx, "su_a", []byte("3"), 0))
}

func TestKeyValue_WatchSeesWhatIsThereAndWhatChanges(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.SubscriptionBucket))
	first := must[uint64](t)(kv.Put(ctx, "su_a", []byte("1"), 0))
	seen, ready := make(chan bus.Entry, 10), make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- kv.Watch(watching, func() { close(ready) }, func(e bus.Entry) { seen <- e })
	}()
	receive(t, "ready", ready)
	if e := receive(t, "the first value", seen); string(e.Value) != "1" || e.Revision != first {
		t.Errorf("got %+v", e)
	}
	s.Restart(t)
	eventually(t, "the bus is healthy", func() bool { return b.Healthy() == nil })
	var second uint64
	eventually(t, "it is written", func() bool {
		var err error
		second, err = kv.Put(ctx, "su_a", []byte("2"), first)
		return err == nil
	})
	for e := (bus.Entry{}); e.Revision != second; {
		e = receive(t, "the change", seen)
	}
	if err := kv.Delete(ctx, "su_a", second); err != nil {
		t.Fatal(err)
	}
	for e := (bus.Entry{Value: []byte("x")}); e.Value != nil; {
		e = receive(t, "the deletion", seen)
	}
	stop()
	if err := receive(t, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTable_KeepsTheNewestOfEachSubject(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	log := b.DeliveryLog()
	subject := func(id string) string { return bus.DeliverySubject("shop", "su_a", id) }
	put := func(id, data string, expected uint64) uint64 {
		t.Helper()
		seqs, errs := log.Put(ctx, bus.Row{Subject: subject(id), Data: []byte(data), Seq: expected})
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		return seqs[0]
	}
	one := put("dl_1", "a", 0)
	put("dl_2", "a", 0)
	if _, errs := log.Put(ctx, bus.Row{Subject: subject("dl_1"), Data: []byte("other")}); !errors.Is(errs[0], bus.ErrConflict) {
		t.Errorf("made twice: %v", errs[0])
	}
	// An answer that is lost leaves it open; asking again with the same data finds what was stored.
	lost := s.Faults.Drop(1, func(f bustest.Frame) bool {
		return bustest.PubAck(f) && bytes.Contains(f.Data, []byte(bus.DeliveryLogStream))
	})
	if again := put("dl_1", "b", one); again <= one {
		t.Errorf("sequence %d after %d", again, one)
	}
	receive(t, "the lost answer", lost.Hit())
	var got []string
	end, err := log.Scan(ctx, subject("*"), 0, func(r bus.Row) error {
		got = append(got, r.Subject+" "+string(r.Data))
		return nil
	})
	if err != nil || end != 3 {
		t.Errorf("end %d, %v", end, err)
	}
	if diff := cmp.Diff([]string{subject("dl_2") + " a", subject("dl_1") + " b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeyValue_PutAfterSeesTheWholeBucket(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	kv := must[*bus.KeyValue](t)(b.KeyValue(ctx, bus.SubscriptionBucket))
	if last := must[uint64](t)(kv.Last(ctx)); last != 0 {
		t.Errorf("empty and its last is %d", last)
	}
	first := must[uint64](t)(kv.PutAfter(ctx, "su_a", []byte("1"), 0))
	if _, err := kv.PutAfter(ctx, "su_b", []byte("1"), 0); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("another key was written: %v", err)
	}
	second := must[uint64](t)(kv.PutAfter(ctx, "su_b", []byte("1"), first))
	if last := must[uint64](t)(kv.Last(ctx)); last != second {
		t.Errorf("the last is %d, not %d", last, second)
	}
	if err := kv.Delete(ctx, "su_b", second); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutAfter(ctx, "su_a", []byte("2"), second); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("a key was deleted: %v", err)
	}
	e, _, err := kv.Get(ctx, "su_a")
	if string(e.Value) != "1" || err != nil {
		t.Errorf("%q, %v", e.Value, err)
	}
}
