package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// next is the executor of a process that comes after x.
func next(t *testing.T, x *Executor) *Executor {
	t.Helper()
	after, err := New("hand", &hand{parts: []Part{{Name: "dump.sql", Stream: text("again")}}}, x.Deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = after.Close() })
	return after
}

// unfinish makes complete copies in these storages those of a process that was killed before their manifests.
func unfinish(t *testing.T, dirs ...string) {
	t.Helper()
	n := 0
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "manifest.json" {
				n++
				err = os.Remove(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Fatal("there is no manifest")
	}
}

// objects are the files in a storage beside the manifests.
func objects(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, path := range listed(dir) {
		if filepath.Base(path) != "manifest.json" {
			all = append(all, path)
		}
	}
	if len(all) == 0 {
		t.Fatal("there is no object")
	}
	return all
}

func removeObject(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(objects(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	unfinish(t, dir)
	for range objects(t, dir) {
		removeObject(t, dir)
	}
}

// away takes a storage away, and back puts it there again.
func away(t *testing.T, dir string) (back func()) {
	t.Helper()
	hidden := dir + ".away"
	if err := os.Rename(dir, hidden); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(hidden, dir); err != nil {
			t.Fatal(err)
		}
	}
}

// What is complete and proven is not lost with the process that made it; of the further copies it says what is there.
func TestRecover_KilledBetweenTheFirstAndTheFurtherCopy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cut  func(t *testing.T, far string)
		want events.CopyState
	}{
		"nothing there": {empty, events.CopyFailed},
		"a part there":  {func(t *testing.T, far string) { unfinish(t, far) }, events.CopyFailed},
		"out of reach":  {func(t *testing.T, far string) { t.Cleanup(away(t, far)) }, events.CopyFailed},
		"it was made":   {func(*testing.T, string) {}, events.CopyStored},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far, change := offsite(t)
			x, store := setup(t, &hand{}, change)
			j := copiedJob()
			first := finish(t, x, j)
			if first.Err != nil {
				t.Fatal(first.Err)
			}
			c.cut(t, far)
			after := next(t, x)
			ref, found, err := after.Recover(t.Context(), j)
			if err != nil || !found {
				t.Fatalf("found %v, %v", found, err)
			}
			p := executortest.Finish(t, after, ref)
			if p.Err != nil || len(p.Outcome.Copies) != 2 {
				t.Fatalf("%+v", p)
			}
			own := cmpopts.IgnoreFields(lifecycle.Outcome{}, "Copies", "Ref", "Evidence")
			if diff := cmp.Diff(first.Outcome, p.Outcome, own); diff != "" {
				t.Errorf("another outcome: %s", diff)
			}
			if diff := cmp.Diff(first.Outcome.Copies[0], p.Outcome.Copies[0]); diff != "" {
				t.Error(diff)
			}
			further := p.Outcome.Copies[1]
			if further.State != c.want || (further.Error != nil) != (c.want == events.CopyFailed) || further.Remains != (c.want == events.CopyFailed) {
				t.Errorf("%+v", further)
			}
			if len(files(t, store)) == 0 {
				t.Error("the first copy is gone")
			}
			if name == "out of reach" {
				return
			}
			if _, err := after.Verify(t.Context(), j, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofChecked); err != nil {
				t.Error(err)
			}
			if _, err := after.Delete(t.Context(), *p.Outcome.Ref); err != nil {
				t.Error(err)
			}
			wantNothing(t, store)
			wantNothing(t, far)
		})
	}
}

