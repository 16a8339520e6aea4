package bus_test

import (
	"fmt"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

// A reading of the latest events has all of them, also while older ones are purged: the server then says too little of
// how many are still to come.
func TestScan_LatestBesideAPurge(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]events.Step{"of what is no subject's latest": events.Requested, "of what is": events.Started} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			latestBesideAPurge(t, second)
		})
	}
}

func latestBesideAPurge(t *testing.T, second events.Step) {
	t.Helper()
	_, server, b := setup(t)
	ctx := t.Context() // what is published takes its time where tests run beside it
	const many = 1500  // more than are fetched at once
	at := make([]events.Subject, many)
	for n := range many {
		bk := backup("orders", n)
		bk.Instance = fmt.Sprint("i", n) // another aggregate's scope each
		a := bk.Aggregate()
		at[n] = events.Subject{Project: a.Project, Provider: a.Provider, Instance: a.Instance, Entity: a.Entity, ID: a.ID}
		for k, step := range []events.Step{events.Requested, second} {
			bk.State, bk.Step = "ENQUEUED", step
			ev := must[events.Event](t)(events.New("bus.local", bk, step, fmt.Sprint(bk.BackupID, "-", k), uint64(k+1), noon, events.Cause{}))
			server.Publish(t, must[string](t)(a.EventSubject(step)), ev)
		}
	}
	state := must[bus.LogState](t)(b.State(ctx))
	seen, purged := map[string]bool{}, false
	_, err := b.Scan(ctx, events.AllEvents, 1, true, func(subject string, _ events.Stored) error {
		seen[subject] = true
		if purged {
			return nil
		}
		purged = true
		for n := range 40 { // the first of two
			if _, err := b.Purge(ctx, at[many-1-n], state.Last-2*uint64(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range many {
		subject, err := backupAt(at[n]).EventSubject(second)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[subject] {
			t.Fatalf("of %d backups %d were seen; not that of %s", many, len(seen), subject)
		}
	}
}

func backupAt(s events.Subject) events.Aggregate {
	return events.Aggregate{Project: s.Project, Provider: s.Provider, Instance: s.Instance, Entity: s.Entity, ID: s.ID}
}
