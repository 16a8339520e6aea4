package viewtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// testForget: what has nothing left is forgotten, and the view is as if it had never been (case S17, after a janitor).
func testForget(t *testing.T, h Harness) {
	hist := life(t)
	gone := map[string]events.Entity{"bk_a1": events.Backups, "bk_a3": events.Backups, "rs_2": events.Restores}
	v := view.New(h.Open(t), shards)
	apply(t, v, hist.log, 7)
	if err := v.SaveProgress(t.Context(), events.Progress{Project: "p", BackupID: "bk_a3", Attempt: 1, Ordinal: 1}); err != nil {
		t.Fatal(err)
	}
	if err := v.SaveProgress(t.Context(), events.Progress{Project: "p", RestoreID: "rs_2", BackupID: "bk_a1", Ordinal: 1}); err != nil {
		t.Fatal(err)
	}
	end := hist.log[len(hist.log)-1].Seq
	for range 2 { // again changes nothing
		var changes []view.Change
		for id, e := range gone {
			k := view.Key{Project: "p", Entity: e, ID: id}
			d, err := v.Load(t.Context(), []view.Key{k})
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, view.Change{Before: d[0], After: view.Doc{Key: k}})
		}
		if err := v.Save(t.Context(), changes, view.Checkpoint{Epoch: "e", Seq: end}); err != nil {
			t.Fatal(err)
		}
	}
	left := slices.DeleteFunc(slices.Clone(hist.log), func(ev events.Stored) bool { return gone[ev.PartitionKey] != "" })
	fresh := view.New(h.Open(t), shards)
	apply(t, fresh, left, 7)
	if diff := cmp.Diff(look(t, fresh), look(t, v)); diff != "" {
		t.Errorf("never there (-) and forgotten (+):\n%s", diff)
	}
	for what, err := range map[string]error{
		"backup":   second(v.Backup(t.Context(), "p", "bk_a1")),
		"number":   second(v.BackupByCloudSQL(t.Context(), "p", "a", "1768442401000")),
		"progress": second(v.Progress(t.Context(), "p", "bk_a3")),
		"restore":  second(v.Restore(t.Context(), "p", "rs_2")),
		"its way":  second(v.Progress(t.Context(), "p", "rs_2")),
	} {
		if !errors.Is(err, events.ErrNotFound) {
			t.Errorf("%s of what was forgotten: %v", what, err)
		}
	}
}
