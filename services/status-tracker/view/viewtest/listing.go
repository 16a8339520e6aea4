package viewtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// testRanks: counts and pages by rank say what Range says.
func testRanks(t *testing.T, h Harness) {
	s := h.Open(t)
	const key = "bb:{v00}:set:x"
	var w view.Writes
	var all []string
	for n := range 500 { // more than a node of a tree holds
		all = append(all, fmt.Sprintf("%04d", n*2))
		w.Add = append(w.Add, view.Member{Set: key, Value: all[n]})
	}
	commit(t, s, w)
	for _, c := range []struct {
		after, before string
		want          int
	}{
		{"", "", 500}, {"0000", "", 499}, {"0001", "", 499}, {"", "0998", 499}, {"", "0999", 500}, {"0100", "0102", 0}, {"0100", "0104", 1},
		{"0099", "0201", 51}, {"2", "", 0}, {"", "00", 0}, {"0500", "0100", 0},
	} {
		n, err := s.Count(t.Context(), key, c.after, c.before)
		if n != c.want || err != nil {
			t.Errorf("between %q and %q: %d, %v, want %d", c.after, c.before, n, err, c.want)
		}
	}
	for _, c := range []struct{ rank, limit, from, to int }{
		{0, 3, 0, 3}, {0, 1000, 0, 500}, {250, 10, 250, 260}, {498, 10, 498, 500}, {500, 10, 0, 0}, {1 << 40, 10, 0, 0}, {5, 0, 0, 0},
	} {
		got, err := s.Ranked(t.Context(), key, c.rank, c.limit)
		if diff := cmp.Diff(all[c.from:c.to], append([]string{}, got...)); diff != "" || err != nil {
			t.Errorf("%d from rank %d on: %v\n%s", c.limit, c.rank, err, diff)
		}
	}
	if n, err := s.Count(t.Context(), "bb:{v00}:set:none", "", ""); n != 0 || err != nil {
		t.Errorf("a set that is not there: %d, %v", n, err)
	}
	if got, err := s.Ranked(t.Context(), "bb:{v00}:set:none", 0, 5); len(got) != 0 || err != nil {
		t.Errorf("a set that is not there: %v, %v", got, err)
	}
}

// many are backups of two instances with three names and both triggers, several of each second.
func many(t testing.TB) (*history, []events.Backup) {
	h := &history{t: t, n: map[string]uint64{}}
	var all []events.Backup
	for n := 1; n <= 120; n++ {
		b := newBackup([]string{"a", "b"}[n%2], n)
		b.EnqueuedTime = events.At(time.UnixMilli(1768442400000 + int64(n/4)*1000 + int64(n%4)*10))
		b.Name = []string{"nightly", "nightly.", ""}[n%3]
		if n%5 == 0 {
			b.Trigger, b.ScheduleID, b.DueTime = events.Scheduled, "sc_1", b.EnqueuedTime
		}
		b = h.step(b, events.Requested)
		switch n % 10 {
		case 5: // a due slot that is late is no backup yet
			b.Overdue = &events.OverdueNote{Requested: true}
			b = h.step(b, events.Overdue)
		case 7:
			b = h.step(lifecycle.Claim(b, b.EnqueuedTime.Time, "ex"), events.Started)
			b = h.step(lifecycle.Complete(b, b.EnqueuedTime.Time, lifecycle.Outcome{Proof: events.ProofStored}), events.Succeeded)
			b = h.step(lifecycle.AskDeletion(b, events.Deletion{Cause: "USER"}), events.DeletionRequested)
		}
		all = append(all, b)
	}
	return h, all
}

