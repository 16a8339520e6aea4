package viewtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

const shards = 4

// history writes a project's life into events as their writers would.
type history struct {
	t   testing.TB
	seq uint64
	log []events.Stored
	n   map[string]uint64
}

func (h *history) add(p events.Payload, step events.Step) {
	h.t.Helper()
	a := p.Aggregate()
	h.seq++
	h.n[a.ID]++
	ev, err := events.New("bus.local", p, step, fmt.Sprintf("%s-%d", a.ID, h.n[a.ID]), h.n[a.ID], time.Unix(int64(h.seq), 0), events.Cause{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.log = append(h.log, events.Stored{Event: ev, Seq: h.seq})
}

func (h *history) step(b events.Backup, s events.Step) events.Backup {
	h.t.Helper()
	b, err := lifecycle.Advance(b, s)
	if err != nil {
		h.t.Fatal(err)
	}
	h.add(b, s)
	return b
}

func newBackup(instance string, n int) events.Backup {
	id := fmt.Sprintf("bk_%s%d", instance, n)
	at := time.UnixMilli(1768442400000 + int64(n)*1000)
	return events.Backup{BackupID: id, Project: "p", Provider: "sqlite", Instance: instance, RequestID: "rq_" + id, MaxAttempts: 2,
		IDs: events.NewBackupIDs(id, "", at), EnqueuedTime: events.At(at), Trigger: events.OnDemand, Verification: events.NotVerified}
}

// life is an instance with a deleted, a good, a failed and a running backup, a restore, and two schedules of
// which one was removed.
func life(t testing.TB) *history {
	h := &history{t: t, n: map[string]uint64{}}
	inst := events.Instance{Project: "p", InstanceID: "in_a", Provider: "sqlite", Instance: "a", Generation: 1}
	h.add(inst, events.Registered)
	at := time.Unix(1, 0)
	gone := h.step(newBackup("a", 1), events.Requested)
	gone = h.step(lifecycle.Claim(gone, at, "ex"), events.Started)
	gone = h.step(lifecycle.Complete(gone, at, lifecycle.Outcome{Proof: events.ProofStored}), events.Succeeded)
	gone = h.step(lifecycle.AskDeletion(gone, events.Deletion{Cause: "USER"}), events.DeletionRequested)
	gone = h.step(lifecycle.FailDeletion(gone, at, &events.Failure{Code: events.Network}), events.DeletionFailed)
	gone = h.step(lifecycle.AskDeletion(gone, events.Deletion{Cause: "USER"}), events.DeletionRequested)
	h.step(lifecycle.Remove(gone, at, 1), events.Deleted)
	good := h.step(newBackup("a", 2), events.Requested)
	good = h.step(lifecycle.Claim(good, at, "ex"), events.Started)
	h.step(lifecycle.Complete(good, at, lifecycle.Outcome{Proof: events.ProofChecked}), events.Succeeded)
	bad := h.step(newBackup("a", 3), events.Requested)
	h.step(lifecycle.Fail(bad, at, &events.Failure{Code: events.NotFound}, nil, false), events.Failed)
	running := h.step(newBackup("a", 4), events.Requested)
	h.step(lifecycle.Claim(running, at, "ex"), events.Started)
	r, err := lifecycle.AdvanceRestore(events.Restore{RestoreID: "rs_1", BackupID: "bk_a2", Project: "p", Provider: "sqlite", Instance: "a",
		IDs: events.RestoreIDs{Operation: "op-restore"}, Target: events.Target{Instance: "b"}}, events.Requested)
	if err != nil {
		t.Fatal(err)
	}
	h.add(r, events.Requested)
	over := events.Restore{RestoreID: "rs_2", BackupID: "bk_a2", Project: "p", Provider: "sqlite", Instance: "a",
		IDs: events.RestoreIDs{Operation: "op-over"}, Target: events.Target{Instance: "b"}}
	if over, err = lifecycle.AdvanceRestore(over, events.Requested); err != nil {
		t.Fatal(err)
	}
	h.add(over, events.Requested)
	if over, err = lifecycle.AdvanceRestore(lifecycle.FailRestore(over, at, &events.Failure{Code: events.NotFound}), events.Failed); err != nil {
		t.Fatal(err)
	}
	h.add(over, events.Failed)
	for id, last := range map[string]events.Step{"automated": events.Updated, "nightly": events.Deleted} {
		s := events.Schedule{Project: "p", ScheduleID: "sc_" + id, Name: id, Instance: "a", Provider: "sqlite", Config: events.ScheduleConfig{Cron: "0 2 * * *"}}
		for n, step := range []events.Step{events.Created, last} {
			s.Generation = n + 1
			s.Changes = append(s.Changes, events.ScheduleChange{Step: step, Generation: n + 1, Time: events.At(time.Unix(int64(9+n), 0))})
			h.add(s, step)
		}
	}
	return h
}

// apply folds events into the view as the projector does, in batches of n.
func apply(t testing.TB, v *view.View, log []events.Stored, n int) {
	t.Helper()
	for len(log) > 0 {
		part := log[:min(n, len(log))]
		log = log[len(part):]
		docs := map[view.Key]*view.Change{}
		for _, ev := range part {
			k, ok := view.KeyOf(ev.Event)
			if !ok {
				continue
			}
			if docs[k] == nil {
				d, err := v.Load(t.Context(), []view.Key{k})
				if err != nil {
					t.Fatal(err)
				}
				docs[k] = &view.Change{Before: d[0], After: d[0]}
			}
			docs[k].After, _ = view.Fold(docs[k].After, ev)
		}
		var changes []view.Change
		for _, c := range docs {
			changes = append(changes, *c)
		}
		if err := v.Save(t.Context(), changes, view.Checkpoint{Epoch: "e", Seq: part[len(part)-1].Seq}); err != nil {
			t.Fatal(err)
		}
	}
}

// everything a reader can see, for comparison.
type everything struct {
	Backups, Active, Restoring, Into []string
	Listed                           []string
	Creations, Names, From           []string // as Spanner sees them
	Operations                       []lifecycle.Operation
	Instances, Schedules             []string
	Docs                             []view.Doc
}

func look(t testing.TB, v *view.View) everything {
	t.Helper()
	var e everything
	ctx := t.Context()
	list, next, err := v.Backups(ctx, "p", "a", "", 100)
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	for _, b := range list {
		e.Backups = append(e.Backups, b.BackupID+" "+string(b.State))
	}
	listed, total, err := v.Listed(ctx, "p", lifecycle.Listing{}, 0, 100)
	if err != nil || total != len(listed) {
		t.Fatal(total, err)
	}
	for _, b := range listed {
		e.Listed = append(e.Listed, b.BackupID)
	}
	active, _, err := v.Active(ctx, "p", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range active {
		e.Active = append(e.Active, b.BackupID)
	}
	restoring, err := v.Restoring(ctx, "p", "bk_a2")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range restoring {
		e.Restoring = append(e.Restoring, r.RestoreID)
	}
	into, err := v.RestoringInto(ctx, "p", "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range into {
		e.Into = append(e.Into, r.RestoreID)
	}
	from, err := v.RestoringFrom(ctx, "p", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range from {
		e.From = append(e.From, r.RestoreID)
	}
	made, _, err := v.Creations(ctx, "p", "a", "", time.Time{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range made {
		e.Creations = append(e.Creations, b.BackupID)
		if found, err := v.BackupBySpanner(ctx, "p", "a", b.IDs.Spanner); err == nil {
			e.Names = append(e.Names, found.BackupID)
		} else if !errors.Is(err, events.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if e.Operations, _, err = v.Operations(ctx, "p", "", "", 100); err != nil {
		t.Fatal(err)
	}
	instances, _, err := v.Instances(ctx, "p", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		e.Instances = append(e.Instances, i.Instance)
	}
	schedules, _, err := v.Schedules(ctx, "p", "a", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schedules {
		e.Schedules = append(e.Schedules, s.Name)
	}
	keys := []view.Key{{Project: "p", Entity: events.Schedules, ID: "sc_automated"}, {Project: "p", Entity: events.Instances, ID: "in_a"}, {Project: "p", Entity: events.Restores, ID: "rs_1"}}
	for n := 1; n <= 4; n++ {
		keys = append(keys, view.Key{Project: "p", Entity: events.Backups, ID: fmt.Sprintf("bk_a%d", n)})
	}
	if e.Docs, err = v.Load(ctx, keys); err != nil {
		t.Fatal(err)
	}
	return e
}

func testView(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	apply(t, v, life(t).log, 3)
	ctx := t.Context()
	got := look(t, v)
	if diff := cmp.Diff([]string{"bk_a4 RUNNING", "bk_a3 FAILED", "bk_a2 SUCCESSFUL"}, got.Backups); diff != "" {
		t.Errorf("list, newest first, without the deleted one:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bk_a4", "bk_a3", "bk_a2"}, got.Listed); diff != "" {
		t.Errorf("numbered list:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bk_a4"}, got.Active); diff != "" {
		t.Errorf("active:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rs_1"}, got.Restoring); diff != "" {
		t.Errorf("restoring:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"automated"}, got.Schedules); diff != "" {
		t.Errorf("schedules, without the removed one:\n%s", diff)
	}
	if list, err := v.SchedulesByID(ctx, "p", []string{"sc_none", "sc_nightly", "sc_automated"}); err != nil || len(list) != 1 || list[0].Name != "automated" {
		t.Errorf("schedules by id: %+v, %v", list, err)
	}
	if diff := cmp.Diff([]string{"rs_1"}, got.Into); diff != "" {
		t.Errorf("restoring into b:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bk_a4", "bk_a3", "bk_a2", "bk_a1"}, got.Creations); diff != "" {
		t.Errorf("creations, newest first, the deleted one too:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bk_a4", "bk_a2"}, got.Names); diff != "" {
		t.Errorf("by the names of Spanner, those that stand:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rs_1"}, got.From); diff != "" {
		t.Errorf("restoring from a:\n%s", diff)
	}
	if op, err := v.ShortOperation(ctx, "p", strings.ReplaceAll(events.OperationID("bk_a1-requested"), "-", "")[:16]); err != nil || op.Kind != lifecycle.Creation || op.Backup != "bk_a1" {
		t.Errorf("by 16 digits: %+v, %v", op, err)
	}
	if n, err := v.Generations(ctx, "p", []string{"sc_none", "sc_nightly", "sc_automated"}); err != nil || len(n) != 2 || n["sc_nightly"] != 2 {
		t.Errorf("generations, also of the removed one: %v, %v", n, err)
	}
	if len(got.Operations) != 10 { // four creations, two tries of a deletion, two restores, two of the automated schedule
		t.Errorf("%d operations", len(got.Operations))
	}
	b, err := v.BackupByCloudSQL(ctx, "p", "a", "1768442401000")
	if err != nil || b.BackupID != "bk_a1" || b.State != lifecycle.Deleted {
		t.Errorf("a deleted backup by its number: %s %s, %v", b.BackupID, b.State, err)
	}
	first := events.OperationID("bk_a1-deletion_requested-1")
	op, err := v.Operation(ctx, "p", first)
	if err != nil || !op.Done || op.Failure == nil || op.Failure.Code != events.Network {
		t.Errorf("the deletion that failed: %+v, %v", op, err)
	}
	for what, err := range map[string]error{
		"backup":       second(v.Backup(ctx, "p", "bk_none")),
		"other tenant": second(v.Backup(ctx, "q", "bk_a2")),
		"number":       second(v.BackupByCloudSQL(ctx, "p", "a", "1")),
		"instance":     second(v.Instance(ctx, "p", "none")),
		"restore":      second(v.Restore(ctx, "p", "rs_none")),
		"operation":    second(v.Operation(ctx, "p", "none")),
		"16 digits":    second(v.ShortOperation(ctx, "p", "0123456789abcdef")),
		"name":         second(v.BackupBySpanner(ctx, "p", "a", "none")),
		"progress":     second(v.Progress(ctx, "p", "bk_a4")),
	} {
		if !errors.Is(err, events.ErrNotFound) {
			t.Errorf("%s that is not there: %v", what, err)
		}
	}
	for attempt, percent := range []int{40, 10} { // the second attempt begins anew
		if err := v.SaveProgress(ctx, events.Progress{Project: "p", BackupID: "bk_a4", Attempt: attempt + 1, Ordinal: 2, Percent: &percent}); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := v.Progress(ctx, "p", "bk_a4"); err != nil || p.Ordinal != 2 || p.Attempt != 2 || *p.Percent != 10 {
		t.Errorf("progress %+v, %v", p, err)
	}
	percent := 70 // of a restore that reads it
	if err := v.SaveProgress(ctx, events.Progress{Project: "p", RestoreID: "rs_1", BackupID: "bk_a4", Ordinal: 3, Percent: &percent}); err != nil {
		t.Fatal(err)
	}
	if p, err := v.Progress(ctx, "p", "rs_1"); err != nil || p.Ordinal != 3 || p.BackupID != "bk_a4" {
		t.Errorf("progress of a restore %+v, %v", p, err)
	}
	if p, err := v.Progress(ctx, "p", "bk_a4"); err != nil || p.Attempt != 2 || p.RestoreID != "" {
		t.Errorf("progress of the backup that it reads %+v, %v", p, err)
	}
	if peaks, err := v.Peaks(ctx, "p", []string{"bk_a3", "bk_a4"}); err != nil || len(peaks) != 1 || peaks["bk_a4"] != 40 {
		t.Errorf("peaks, of one that told nothing too: %v, %v", peaks, err)
	}
}

func second[T any](_ T, err error) error { return err }

// testCopies: a copy of a backup is found by the instance of its source while it is being made.
func testCopies(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	hist := &history{t: t, n: map[string]uint64{}}
	b := newBackup("a", 1)
	b.SourceBackupID, b.CopyOf = "bk_source", &events.CopyOf{Instance: "source", Spanner: "mine", CreateTime: b.EnqueuedTime}
	b = hist.step(b, events.Requested)
	for _, want := range []int{1, 0} {
		apply(t, v, hist.log, 1024)
		if list, err := v.CopyingFrom(t.Context(), "p", "source"); err != nil || len(list) != want {
			t.Errorf("%d copies, want %d: %v", len(list), want, err)
		}
		if want == 0 { // it is not how well its instance is backed up
			if good, err := v.Health(t.Context(), "p", "a", time.Unix(0, 0)); err != nil || good.LastGood != nil {
				t.Errorf("health %+v, %v", good, err)
			}
		}
		if want == 1 {
			b = hist.step(lifecycle.Claim(b, time.Unix(1, 0), "ex"), events.Started)
			hist.step(lifecycle.Complete(b, time.Unix(2, 0), lifecycle.Outcome{Proof: events.ProofStored}), events.Succeeded)
		}
	}
}

func testPages(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	hist := &history{t: t, n: map[string]uint64{}}
	for n := 1; n <= 25; n++ {
		hist.step(newBackup("a", n), events.Requested)
	}
	apply(t, v, hist.log, 1024)
	var got []string
	cursor, pages := "", 0
	for {
		list, next, err := v.Backups(t.Context(), "p", "a", cursor, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			got = append(got, b.BackupID)
		}
		if pages++; pages == 2 { // a newer one comes while somebody reads
			hist.log = nil
			hist.step(newBackup("a", 26), events.Requested)
			apply(t, v, hist.log, 1024)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	var want []string
	for n := 25; n >= 1; n-- {
		want = append(want, fmt.Sprintf("bk_a%d", n))
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 5 {
		t.Errorf("%d pages:\n%s", pages, diff)
	}
}

// testRebuild is case S17: the whole history, any batch size, or the last events alone give the same view.
func testRebuild(t *testing.T, h Harness) {
	hist := life(t)
	whole := view.New(h.Open(t), shards)
	apply(t, whole, hist.log, 1)
	want := look(t, whole)
	last := map[string]events.Stored{}
	for _, ev := range hist.log {
		last[ev.PartitionKey] = ev
	}
	var compacted []events.Stored
	for _, ev := range hist.log {
		if last[ev.PartitionKey].ID == ev.ID {
			compacted = append(compacted, ev)
		}
	}
	doubled := append(append([]events.Stored{}, hist.log...), hist.log...)
	for name, log := range map[string][]events.Stored{"one batch": hist.log, "compacted": compacted, "doubled": doubled} {
		v := view.New(h.Open(t), shards)
		apply(t, v, log, 1024)
		if diff := cmp.Diff(want, look(t, v)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func testPosition(t *testing.T, h Harness) {
	v := view.New(h.Open(t), shards)
	if cp, err := v.Checkpoint(t.Context()); err != nil || cp != (view.Checkpoint{}) {
		t.Errorf("empty view: %+v, %v", cp, err)
	}
	done := make(chan error, 1)
	go func() { done <- v.Passed(t.Context(), "p", 7) }()
	for seq := uint64(5); seq <= 7; seq++ {
		if err := v.Save(t.Context(), nil, view.Checkpoint{Epoch: "e", Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Passed did not return")
	}
	if seq, err := v.Reached(t.Context(), "p"); err != nil || seq != 7 {
		t.Errorf("reached %d, %v", seq, err)
	}
	if err := v.Moved(t.Context(), "p", 6); err != nil {
		t.Errorf("moved since 6: %v", err)
	}
	if cp, err := v.Checkpoint(t.Context()); err != nil || cp != (view.Checkpoint{Epoch: "e", Seq: 7}) {
		t.Errorf("checkpoint: %+v, %v", cp, err)
	}
}
