package viewtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// testRanks: a page is the part of the set that Range would come to, with the number of all in the part.
func testRanks(t *testing.T, h Harness) {
	s := h.Open(t)
	const one, left, right, none = "bb:{v00}:set:x", "bb:{v00}:set:l", "bb:{v00}:set:r", "bb:{v00}:set:none"
	var w view.Writes
	var all []string
	for n := range 500 { // more than a node of a tree holds
		all = append(all, fmt.Sprintf("%04d", n*2))
		half := left
		if n%7 < 2 || n > 400 {
			half = right
		}
		w.Add = append(w.Add, view.Member{Set: one, Value: all[n]}, view.Member{Set: half, Value: all[n]})
	}
	commit(t, s, w)
	for _, c := range []struct {
		after, before string
		from, to      int
	}{
		{"", "", 0, 500}, {"0000", "", 1, 500}, {"0001", "", 1, 500}, {"", "0998", 0, 499}, {"", "0999", 0, 500}, {"0100", "0102", 51, 51}, {"0100", "0104", 51, 52},
		{"0099", "0201", 50, 101}, {"2", "", 0, 0}, {"", "00", 0, 0}, {"0500", "0100", 0, 0},
	} {
		part := all[c.from:c.to]
		for _, page := range []struct{ offset, limit int }{{0, 3}, {0, 1000}, {1, 1}, {33, 4}, {250, 10}, {399, 5}, {498, 10}, {500, 10}, {1 << 40, 10}, {5, 0}, {0, 0}} {
			want := part[min(page.offset, len(part)):min(page.offset+page.limit, len(part))]
			for _, sets := range [][]string{{one}, {left, right}, {right, left}, {one, none}, {none, one}} {
				got, total, err := s.Page(t.Context(), sets, c.after, c.before, page.offset, page.limit)
				if diff := cmp.Diff(append([]string{}, want...), append([]string{}, got...)); diff != "" || total != len(part) || err != nil {
					t.Errorf("%+v of %v between %q and %q: %d of %d, %v\n%s", page, sets, c.after, c.before, total, len(part), err, diff)
				}
			}
		}
	}
	if got, n, err := s.Page(t.Context(), []string{none}, "", "", 0, 5); n != 0 || len(got) != 0 || err != nil {
		t.Errorf("a set that is not there: %v, %d, %v", got, n, err)
	}
	odd := []string{"B.1", "a-1", "a.1", "a/1", "b1", "é"} // by bytes, whatever the locale
	commit(t, s, view.Writes{Add: []view.Member{{Set: none, Value: odd[0]}, {Set: none, Value: odd[2]}, {Set: none, Value: odd[4]},
		{Set: none + "2", Value: odd[1]}, {Set: none + "2", Value: odd[3]}, {Set: none + "2", Value: odd[5]}}})
	for offset := range odd {
		if got, _, err := s.Page(t.Context(), []string{none, none + "2"}, "", "", offset, 1); err != nil || len(got) != 1 || got[0] != odd[offset] {
			t.Errorf("%d: %q, %v", offset, got, err)
		}
	}
}

// testRanksMove: what is written before a part while it is read moves its ranks, and not the page.
func testRanksMove(t *testing.T, h Harness) {
	s := h.Open(t)
	const key, other = "bb:{v00}:set:x", "bb:{v00}:set:y"
	before := []view.Member{{Set: key, Value: "a.1"}, {Set: other, Value: "b.2"}, {Set: other, Value: "c.2"}}
	commit(t, s, view.Writes{Add: []view.Member{{Set: key, Value: "z.3"}}})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			commit(t, s, view.Writes{Add: before})
			commit(t, s, view.Writes{Remove: before})
		}
	})
	for range 2000 {
		got, n, err := s.Page(t.Context(), []string{key, other}, "z.", "z/", 0, 10)
		if diff := cmp.Diff([]string{"z.3"}, got); diff != "" || n != 1 || err != nil {
			t.Errorf("%d, %v\n%s", n, err, diff)
			break
		}
	}
	stop()
	wg.Wait()
}

// moving is a store in which something is written before every read but the first.
type moving struct {
	view.Store
	reads int
	write func()
}

func (m *moving) moved() {
	if m.reads++; m.reads == 2 {
		m.write()
	}
}

func (m *moving) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	m.moved()
	return m.Store.Get(ctx, keys...)
}

func (m *moving) Page(ctx context.Context, sets []string, after, before string, offset, limit int) ([]string, int, error) {
	m.moved()
	return m.Store.Page(ctx, sets, after, before, offset, limit)
}

// testListingMoves: a list keeps what stands in it while others go, that it comes after.
func testListingMoves(t *testing.T, h Harness) {
	for _, l := range []lifecycle.Listing{{Name: "zeta"}, {Name: "zeta", Instance: "a"}, {To: time.UnixMilli(1768442402000)}} {
		s := &moving{Store: h.Open(t), write: func() {}}
		v := view.New(s, shards)
		hist := &history{t: t, n: map[string]uint64{}}
		for n, name := range []string{"zeta", "alpha"} {
			b := newBackup("a", n+1)
			b.Name, b.EnqueuedTime = name, events.At(time.UnixMilli(1768442400000+int64(n)*5000))
			hist.step(b, events.Requested)
		}
		apply(t, v, hist.log, 7)
		alpha, err := v.Backup(t.Context(), "p", newBackup("a", 2).BackupID)
		if err != nil {
			t.Fatal(err)
		}
		seen := len(hist.log)
		alpha = hist.step(lifecycle.Claim(alpha, alpha.EnqueuedTime.Time, "ex"), events.Started)
		alpha = hist.step(lifecycle.Complete(alpha, alpha.EnqueuedTime.Time, lifecycle.Outcome{Proof: events.ProofStored}), events.Succeeded)
		hist.step(lifecycle.AskDeletion(alpha, events.Deletion{Cause: "USER"}), events.DeletionRequested)
		s.reads, s.write = 0, func() { apply(t, view.New(s.Store, shards), hist.log[seen:], 7) }
		list, total, err := v.Listed(t.Context(), "p", l, 0, 10)
		if len(list) != 1 || total != 1 || err != nil || list[0].Name != "zeta" {
			t.Errorf("%+v: %d of %d, %v", l, len(list), total, err)
		}
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
		for _, id := range []string{want.IDs.GaussDB[:16], want.IDs.GaussDB + "0", want.IDs.GaussDB[:35] + "8", ""} {
			if _, err := v.BackupByGaussDB(ctx, "p", id); !errors.Is(err, events.ErrNotFound) {
				t.Errorf("%q, which is nobody's: %v", id, err)
			}
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