// A copy that is not what SUCCESSFUL means by now, or not whole, is none.
func TestRecover_WhatIsNotProvenIsRemoved(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, store string, j *executor.Job){
		"no manifest":           func(t *testing.T, store string, _ *executor.Job) { unfinish(t, store) },
		"an object is missing":  func(t *testing.T, store string, _ *executor.Job) { removeObject(t, store) },
		"more is asked for now": func(_ *testing.T, _ string, j *executor.Job) { j.Proof = events.ProofRestored },
		"another attempt's":     func(_ *testing.T, _ string, j *executor.Job) { j.Attempt = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, store := setup(t, &hand{}, nil)
			j := job()
			if p := finish(t, x, j); p.Err != nil {
				t.Fatal(p.Err)
			}
			change(t, store, &j)
			if _, found, err := next(t, x).Recover(t.Context(), j); err != nil || found {
				t.Errorf("found %v, %v", found, err)
			}
			wantNothing(t, store)
		})
	}
}

// While the storage does not answer nothing is decided.
func TestRecover_StorageThatDoesNotAnswerDecidesNothing(t *testing.T) {
	t.Parallel()
	x, store := setup(t, &hand{}, nil)
	j := job()
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
	back := away(t, store)
	after := next(t, x)
	if _, found, err := after.Recover(t.Context(), j); err == nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	back()
	if _, found, err := after.Recover(t.Context(), j); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
}

// A further storage is away when the lost attempt is cleared: the deletion of what the next attempt stored
// removes that too.
func TestRecover_StorageThatIsAway_IsClearedWithTheBackup(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{}, change)
	j := copiedJob()
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
	unfinish(t, store)
	back := away(t, far)
	after := next(t, x)
	if _, _, err := after.Recover(t.Context(), j); err != nil {
		t.Errorf("a further storage that is away holds the recovery up: %v", err)
	}
	wantNothing(t, store)
	back()
	j.Attempt = 2
	p := finish(t, after, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	if _, err := after.Delete(t.Context(), *p.Outcome.Ref); err != nil {
		t.Error(err)
	}
	wantNothing(t, store)
	wantNothing(t, far)
}

func TestRecover_StorageOfTheInstanceWasChangedMeanwhile(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{}, change)
	if p := finish(t, x, copiedJob()); p.Err != nil {
		t.Fatal(p.Err)
	}
	unfinish(t, store, far)
	moved := copiedJob()
	moved.Config.Storage, moved.Config.CopyTo = "offsite", nil
	if _, _, err := next(t, x).Recover(t.Context(), moved); err != nil {
		t.Error(err)
	}
	wantNothing(t, store)
	wantNothing(t, far)
}

func TestRecover_UnknownNames_ClearWhatCanBeCleared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*events.InstanceConfig)
		want   events.Code
	}{
		{"copyTo", func(c *events.InstanceConfig) { c.CopyTo = []string{"gone"} }, ""},
		{"storage", func(c *events.InstanceConfig) { c.Storage = "gone" }, events.ProviderRejected},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			far, change := offsite(t)
			x, store := setup(t, &hand{}, change)
			j := copiedJob()
			if p := finish(t, x, j); p.Err != nil {
				t.Fatal(p.Err)
			}
			unfinish(t, store, far)
			if _, err := x.Scratch.make(scratchName(j), 0); err != nil {
				t.Fatal(err)
			}
			after := next(t, x)
			after.Scratch = &Scratch{root: x.Scratch.root, used: map[string]bool{}}
			c.change(&j.Config)
			_, _, err := after.Recover(t.Context(), j)
			if c.want == "" && err != nil {
				t.Error(err)
			} else if c.want != "" {
				executortest.WantCode(t, err, c.want)
			}
			wantNothing(t, store)
			wantNothing(t, far)
			if _, err := os.Stat(filepath.Join(x.Scratch.root, scratchName(j))); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the scratch folder stays: %v", err)
			}
		})
	}
}

func TestClean_EveryStorageHasToAnswer(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{}, change)
	if p := finish(t, x, copiedJob()); p.Err != nil {
		t.Fatal(p.Err)
	}
	back := away(t, far)
	after, lost := next(t, x), job() // nothing is known of its instance any more
	lost.Attempt = 3
	if _, err := after.Clean(t.Context(), lost); err == nil {
		t.Error("a storage that is away was taken for an empty one")
	}
	wantNothing(t, store)
	back()
	if freed, err := after.Clean(t.Context(), lost); err != nil || freed == 0 {
		t.Errorf("freed %d: %v", freed, err)
	}
	wantNothing(t, far)
}

