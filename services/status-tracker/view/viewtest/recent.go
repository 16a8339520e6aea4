package viewtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// weeks is an instance with a backup a day, some of one name, of which the oldest and the newest are being made, and
// with a restore a day, of which the oldest runs.
func weeks(t testing.TB) *history {
	h := &history{t: t, n: map[string]uint64{}}
	for day := range 6 {
		at := time.Unix(0, 0).Add(time.Duration(day) * 24 * time.Hour)
		b := newBackup("a", day)
		b.EnqueuedTime, b.IDs.Spanner = events.At(at), "daily"
		if day%2 == 1 {
			b.IDs.Spanner = fmt.Sprintf("odd%d", day)
		}
		b = h.step(b, events.Requested)
		if day > 0 && day < 5 {
			h.step(lifecycle.Fail(b, at, &events.Failure{Code: events.NotFound}, nil, false), events.Failed)
		}
		r := events.Restore{RestoreID: fmt.Sprintf("rs_%d", day), BackupID: "bk_a1", Project: "p", Provider: "sqlite", Instance: "b", EnqueuedTime: events.At(at),
			IDs: events.RestoreIDs{Operation: fmt.Sprintf("op-%d", day)}, Target: events.Target{Instance: "a", Database: []string{"db", "other"}[day%2]}}
		r, err := lifecycle.AdvanceRestore(r, events.Requested)
		if err != nil {
			t.Fatal(err)
		}
		h.add(r, events.Requested)
		if day > 0 {
			if r, err = lifecycle.AdvanceRestore(lifecycle.FailRestore(r, at, &events.Failure{Code: events.NotFound}), events.Failed); err != nil {
				t.Fatal(err)
			}
			h.add(r, events.Failed)
		}
	}
	return h
}

// walk reads a list in pages of n.
func walk[R any](t testing.TB, n int, id, key func(R) string, page func(cursor string, limit int) ([]R, string, error)) (got []string) {
	t.Helper()
	for cursor := ""; ; {
		list, next, err := page(cursor, n)
		if err != nil || len(list) > n || next != "" && next != key(list[len(list)-1]) {
			t.Fatalf("%d records, cursor %q, %v", len(list), next, err)
		}
		for _, r := range list {
			got = append(got, id(r))
		}
		if cursor = next; next == "" {
			return got
		}
	}
}

// recent is what the lists show that begin at a moment.
func recent(t testing.TB, v view.Reader, limit int) map[string][]string {
	t.Helper()
	ctx, day3, all := t.Context(), time.Unix(0, 0).Add(3*24*time.Hour), time.Time{}
	backup := func(b events.Backup) string { return b.BackupID }
	creations := func(name string, since time.Time) []string {
		return walk(t, limit, backup, lifecycle.CreationKey, func(cursor string, limit int) ([]events.Backup, string, error) {
			return v.Creations(ctx, "p", "a", name, since, cursor, limit)
		})
	}
	restorals := func(database string, since time.Time) []string {
		return walk(t, limit, func(r events.Restore) string { return r.RestoreID }, lifecycle.RestoreKey, func(cursor string, limit int) ([]events.Restore, string, error) {
			return v.Restorals(ctx, "p", "a", database, since, cursor, limit)
		})
	}
	return map[string][]string{
		"all": creations("", all), "since day 3": creations("", day3), "of a name": creations("daily", all), "of a name since day 3": creations("daily", day3), "of no name": creations("none", day3),
		"restores": restorals("db", all), "restores since day 3": restorals("db", day3),
		"standing": walk(t, limit, backup, lifecycle.CreationKey, func(cursor string, limit int) ([]events.Backup, string, error) {
			return v.Standing(ctx, "p", "a", cursor, limit)
		}),
	}
}

// testRecent: what ended before a moment is left out, what is open is not, and pages of any size give the same.
func testRecent(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	apply(t, v, weeks(t).log, 4)
	want := map[string][]string{
		"all": {"bk_a5", "bk_a4", "bk_a3", "bk_a2", "bk_a1", "bk_a0"}, "since day 3": {"bk_a5", "bk_a4", "bk_a3", "bk_a0"},
		"of a name": {"bk_a4", "bk_a2", "bk_a0"}, "of a name since day 3": {"bk_a4", "bk_a0"}, "of no name": nil,
		"restores": {"rs_4", "rs_2", "rs_0"}, "restores since day 3": {"rs_4", "rs_0"}, "standing": {"bk_a5", "bk_a0"},
	}
	for _, limit := range []int{1, 2, 3, 100} {
		if diff := cmp.Diff(want, recent(t, v, limit)); diff != "" {
			t.Errorf("in pages of %d:\n%s", limit, diff)
		}
	}
}

// truth is a log behind a view.
type truth struct{ *history }

func (l truth) End(context.Context) (view.Checkpoint, error) {
	return view.Checkpoint{Epoch: "e", Seq: l.seq}, nil
}

func (l truth) Scan(_ context.Context, _ string, from uint64, latestOnly bool, fn func(string, events.Stored) error) (uint64, error) {
	last := map[string]uint64{}
	for _, s := range l.log {
		last[s.PartitionKey] = s.Seq
	}
	for _, s := range l.log {
		if s.Seq < from || latestOnly && s.Seq != last[s.PartitionKey] {
			continue
		}
		if err := fn("", s); err != nil {
			return 0, err
		}
	}
	return l.seq, nil
}

// testFallback: what is read from the log while the view is away is what the view shows.
func testFallback(t *testing.T, h Harness) {
	hist := weeks(t)
	b := newBackup("a", 9)
	b.IDs.Spanner, b.SourceBackupID, b.CopyOf = "copy", "bk_source", &events.CopyOf{Instance: "source", Spanner: "mine", CreateTime: b.EnqueuedTime}
	hist.step(b, events.Requested)
	v := view.New(h.Open(t), shards)
	apply(t, v, hist.log, 4)
	away := view.NewFallback(view.New(view.NewMemory(time.Now), shards), truth{hist}, time.Now)
	if diff := cmp.Diff(recent(t, v, 2), recent(t, away, 2)); diff != "" {
		t.Errorf("lists:\n%s", diff)
	}
	ctx := t.Context()
	for name, there := range map[string]bool{"daily": true, "odd5": true, "odd1": false, "copy": true} {
		want, werr := v.BackupBySpanner(ctx, "p", "a", name)
		got, gerr := away.BackupBySpanner(ctx, "p", "a", name)
		if diff := cmp.Diff(want, got); diff != "" || (werr == nil) != there || (gerr == nil) != there {
			t.Errorf("%s: %v, %v\n%s", name, werr, gerr, diff)
		}
	}
	want, werr := v.CopyingFrom(ctx, "p", "source")
	got, gerr := away.CopyingFrom(ctx, "p", "source")
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 1 || werr != nil || gerr != nil {
		t.Errorf("copies: %v, %v\n%s", werr, gerr, diff)
	}
	digits := lifecycle.OperationsOf(b)[0].ID
	digits = digits[:8] + digits[9:13] + digits[14:18]
	op, werr := v.ShortOperation(ctx, "p", digits)
	same, gerr := away.ShortOperation(ctx, "p", digits)
	if diff := cmp.Diff(op, same); diff != "" || op.Backup != "bk_a9" || werr != nil || gerr != nil {
		t.Errorf("operation: %v, %v\n%s", werr, gerr, diff)
	}
}
