package engine

import (
	"context"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// offsite adds a second storage and returns its folder.
func offsite(t *testing.T) (string, func(*Deps, *archive.Options)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "offsite")
	return dir, func(_ *Deps, o *archive.Options) {
		o.URLs["offsite"] = (&url.URL{Scheme: "file", Path: dir}).String()
	}
}

func copiedJob() executor.Job {
	j := job()
	j.Config.Storage, j.Config.CopyTo = "main", []string{"offsite"}
	return j
}

// files are the files of a storage with their bytes.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCopies_EveryStorageHasTheSameBytes_AndDeleteRemovesThemAll(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{loaded: Loaded{Tables: 2, Rows: 9}}, change)
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	near := files(t, store)
	if diff := cmp.Diff(near, files(t, far)); diff != "" || len(near) != 2 {
		t.Errorf("%d files; the copies differ:\n%s", len(near), diff)
	}
	if len(p.Outcome.Copies) != 2 || p.Outcome.Copies[0].Storage != "main" || p.Outcome.Copies[1].Storage != "offsite" ||
		p.Outcome.Copies[1].State != events.CopyStored || p.Outcome.Copies[1].Proof != events.ProofChecked || p.Outcome.Copies[1].EndTime.IsZero() {
		t.Errorf("%+v", p.Outcome.Copies)
	}
	found, err := x.Verify(t.Context(), j, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofRestored)
	if want := (events.Evidence{Copies: 2, Objects: 1, Tables: 2, Rows: 9}); err != nil || found.Evidence != want || found.Bytes != 2*p.Outcome.SizeBytes {
		t.Errorf("%+v, %v", found, err)
	}
	if freed, err := x.Delete(t.Context(), *p.Outcome.Ref); err != nil || freed < 2*p.Outcome.SizeBytes {
		t.Errorf("freed %d: %v", freed, err)
	}
	wantNothing(t, store)
	wantNothing(t, far)
}

