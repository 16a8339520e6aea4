package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
)

func subjectOf(t *testing.T, b events.Backup) events.Subject {
	t.Helper()
	text, err := b.Aggregate().EventSubject(events.Requested)
	if err != nil {
		t.Fatal(err)
	}
	s, err := events.ParseSubject(text)
	if err != nil {
		t.Fatal(err)
	}
	if scope, err := b.Aggregate().Scope(); err != nil || scope != s.Scope() {
		t.Fatalf("scope %q, want %q, %v", s.Scope(), scope, err)
	}
	return s
}

// Case S19, and that numbers and compare-and-set go on after the history before them was purged.
func TestPurge_LeavesWhatCameSinceAndOthers(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	one, other := backup("orders", 1), backup("users", 2)
	for _, d := range []bus.Draft{requested(one), requested(other), started(one, 1, "ex"), succeeded(one, 1)} {
		if _, err := b.Append(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	last, _, err := b.Last(ctx, subjectOf(t, one).Scope())
	if err != nil {
		t.Fatal(err)
	}
	asked := draft(one, events.DeletionRequested, 1, func(r events.Backup) events.Backup {
		return lifecycle.AskDeletion(r, events.Deletion{Cause: "USER"})
	})
	if _, err := b.Append(ctx, asked); err != nil { // between the read and the purge
		t.Fatal(err)
	}
	for _, want := range []int{3, 0} {
		if n, err := b.Purge(ctx, subjectOf(t, one), last.Seq+1); n != want || err != nil {
			t.Errorf("%d purged, want %d: %v", n, want, err)
		}
	}
	left := names(log(ctx, t, b, everything))
	if diff := cmp.Diff([]string{other.BackupID + "-requested 0000000001", one.BackupID + "-deletion_requested-1 0000000004"}, left); diff != "" {
		t.Error(diff)
	}
	gone := draft(one, events.Deleted, 0, func(r events.Backup) events.Backup { return lifecycle.Remove(r, noon, 1) })
	if done, err := b.Append(ctx, gone); err != nil || done.Sequence != "0000000005" {
		t.Errorf("the next event: %s, %v", done.Sequence, err)
	}
	if _, err := b.Purge(ctx, subjectOf(t, one), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(ctx, requested(backup("orders", 3))); err != nil {
		t.Errorf("the next backup of the instance: %v", err)
	}
}

func TestPurge_OfNothingInParticularIsRefused(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	for _, err := range []error{second(b.Purge(ctx, events.Subject{}, 7)), second(b.Purge(ctx, subjectOf(t, backup("orders", 1)), 0))} {
		if err == nil {
			t.Error("purged")
		}
	}
}

// A survey ends at the first event that is not older, and tells of what cannot be read.
func TestSurvey_OfWhatIsOlder(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	one := backup("orders", 1)
	if _, err := b.Append(ctx, requested(one)); err != nil {
		t.Fatal(err)
	}
	s.PublishRaw(t, "backupbus.v1.event.shop.sqlite.orders.backup.bk_x.requested", []byte("no event"))
	stored := func() (all []events.Stored) {
		_, err := b.Replay(ctx, everything, bus.Start{}, func(_ string, ev events.Stored) error { all = append(all, ev); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if _, err := b.Append(ctx, started(one, 1, "ex")); err != nil {
		t.Fatal(err)
	}
	all := stored()
	for _, c := range []struct {
		before time.Time
		want   []string
	}{
		{all[0].Kept, nil},
		{all[1].Kept, []string{"event", "none"}},
		{time.Now().Add(time.Hour), []string{"event", "none", "event"}},
	} {
		var got []string
		err := b.Survey(ctx, c.before, func(_ string, _ uint64, ev *events.Event) {
			got = append(got, map[bool]string{true: "event", false: "none"}[ev != nil])
		})
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("before %s: %v\n%s", c.before, err, diff)
		}
	}
}

// What a reading still waits for may be purged under it, after the server has said of the one before that one more is to
// come: it ends all the same.
func TestScan_EndsWhenItsLastEventIsPurged(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	const fetchedAtOnce = 1024
	payload, err := lifecycle.Advance(backup("orders", 1), events.Requested)
	if err != nil {
		t.Fatal(err)
	}
	ev := must[events.Event](t)(events.New("bus.local", payload, events.Requested, "bk-requested", 1, noon, events.Cause{}))
	for n := range fetchedAtOnce + 1 {
		s.Publish(t, fmt.Sprintf("backupbus.v1.event.shop.sqlite.orders.backup.bk_%d.requested", n+1), ev)
	}
	last := events.Subject{Project: "shop", Provider: "sqlite", Instance: "orders", Entity: events.Backups, ID: fmt.Sprintf("bk_%d", fetchedAtOnce+1)}
	seen := 0
	_, err = b.Scan(ctx, everything, 1, false, func(_ string, ev events.Stored) error {
		if seen++; seen == 1 {
			_, err := b.Purge(ctx, last, fetchedAtOnce+2)
			return err
		}
		return nil
	})
	if err != nil || seen != fetchedAtOnce {
		t.Errorf("%d seen, %v", seen, err)
	}
}

func second[T any](_ T, err error) error { return err }
