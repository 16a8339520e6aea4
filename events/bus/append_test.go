package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func TestAppend_WholeLifeHasContiguousSequences(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	bk := backup("orders", 1)
	for i, d := range []bus.Draft{requested(bk), started(bk, 1, "ex1"), succeeded(bk, 1)} {
		a, err := b.Append(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		if a.Repeat || a.Seq != uint64(i+1) {
			t.Errorf("%s: repeat %v, stream sequence %d, want false, %d", d.Step, a.Repeat, a.Seq, i+1)
		}
	}
	want := []string{
		bk.BackupID + "-requested 0000000001",
		bk.BackupID + "-started-1 0000000002",
		bk.BackupID + "-succeeded-1 0000000003",
	}
	all := log(ctx, t, b, everything)
	if diff := cmp.Diff(want, names(all)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(events.State("SUCCESSFUL"), all[2].State); diff != "" {
		t.Error(diff)
	}
}

func TestAppend_AgainFindsWhatIsStored(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	d := requested(backup("orders", 1))
	first := must[bus.Appended](t)(b.Append(ctx, d))
	second := must[bus.Appended](t)(b.Append(ctx, d))
	if first.Repeat || !second.Repeat {
		t.Errorf("repeat is %v, %v, want false, true", first.Repeat, second.Repeat)
	}
	if diff := cmp.Diff(first.Stored, second.Stored); diff != "" {
		t.Error(diff)
	}
}

// S4: two executors read the same requested.
func TestAppend_OneOfTwoExecutorsClaims(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	other := s.Connect(t)
	bk := backup("orders", 1)
	must[bus.Appended](t)(b.Append(ctx, requested(bk)))
	var wg sync.WaitGroup
	var claimed atomic.Int32
	for name, conn := range map[string]*bus.Bus{"ex1": b, "ex2": other} {
		wg.Go(func() {
			a, err := conn.Append(ctx, started(bk, 1, name))
			if err != nil {
				t.Error(err)
				return
			}
			record, err := events.Decode[events.Backup](a.Event)
			if err != nil {
				t.Error(err)
			}
			if record.ExecutorID == name {
				claimed.Add(1)
			} else if !a.Repeat {
				t.Error("the loser was not told")
			}
		})
	}
	wg.Wait()
	if n := claimed.Load(); n != 1 {
		t.Errorf("%d executors claimed, want 1", n)
	}
	if all := log(ctx, t, b, everything); len(all) != 2 {
		t.Errorf("log holds %v, want requested and one started", names(all))
	}
}

// S13: 50 simultaneous creations for one instance, and for another.
func TestAppend_OneOfFiftyCreatorsWins(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	won := map[string]*atomic.Int32{"orders": {}, "stock": {}}
	var wg sync.WaitGroup
	for i := range 100 {
		instance := []string{"orders", "stock"}[i%2]
		wg.Go(func() {
			d := requested(backup(instance, i+1))
			decide := d.Decide
			d.Decide = func(ctx context.Context, p bus.Prior) (events.Payload, error) {
				if p.ScopeSeq != 0 {
					return nil, errBusy
				}
				return decide(ctx, p)
			}
			switch _, err := b.Append(ctx, d); {
			case err == nil:
				won[instance].Add(1)
			case !errors.Is(err, errBusy):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for instance, n := range won {
		if n.Load() != 1 {
			t.Errorf("%d creators won on %s, want 1", n.Load(), instance)
		}
	}
	if all := log(ctx, t, b, everything); len(all) != 2 {
		t.Errorf("log holds %v, want one requested of each instance", names(all))
	}
}

func TestAppend_NameScopeSpansProviders(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	register := func(provider string) error {
		id := must[string](t)(events.InstanceID("shop", provider, "orders"))
		in := events.Instance{Project: "shop", InstanceID: id, Provider: provider, Instance: "orders", Generation: 1}
		_, err := b.Append(ctx, bus.Draft{
			Aggregate: in.Aggregate(), Step: events.Registered, Scope: bus.ScopeName, At: noon,
			EventID: events.EventID(id, events.Instances, events.Registered, 1),
			Decide: func(_ context.Context, p bus.Prior) (events.Payload, error) {
				if p.ScopeSeq != 0 && p.Last == nil {
					return nil, errBusy
				}
				return in, nil
			},
		})
		return err
	}
	if err := register("sqlite"); err != nil {
		t.Fatal(err)
	}
	if err := register("mysql"); !errors.Is(err, errBusy) {
		t.Errorf("the name was given twice: %v", err)
	}
	if err := register("sqlite"); err != nil {
		t.Errorf("a repeat: %v", err)
	}
}

func TestAppend_LostPubAckStoresOnce(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	fault := s.Faults.Drop(1, bustest.PubAck)
	a := must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	receive(t, "a PubAck to drop", fault.Hit())
	if !a.Repeat || a.Seq != 1 {
		t.Errorf("repeat %v, sequence %d, want true, 1", a.Repeat, a.Seq)
	}
	if all := log(ctx, t, b, everything); len(all) != 1 {
		t.Errorf("log holds %v, want one event", names(all))
	}
}

func TestAppend_DoubledPublishStoresOnce(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	fault := s.Faults.Double(2, bustest.Published(events.EventRoot))
	bk := backup("orders", 1)
	must[bus.Appended](t)(b.Append(ctx, requested(bk)))
	must[bus.Appended](t)(b.Append(ctx, started(bk, 1, "ex1")))
	receive(t, "a message to double", fault.Hit())
	want := []string{bk.BackupID + "-requested 0000000001", bk.BackupID + "-started-1 0000000002"}
	if diff := cmp.Diff(want, names(log(ctx, t, b, everything))); diff != "" {
		t.Error(diff)
	}
}

// A PubAck with `duplicate` for an id that is no longer the aggregate's last event: never an endless loop,
// and nothing stored.
func TestAppend_DuplicateOfAnOlderEventIsRefused(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	bk := backup("orders", 1)
	update := func(n int) bus.Draft { return draft(bk, events.Updated, n, nil) }
	for _, d := range []bus.Draft{requested(bk), update(1), update(2)} {
		must[bus.Appended](t)(b.Append(ctx, d))
	}
	if _, err := b.Append(ctx, update(1)); !errors.Is(err, bus.ErrContended) {
		t.Errorf("got %v, want ErrContended", err)
	}
	if n := len(log(ctx, t, b, everything)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestAppend_GivesUpAfterTenLostRounds(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	rival := s.Connect(t)
	bk := backup("orders", 1)
	must[bus.Appended](t)(b.Append(ctx, requested(bk)))
	rounds := 0
	d := draft(bk, events.Updated, 1, nil)
	decide := d.Decide
	d.Decide = func(ctx context.Context, p bus.Prior) (events.Payload, error) {
		rounds++
		if _, err := rival.Append(ctx, draft(bk, events.Updated, 100+rounds, nil)); err != nil {
			t.Error(err)
		}
		return decide(ctx, p)
	}
	if _, err := b.Append(ctx, d); !errors.Is(err, bus.ErrContended) {
		t.Errorf("got %v, want ErrContended", err)
	}
	if rounds != 10 {
		t.Errorf("%d rounds, want 10", rounds)
	}
}

func TestAppend_IllegalStoresNothing(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	bk := backup("orders", 1)
	unasked := draft(bk, events.Succeeded, 1, nil)
	notAdvanced := requested(bk)
	notAdvanced.Decide = func(context.Context, bus.Prior) (events.Payload, error) { return bk, nil }
	another := requested(bk)
	another.Decide = requested(backup("stock", 2)).Decide
	empty := requested(bk)
	empty.Decide = func(context.Context, bus.Prior) (events.Payload, error) { return nil, nil }
	for name, d := range map[string]bus.Draft{"illegal": unasked, "not advanced": notAdvanced} {
		if _, err := b.Append(ctx, d); !errors.Is(err, bus.ErrIllegal) {
			t.Errorf("%s: got %v, want ErrIllegal", name, err)
		}
	}
	for name, d := range map[string]bus.Draft{"another backup": another, "no payload": empty, "no draft": {}} {
		if _, err := b.Append(ctx, d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if all := log(ctx, t, b, everything); len(all) != 0 {
		t.Errorf("log holds %v, want nothing", names(all))
	}
}

func TestAppend_SurvivesServerRestart(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	bk := backup("orders", 1)
	must[bus.Appended](t)(b.Append(ctx, requested(bk)))
	d := started(bk, 1, "ex1")
	decide, first := d.Decide, true
	d.Decide = func(ctx context.Context, p bus.Prior) (events.Payload, error) {
		if first {
			first = false
			s.Restart(t)
		}
		return decide(ctx, p)
	}
	must[bus.Appended](t)(b.Append(ctx, d))
	want := []string{bk.BackupID + "-requested 0000000001", bk.BackupID + "-started-1 0000000002"}
	if diff := cmp.Diff(want, names(log(ctx, t, b, everything))); diff != "" {
		t.Error(diff)
	}
}

func TestAppend_ServerGone(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	s.Stop()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := b.Append(short, requested(backup("orders", 1))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	if _, err := b.Append(ctx, requested(backup("orders", 1))); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("without: %v, want ErrUnavailable", err)
	}
	if err := b.Healthy(); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("healthy: %v, want ErrUnavailable", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	ctx := context.Background()
	s := bustest.Run(b)
	conn := s.ConnectWith(b, bus.Config{InProcess: s})
	bustest.Provision(b, conn)
	var n atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d := requested(backup("orders", int(n.Add(1))))
			d.Scope = bus.ScopeAggregate
			if _, err := conn.Append(ctx, d); err != nil {
				b.Error(err)
			}
		}
	})
}