func TestCopies_StorageThatIsAway_FailsAloneAndIsNamed(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, _ := setup(t, &hand{}, change)
	if err := os.RemoveAll(far); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(far, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	got := p.Outcome.Copies[1]
	if got.State != events.CopyFailed || got.Proof != "" || got.Error == nil || !strings.Contains(got.Error.Message, "offsite") || len(p.Outcome.Ref.CopiedTo) != 0 {
		t.Errorf("%+v, ref %+v", got, p.Outcome.Ref)
	}
	if found, err := x.Verify(t.Context(), j, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofStored); err != nil || found.Evidence.Copies != 1 {
		t.Errorf("a copy that was never made is not looked for: %+v, %v", found, err)
	}
}

func TestCopies_DamageIsFoundAndAnotherIsPutBack(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	h := &restoring{}
	x, store := setup(t, &h.hand, change)
	x.engine = h
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	flip := func(dir string) {
		for name := range files(t, dir) {
			if strings.HasSuffix(name, ".zst") {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	restore := executor.RestoreJob{RestoreID: "rs_a", Source: *p.Outcome.Ref, Checksum: p.Outcome.Checksum}
	flip(store)
	if _, err := x.Restore(t.Context(), restore); err != nil || h.got != "all of it" {
		t.Errorf("restore over a damaged first copy: %q, %v", h.got, err)
	}
	if err := os.RemoveAll(filepath.Join(store, "shop")); err != nil {
		t.Fatal(err)
	}
	h.got = ""
	if _, err := x.Restore(t.Context(), restore); err != nil || h.got != "all of it" {
		t.Errorf("restore over a lost first copy: %q, %v", h.got, err)
	}
	flip(far)
	h.got = ""
	_, err := x.Restore(t.Context(), restore)
	executortest.WantCode(t, err, events.NotFound) // that of the first says where to look
	if h.got != "" {
		t.Errorf("%q was put back of a damaged copy", h.got)
	}

	again := copiedJob()
	again.BackupID = "bk_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	if p = finish(t, x, again); p.Err != nil {
		t.Fatal(p.Err)
	}
	flip(far)
	found, err := x.Verify(t.Context(), again, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofChecked)
	executortest.WantCode(t, err, events.Corrupt)
	if err == nil || !strings.Contains(err.Error(), `storage "offsite"`) || found.Evidence.Copies != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// restoring is a hand whose restores keep what they got.
type restoring struct {
	hand
	got string
}

func (r *restoring) Restore(ctx context.Context, _ executor.RestoreJob, c Copy) error {
	var b strings.Builder
	for _, o := range c.Manifest.Objects {
		if err := c.Unpack(ctx, o, &b); err != nil {
			return err
		}
	}
	r.got = b.String()
	return nil
}

func TestCopies_CancelWhileCopying_LeavesNothingAnywhere(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	begun := make(chan struct{})
	x, store := setup(t, &hand{parts: []Part{{Name: "a", Stream: text("one")}, {Name: "b", Stream: text("two")}}}, func(d *Deps, o *archive.Options) {
		change(d, o)
		d.Reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
			if p.Phase != events.Finalizing || len(listed(far)) == 0 {
				return
			}
			select {
			case <-begun:
			default:
				close(begun)
			}
			<-ctx.Done()
		}
	})
	ref, err := x.Start(t.Context(), copiedJob())
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if remains, err := x.Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("remains %v, %v", remains, err)
	}
	wantNothing(t, store)
	wantNothing(t, far)
}

// listed are the files below dir that can be seen now.
func listed(dir string) (all []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	return all
}

func TestCopies_LostAttempt_IsClearedEverywhere(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, store := setup(t, &hand{}, change)
	j := copiedJob()
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
	unfinish(t, store, far)
	after, err := New("hand", &hand{}, x.Deps) // a process that comes after
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if _, found, err := after.Recover(t.Context(), j); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	wantNothing(t, store)
	wantNothing(t, far)
}

func TestCopies_StorageThatIsNotConfigured_IsRefusedBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	read := false
	x, _ := setup(t, &hand{parts: []Part{{Name: "a", Stream: func(context.Context, io.Writer) (archive.Content, error) {
		read = true
		return archive.Content{}, nil
	}}}}, nil)
	_, err := x.Start(t.Context(), copiedJob())
	executortest.WantCode(t, err, events.ProviderRejected)
	if read || !strings.Contains(err.Error(), "copyTo") {
		t.Errorf("read %v, %v", read, err)
	}
}

func TestUnchanged_NeedsEveryFurtherCopy(t *testing.T) {
	t.Parallel()
	far, change := offsite(t)
	x, _ := setup(t, &hand{print: "same"}, change)
	j := copiedJob()
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	if same, err := x.Unchanged(t.Context(), j, *p.Outcome.Ref); err != nil || !same {
		t.Errorf("%v, %v", same, err)
	}
	without := *p.Outcome.Ref
	without.CopiedTo = nil
	if same, err := x.Unchanged(t.Context(), j, without); err != nil || same {
		t.Errorf("a further copy was never made: %v, %v", same, err)
	}
	if err := os.RemoveAll(filepath.Join(far, "shop")); err != nil {
		t.Fatal(err)
	}
	if same, err := x.Unchanged(t.Context(), j, *p.Outcome.Ref); err != nil || same {
		t.Errorf("a further copy is gone: %v, %v", same, err)
	}
}

func TestLimits_Total(t *testing.T) {
	t.Parallel()
	l := &Limits{Total: 2, PerServer: 1}
	first, _ := l.admit("bk_1", "db1", []string{"main"})
	if _, ok := l.admit("bk_2", "db1", []string{"main"}); ok {
		t.Error("two of a server")
	}
	second, ok := l.admit("bk_3", "", nil)
	if _, more := l.admit("bk_4", "db2", []string{"other"}); !ok || more {
		t.Error("three of two")
	}
	first()
	first() // once is enough
	if _, ok := l.admit("bk_4", "db2", []string{"other"}); !ok {
		t.Error("one has ended")
	}
	second()
}

func TestLimits_PerServerAndPerStorage(t *testing.T) {
	t.Parallel()
	_, change := offsite(t)
	x, _ := setup(t, &hand{}, func(d *Deps, o *archive.Options) {
		change(d, o)
		d.Limits = &Limits{PerServer: 1, PerStorage: 2}
	})
	at := func(server string, copyTo ...string) executor.Job {
		j := copiedJob()
		j.Config.Address, j.Config.CopyTo = server, copyTo
		return j
	}
	admit := func(j executor.Job, want bool) func() {
		t.Helper()
		leave, ok := x.Admit(j)
		if ok != want {
			t.Fatalf("admitted %v", ok)
		}
		return leave
	}
	first := admit(at("db1:5432", "offsite"), true)
	admit(at("db1:5432"), false)
	second := admit(at("db2:5432"), true)
	admit(at("db3:5432"), false) // main has its two
	second()
	second() // once is enough
	third := admit(at("db3:5432", "offsite"), true)
	admit(at(""), false)
	first()
	third()
	admit(at("db1:5432"), true)
}
