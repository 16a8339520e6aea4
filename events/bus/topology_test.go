package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func TestProvision_AgainAndChanged(t *testing.T) {
	t.Parallel()
	first := bus.Topology{ViewShards: 4, Executors: []string{"sqlite"}}
	ctx, s, b := setup(t, first)
	before := must[bus.LogState](t)(b.State(ctx))
	bustest.Provision(t, b, first)
	bustest.Provision(t, b, bus.Topology{
		AckWait: 7 * time.Second, Executors: []string{"sqlite", "mysql"},
	})
	js := raw(t, s)
	for durable, pending := range map[string]int{
		bus.ExecutorDurable("sqlite"): 1000, bus.ExecutorDurable("mysql"): 1000,
		bus.TrackerDurable: 20_000, bus.ProgressDurable: 20_000, bus.NotifierDurable: 1000,
	} {
		stream, ok := bus.StreamOf(durable)
		if !ok {
			t.Fatalf("%s has no stream", durable)
		}
		c, err := js.Consumer(ctx, stream, durable)
		if err != nil {
			t.Fatal(err)
		}
		got := c.CachedInfo().Config
		if got.MaxAckPending != pending || got.AckWait != 7*time.Second {
			t.Errorf("%s: MaxAckPending %d, AckWait %s, want %d, 7s", durable, got.MaxAckPending, got.AckWait, pending)
		}
	}
	after := must[bus.LogState](t)(b.State(ctx))
	if after.Now.Before(before.Now) {
		t.Errorf("its clock goes back from %s to %s", before.Now, after.Now)
	}
	after.Now = before.Now
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the log became another: %s", diff)
	}
	if before.ViewShards != 4 || len(before.Epoch) != 8 {
		t.Errorf("state %+v, want 4 shards and an epoch of eight digits", before)
	}
}

func TestProvision_ChangedImmutableIsAnError(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t, bus.Topology{ViewShards: 4})
	if err := b.Provision(ctx, bus.Topology{ViewShards: 8}); !errors.Is(err, bus.ErrImmutable) {
		t.Errorf("got %v, want ErrImmutable", err)
	}
}

func TestState_OfAnotherLogHasAnotherEpoch(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	before := must[bus.LogState](t)(b.State(ctx))
	s.Restart(t)
	eventually(t, "the bus is healthy", func() bool { return b.Healthy() == nil })
	if after := must[bus.LogState](t)(b.State(ctx)); after.Epoch != before.Epoch {
		t.Error("a restart changed the epoch")
	}
	if err := raw(t, s).DeleteStream(ctx, bus.EventStream); err != nil {
		t.Fatal(err)
	}
	bustest.Provision(t, b)
	if after := must[bus.LogState](t)(b.State(ctx)); after.Epoch == before.Epoch {
		t.Error("another log has the same epoch")
	}
}

func TestConnect_WaitsForTheServerOrTheContext(t *testing.T) {
	t.Parallel()
	s := bustest.Run(t)
	s.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := bus.Connect(ctx, bus.Config{URL: s.URL()}); !errors.Is(err, bus.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnavailable and the deadline", err)
	}
	connected := make(chan *bus.Bus, 1)
	go func() { connected <- s.Connect(t) }()
	s.Start(t)
	b := receive(t, "a connection", connected)
	if err := b.Healthy(); err != nil {
		t.Error(err)
	}
	b.Close()
	b.Close()
	if err := b.Healthy(); err == nil {
		t.Error("a closed bus is healthy")
	}
}

// What Provision made is there after a restart of a single server: nothing has to be provisioned again.
func TestProvision_SurvivesARestart(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t, bus.Topology{Executors: []string{"sqlite"}})
	s.Restart(t)
	js := raw(t, s)
	for _, durable := range []string{bus.ExecutorDurable("sqlite"), bus.TrackerDurable, bus.ProgressDurable, bus.NotifierDurable} {
		stream, _ := bus.StreamOf(durable)
		if _, err := js.Consumer(ctx, stream, durable); err != nil {
			t.Errorf("%s of %s: %v", durable, stream, err)
		}
	}
	if _, err := js.Stream(ctx, bus.DeadLetterStream); err != nil {
		t.Errorf("%s: %v", bus.DeadLetterStream, err)
	}
	if _, err := b.State(ctx); err != nil {
		t.Error(err)
	}
}

// The history limit may only be raised (events.md 4.4); a log that was made before there was one has the default.
func TestProvision_HistoryIsRaisedAndNeverLowered(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	for _, c := range []struct {
		asked, days int
		refused     bool
	}{{0, 90, false}, {30, 90, true}, {-1, 90, true}, {120, 120, false}, {0, 120, false}, {119, 120, true}, {1 << 40, 120, true}, {120, 120, false}} {
		err := b.Provision(ctx, bus.Topology{HistoryDays: c.asked})
		if errors.Is(err, bus.ErrImmutable) != c.refused || err != nil && !c.refused {
			t.Errorf("%d days: %v", c.asked, err)
		}
		if got := must[bus.LogState](t)(b.State(ctx)).HistoryDays; got != c.days {
			t.Errorf("after %d days were asked for: %d, want %d", c.asked, got, c.days)
		}
	}
	stream, err := raw(t, s).Stream(ctx, bus.EventStream)
	if err != nil {
		t.Fatal(err)
	}
	older := stream.CachedInfo().Config
	older.Metadata = map[string]string{"backupbus-view-shards": "16"}
	if _, err := raw(t, s).UpdateStream(ctx, older); err != nil {
		t.Fatal(err)
	}
	if got := must[bus.LogState](t)(b.State(ctx)); got.HistoryDays != 90 || got.ViewShards != 16 {
		t.Errorf("of an older log: %+v", got)
	}
	if err := b.Provision(ctx, bus.Topology{HistoryDays: 91}); err != nil {
		t.Error(err)
	}
}

func TestProvision_RefusesAShortHistoryOfANewLog(t *testing.T) {
	t.Parallel()
	b := bustest.Run(t).Connect(t)
	if err := b.Provision(t.Context(), bus.Topology{HistoryDays: 89}); !errors.Is(err, bus.ErrImmutable) {
		t.Errorf("got %v, want ErrImmutable", err)
	}
}