func TestDelete_StorageThatIsNotConfigured_IsNamedAndTheRestIsDeleted(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{}, change)
	for _, c := range []func(r *executor.Ref){
		func(r *executor.Ref) { r.CopiedTo = append([]string{"gone"}, r.CopiedTo...) },
		func(r *executor.Ref) { r.LeftIn = []string{"gone"} },
		func(r *executor.Ref) {
			r.BackupName, r.LeftIn = strings.Replace(r.BackupName, "main:", "gone:", 1), []string{"main"}
		},
	} {
		p := finish(t, x, copiedJob())
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		ref := *p.Outcome.Ref
		c(&ref)
		_, err := x.Delete(t.Context(), ref)
		executortest.WantCode(t, err, events.ProviderRejected)
		if !strings.Contains(err.Error(), `"gone"`) {
			t.Errorf("not named: %v", err)
		}
		wantNothing(t, store)
		wantNothing(t, far)
		x = next(t, x)
	}
}

func TestVerify_AndRestore_GoOnPastAStorageThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	_, change := offsite(t)
	h := &restoring{}
	x, store := setup(t, &h.hand, change)
	x.engine = h
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	ref := *p.Outcome.Ref
	ref.CopiedTo = append([]string{"gone"}, ref.CopiedTo...)
	found, err := x.Verify(t.Context(), j, ref, p.Outcome.Checksum, events.ProofChecked)
	executortest.WantCode(t, err, events.ProviderRejected)
	if found.Evidence.Copies != 2 {
		t.Errorf("%+v", found)
	}
	if err := os.RemoveAll(filepath.Join(store, "shop")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"main:", "gone:"} {
		ref.BackupName = name + ref.BackupName[strings.Index(ref.BackupName, ":")+1:]
		h.got = ""
		if _, err := x.Restore(t.Context(), executor.RestoreJob{RestoreID: "rs_a", Source: ref, Checksum: p.Outcome.Checksum}); err != nil || h.got != "all of it" {
			t.Errorf("restore with %s first: %q, %v", name, h.got, err)
		}
	}
	found, err = x.Verify(t.Context(), j, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofChecked)
	executortest.WantCode(t, err, events.NotFound)
	if diff := cmp.Diff(events.Evidence{Copies: 1, Objects: 1}, found.Evidence); diff != "" || found.Bytes != p.Outcome.SizeBytes {
		t.Errorf("the further copy was not looked at: %s", diff)
	}
}

func TestOutcome_SaysWhatTheProofSaw(t *testing.T) {
	t.Parallel()
	_, change := offsite(t)
	x, _ := setup(t, &hand{loaded: Loaded{Tables: 14, Rows: 120_318, Checksums: true}}, change)
	j := copiedJob()
	j.Proof = events.ProofRestored
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	want := events.Evidence{Copies: 2, Objects: 1, Tables: 14, Rows: 120_318, RowChecksums: true}
	if p.Outcome.Evidence == nil || *p.Outcome.Evidence != want {
		t.Errorf("%+v", p.Outcome.Evidence)
	}
	_, m, err := x.find(t.Context(), *p.Outcome.Ref, nil)
	want.Copies = 1
	if err != nil || m.Evidence == nil || *m.Evidence != want {
		t.Errorf("manifest: %+v, %v", m.Evidence, err)
	}
}

func TestUnchanged_NeedsTheManifestOfEveryCopy(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, _ := setup(t, &hand{print: "same"}, change)
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	for name := range files(t, far) {
		if strings.HasSuffix(name, "manifest.json") {
			if err := os.Remove(filepath.Join(far, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if same, err := x.Unchanged(t.Context(), j, *p.Outcome.Ref); err != nil || same {
		t.Errorf("%v, %v", same, err)
	}
}
