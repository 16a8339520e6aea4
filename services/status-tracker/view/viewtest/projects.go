package viewtest

import (
	"errors"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// testProjects: what is one project's is not there for another, though they share a shard and the other knows the ids.
func testProjects(t *testing.T, h Harness) {
	v := view.New(h.Open(t), 1)
	hist := life(t)
	apply(t, v, hist.log, 1024)
	ctx := t.Context()
	if err := v.SaveProgress(ctx, events.Progress{Project: "p", BackupID: "bk_a4", Attempt: 1, Ordinal: 2}); err != nil {
		t.Fatal(err)
	}
	op := events.OperationID("bk_a1-deletion_requested-1")
	for _, other := range []string{"evil", "p:backup", "p:bk_a2", "_"} {
		for what, err := range map[string]error{
			"backup":    second(v.Backup(ctx, other, "bk_a2")),
			"number":    second(v.BackupByCloudSQL(ctx, other, "a", "1768442401000")),
			"progress":  second(v.Progress(ctx, other, "bk_a4")),
			"restore":   second(v.Restore(ctx, other, "rs_1")),
			"instance":  second(v.Instance(ctx, other, "a")),
			"operation": second(v.Operation(ctx, other, op)),
		} {
			if !errors.Is(err, events.ErrNotFound) {
				t.Errorf("%s as %q: %v", what, other, err)
			}
		}
		if list, err := v.SchedulesByID(ctx, other, []string{"sc_automated"}); err != nil || len(list) != 0 {
			t.Errorf("schedules as %q: %+v, %v", other, list, err)
		}
		if numbers, err := v.Generations(ctx, other, []string{"sc_automated"}); err != nil || len(numbers) != 0 {
			t.Errorf("generations as %q: %v, %v", other, numbers, err)
		}
		if docs, err := v.Load(ctx, []view.Key{{Project: other, Entity: events.Backups, ID: "bk_a2"}}); err != nil || docs[0].Head.Sequence != 0 {
			t.Errorf("document as %q: %+v, %v", other, docs[0].Head, err)
		}
	}
	theirs := &history{t: t, n: map[string]uint64{}, seq: hist.seq}
	b := newBackup("a", 2)
	b.Project = "evil"
	theirs.step(b, events.Requested)
	apply(t, v, theirs.log, 1)
	mine, err := v.Backup(ctx, "p", "bk_a2")
	if err != nil || mine.State != lifecycle.Successful {
		t.Errorf("after another project's event of the same id: %s, %v", mine.State, err)
	}
}

// testLayout: a view of an older layout is none.
func testLayout(t *testing.T, h Harness) {
	s := h.Open(t)
	commit(t, s, view.Writes{Put: []view.Pair{{Key: "bb:{v00}:checkpoint", Value: []byte(`{"epoch":"e","seq":7}`)}}})
	if cp, err := view.New(s, 1).Checkpoint(t.Context()); err != nil || cp != (view.Checkpoint{}) {
		t.Errorf("%+v, %v", cp, err)
	}
}