// testListing holds every selection and page of the numbered lists against all records.
func testListing(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	hist, all := many(t)
	apply(t, v, hist.log, 7)
	slices.SortFunc(all, func(a, b events.Backup) int {
		if c := lifecycle.Begun(b).Compare(lifecycle.Begun(a)); c != 0 {
			return c
		}
		return strings.Compare(a.IDs.GaussDB, b.IDs.GaussDB)
	})
	at := func(n int) time.Time { return time.Unix(1768442400+int64(n), 0) }
	for _, instance := range []string{"", "a", "none"} {
		for _, name := range []string{"", "nightly", "nightly.", "night", lifecycle.ListedName(all[3])} {
			for _, trigger := range []events.Trigger{"", events.OnDemand, events.Scheduled} {
				for _, span := range [][2]time.Time{{}, {at(10), {}}, {{}, at(10)}, {at(5), at(20)}, {at(7), at(7)}, {at(500), at(600)}, {at(-1 << 40), at(1 << 40)}} {
					l := lifecycle.Listing{Instance: instance, Name: name, Trigger: trigger, From: span[0], To: span[1]}
					var want []string
					for _, b := range all {
						if l.Matches(b) {
							want = append(want, b.BackupID)
						}
					}
					pages(t, v, l, want)
				}
			}
		}
	}
	if list, total, err := v.Listed(t.Context(), "q", lifecycle.Listing{}, 0, 10); len(list) != 0 || total != 0 || err != nil {
		t.Errorf("another project's: %d %d %v", len(list), total, err)
	}
}

func pages(t *testing.T, v *view.View, l lifecycle.Listing, want []string) {
	t.Helper()
	const limit = 7
	for _, offset := range []int{0, 3, len(want) - 1, len(want), len(want) + 5, 1 << 50} {
		if offset < 0 {
			continue
		}
		list, total, err := v.Listed(t.Context(), "p", l, offset, limit)
		if err != nil || total != len(want) {
			t.Fatalf("%+v: %d of %d, %v", l, total, len(want), err)
		}
		var got []string
		for _, b := range list {
			got = append(got, b.BackupID)
		}
		if diff := cmp.Diff(append([]string(nil), want[min(offset, len(want)):min(offset+limit, len(want))]...), got); diff != "" {
			t.Fatalf("%+v from %d on:\n%s", l, offset, diff)
		}
	}
}

// testGaussIDs: the ids that GaussDB shows find their backups, also deleted ones, and the names of instances, also of
// those that are gone; never those of another project.
func testGaussIDs(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	hist := life(t)
	gone := events.Instance{Project: "p", InstanceID: "in_gone", Provider: "sqlite", Instance: "gone", Generation: 1, IDs: events.InstanceIDs{GaussDB: "gonein07"}}
	hist.add(gone, events.Registered)
	gone.Generation = 2
	hist.add(gone, events.Deregistered)
	apply(t, v, hist.log, 3)
	ctx := t.Context()
	for n := 1; n <= 4; n++ {
		want := newBackup("a", n)
		if b, err := v.BackupByGaussDB(ctx, "p", want.IDs.GaussDB); err != nil || b.BackupID != want.BackupID {
			t.Errorf("%s: %s, %v", want.BackupID, b.BackupID, err)
		}
		if _, err := v.BackupByGaussDB(ctx, "q", want.IDs.GaussDB); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("%s of another project: %v", want.BackupID, err)
		}
	}
	if name, err := v.InstanceNameByGaussDB(ctx, "p", "gonein07"); err != nil || name != "gone" {
		t.Errorf("the name of an instance that is gone: %q, %v", name, err)
	}
	if _, err := v.InstanceNameByGaussDB(ctx, "q", "gonein07"); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("of another project: %v", err)
	}
	good, err := v.Restorable(ctx, "p", "a", time.Time{}, time.Time{}, 10)
	if diff := cmp.Diff([]time.Time{time.Unix(1, 0).UTC()}, good); diff != "" || err != nil {
		t.Errorf("restorable: %v\n%s", err, diff)
	}
	for _, c := range []struct {
		from, to time.Time
		want     int
	}{{time.Unix(1, 0), time.Unix(1, 0), 1}, {time.Unix(2, 0), time.Time{}, 0}, {time.Time{}, time.UnixMilli(999), 0}} {
		if good, err := v.Restorable(ctx, "p", "a", c.from, c.to, 10); len(good) != c.want || err != nil {
			t.Errorf("from %s to %s: %v, %v", c.from, c.to, good, err)
		}
	}
}
