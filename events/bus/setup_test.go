package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/lifecycle"
)

const soon = 30 * time.Second

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// setup is a provisioned server with one connection, and a context that ends before the test would hang.
func setup(t testing.TB, topology ...bus.Topology) (context.Context, *bustest.Server, *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*soon)
	t.Cleanup(cancel)
	s := bustest.Run(t)
	b := s.Connect(t)
	bustest.Provision(t, b, topology...)
	return ctx, s, b
}

// raw is a plain client, for what the package does not do.
func raw(t testing.TB, s *bustest.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// eventually waits for a condition; the pause is between two looks at it.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// receive takes from a channel, in time.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	select {
	case v := <-c:
		return v
	case <-deadline.C:
		t.Fatalf("never: %s", what)
	}
	panic("unreachable")
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func backup(instance string, n int) events.Backup {
	id := fmt.Sprintf("bk_%026d", n)
	return events.Backup{
		BackupID: id, Project: "shop", Provider: "sqlite", Instance: instance,
		IDs:     events.NewBackupIDs(id, "", noon),
		Trigger: events.OnDemand, Door: "native", RequestID: fmt.Sprintf("rq_%026d", n),
		EnqueuedTime: events.At(noon), Verification: events.NotVerified, MaxAttempts: 3,
	}
}

// draft is a step of b; move changes the record that stands in the log before it is advanced.
func draft(b events.Backup, step events.Step, n int, move func(events.Backup) events.Backup) bus.Draft {
	return bus.Draft{
		Aggregate: b.Aggregate(), Step: step, EventID: events.EventID(b.BackupID, events.Backups, step, n), At: noon,
		Decide: func(_ context.Context, p bus.Prior) (events.Payload, error) {
			record := b
			if p.Last != nil {
				var err error
				if record, err = events.Decode[events.Backup](p.Last.Event); err != nil {
					return nil, err
				}
			}
			if move != nil {
				record = move(record)
			}
			next, err := lifecycle.Advance(record, step)
			if err != nil {
				return nil, err
			}
			return next, nil
		},
	}
}

func requested(b events.Backup) bus.Draft {
	d := draft(b, events.Requested, 0, nil)
	d.Scope = bus.ScopeInstance
	return d
}

func started(b events.Backup, attempt int, executor string) bus.Draft {
	return draft(b, events.Started, attempt, func(r events.Backup) events.Backup {
		return lifecycle.Claim(r, noon, executor)
	})
}

func succeeded(b events.Backup, attempt int) bus.Draft {
	return draft(b, events.Succeeded, attempt, func(r events.Backup) events.Backup {
		return lifecycle.Complete(r, noon.Add(time.Minute), lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 7})
	})
}

// log reads everything that is stored under a filter.
func log(ctx context.Context, t testing.TB, b *bus.Bus, filter string) []events.Stored {
	t.Helper()
	var all []events.Stored
	_, err := b.Scan(ctx, filter, 0, false, func(_ string, s events.Stored) error {
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const everything = events.EventRoot + ".>"

func names(all []events.Stored) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.ID+" "+s.Sequence)
	}
	return out
}

var errBusy = errors.New("instance is busy")
