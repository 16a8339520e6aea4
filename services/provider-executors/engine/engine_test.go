package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// hand is an engine whose streams the test holds.
type hand struct {
	parts   []Part
	print   string
	prepare error
	prove   func(ctx context.Context, level events.Proof, c Copy) error
	loaded  Loaded

	mu     sync.Mutex
	closed int
}

func (h *hand) Prepare(context.Context, executor.Job) (Source, error) {
	if h.prepare != nil {
		return nil, h.prepare
	}
	return h, nil
}

func (h *hand) Parts() []Part { return h.parts }

func (h *hand) About() About {
	return About{Kind: Logical, EngineVersion: "1.2", Tool: archive.Tool{Name: "hand", Version: "3"}, ConsistencyTime: time.Unix(1e9, 0), Fingerprint: h.print}
}

func (h *hand) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed++
	return nil
}

func (h *hand) Prove(ctx context.Context, level events.Proof, c Copy) (Loaded, error) {
	if h.prove != nil {
		return h.loaded, h.prove(ctx, level, c)
	}
	for _, o := range c.Manifest.Objects {
		if err := c.Unpack(ctx, o, io.Discard); err != nil {
			return h.loaded, err
		}
	}
	return h.loaded, nil
}

func (h *hand) Restore(context.Context, executor.RestoreJob, Copy) error { return nil }

func (h *hand) RecoverRestore(context.Context, executor.RestoreJob) error { return nil }

func (h *hand) Fingerprint(context.Context, executor.Job) (string, error) { return h.print, nil }

func text(s string) func(context.Context, io.Writer) (archive.Content, error) {
	return func(_ context.Context, w io.Writer) (archive.Content, error) {
		_, err := io.WriteString(w, s)
		return archive.Content{}, err
	}
}

func setup(t *testing.T, h *hand, change func(*Deps, *archive.Options)) (*Executor, string) {
	t.Helper()
	if h.parts == nil {
		h.parts = []Part{{Name: "dump.sql", Recipe: "| hand", Stream: text("all of it")}}
	}
	dir := t.TempDir()
	scratch, err := OpenScratch(filepath.Join(dir, "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	d := Deps{Now: time.Now, Scratch: scratch, Log: executortest.Guard(t, dir)}
	store := filepath.Join(dir, "store")
	o := archive.Options{URLs: map[string]string{"main": (&url.URL{Scheme: "file", Path: store}).String()}}
	if change != nil {
		change(&d, &o)
	}
	if d.Storages, err = archive.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	x, err := New("hand", h, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(x.Close(), d.Storages.Close()); err != nil {
			t.Error(err)
		}
	})
	return x, store
}

func job() executor.Job {
	return executor.Job{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Project: "shop", Instance: "orders"}
}

func finish(t *testing.T, x *Executor, j executor.Job) executor.Progress {
	t.Helper()
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return executortest.Finish(t, x, ref)
}

func wantNothing(t *testing.T, store string) {
	t.Helper()
	_ = filepath.WalkDir(store, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return nil
	})
}

func TestBackup_SeveralObjectsAreOneCopy(t *testing.T) {
	t.Parallel()
	h := &hand{parts: []Part{
		{Name: "globals.sql", Recipe: "| psql", Stream: text("roles")},
		{Name: "db-orders.dump", Database: "orders", Recipe: "| pg_restore", Stream: text("rows")},
	}}
	x, _ := setup(t, h, nil)
	p := finish(t, x, job())
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	c, err := x.Storages.At(*p.Outcome.Ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Objects) != 2 || m.Objects[1].Database != "orders" || m.Objects[1].Restore != "zstd -dc db-orders.dump.zst | pg_restore" ||
		p.Outcome.SizeBytes != m.StoredBytes() || *p.Outcome.Checksum != *m.Checksum() || m.Proof != events.ProofChecked || h.closed != 1 {
		t.Errorf("manifest %+v, outcome %+v, closed %d times", m, p.Outcome, h.closed)
	}
	for _, to := range []events.Proof{events.ProofStored, events.ProofChecked, events.ProofRestored} {
		if n, err := x.Verify(t.Context(), job(), *p.Outcome.Ref, p.Outcome.Checksum, to); err != nil || n.Bytes != m.StoredBytes() {
			t.Errorf("verify to %s: %+v bytes, %v", to, n, err)
		}
	}
}

func TestBackup_SecondPartThatFails_LeavesNothing(t *testing.T) {
	t.Parallel()
	gone := &events.Failure{Code: events.ProviderUnavailable, Category: events.ByProvider, Message: "the server went away", Retryable: true}
	h := &hand{parts: []Part{
		{Name: "a", Stream: text("whole")},
		{Name: "b", Stream: func(_ context.Context, w io.Writer) (archive.Content, error) {
			_, _ = io.WriteString(w, "half")
			return archive.Content{}, gone
		}},
	}}
	x, store := setup(t, h, nil)
	executortest.WantCode(t, finish(t, x, job()).Err, events.ProviderUnavailable)
	wantNothing(t, store)
	if h.closed != 1 {
		t.Errorf("closed %d times", h.closed)
	}
}

func TestProof_ThatReadsNothingOrFails_IsNoSuccess(t *testing.T) {
	t.Parallel()
	torn := &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: "rows are missing"}
	for name, prove := range map[string]func(context.Context, events.Proof, Copy) error{
		"reads nothing": func(context.Context, events.Proof, Copy) error { return nil },
		"fails":         func(context.Context, events.Proof, Copy) error { return torn },
		"panics":        func(context.Context, events.Proof, Copy) error { panic("of the proof") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, store := setup(t, &hand{prove: prove}, nil)
			j := job()
			j.Proof = events.ProofRestored
			if p := finish(t, x, j); p.Err == nil {
				t.Errorf("the backup ended well: %+v", p.Outcome)
			}
			wantNothing(t, store)
		})
	}
}

func TestStart_KeysThatCannotBeReadBackNeedProofStored(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	x, _ := setup(t, &hand{}, nil)
	j := job()
	j.Config.EncryptTo = []string{id.Recipient().String()}
	_, err = x.Start(t.Context(), j)
	executortest.WantCode(t, err, events.ProviderRejected)
	j.Proof = events.ProofStored
	p := finish(t, x, j)
	if p.Err != nil || p.Outcome.Encryption.Type != "CUSTOMER_MANAGED" || p.Outcome.Encryption.KeyName != id.Recipient().String() {
		t.Errorf("%+v, %v", p.Outcome, p.Err)
	}
}

func TestUnchanged_OnlyWithTheSameFingerprint(t *testing.T) {
	t.Parallel()
	h := &hand{print: "gtid:1"}
	x, _ := setup(t, h, nil)
	p := finish(t, x, job())
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	for now, want := range map[string]bool{"gtid:1": true, "gtid:2": false, "": false} {
		h.print = now
		if same, err := x.Unchanged(t.Context(), job(), *p.Outcome.Ref); err != nil || same != want {
			t.Errorf("now %q: unchanged %v, %v", now, same, err)
		}
	}
	h.print = ""
	j := job()
	j.Attempt = 2
	p = finish(t, x, j)
	if same, err := x.Unchanged(t.Context(), j, *p.Outcome.Ref); err != nil || same {
		t.Errorf("two unknown states: unchanged %v, %v", same, err)
	}
}

func TestUnchanged_OnlyIfTheCopyIsWhatABackupWouldMakeNow(t *testing.T) {
	t.Parallel()
	x, store := setup(t, &hand{print: "gtid:1"}, nil)
	p := finish(t, x, job())
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*executor.Job){
		"another database": func(j *executor.Job) { j.Database = "stock" },
		"a stronger proof": func(j *executor.Job) { j.Proof = events.ProofRestored },
		"other recipients": func(j *executor.Job) { j.Config.EncryptTo = []string{id.Recipient().String()} },
	} {
		j := job()
		change(&j)
		if same, err := x.Unchanged(t.Context(), j, *p.Outcome.Ref); err != nil || same {
			t.Errorf("%s: unchanged %v, %v", name, same, err)
		}
	}
	weaker := job()
	weaker.Proof = events.ProofStored
	if same, err := x.Unchanged(t.Context(), weaker, *p.Outcome.Ref); err != nil || !same {
		t.Errorf("a weaker proof: unchanged %v, %v", same, err)
	}
	objects, err := filepath.Glob(filepath.Join(store, "shop", "orders", "*", "*", "*.zst"))
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	if err := os.Truncate(objects[0], 3); err != nil {
		t.Fatal(err)
	}
	if same, err := x.Unchanged(t.Context(), job(), *p.Outcome.Ref); err != nil || same {
		t.Errorf("a cut object: unchanged %v, %v", same, err)
	}
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	if same, err := x.Unchanged(t.Context(), job(), *p.Outcome.Ref); err != nil || same {
		t.Errorf("a missing object: unchanged %v, %v", same, err)
	}
}

func TestSizeRatio(t *testing.T) {
	t.Parallel()
	x, store := setup(t, &hand{}, func(d *Deps, _ *archive.Options) { d.MinSizeRatio = 0.1 })
	j := job()
	j.LastSize = 1 << 30
	executortest.WantCode(t, finish(t, x, j).Err, events.Corrupt)
	wantNothing(t, store)
}

// hooked is a job with both hooks and the file that they write to.
func hooked(t *testing.T, pre, post string) (executor.Job, Hooks, string) {
	t.Helper()
	said := filepath.Join(t.TempDir(), "said")
	script := func(s string) Hook { return Hook{Exec: []string{"/bin/sh", "-c", s, "sh", said}} }
	j := job()
	j.Config.Hooks = &events.InstanceHooks{Pre: "pause", Post: "resume"}
	return j, Hooks{"pause": script(pre), "resume": script(post)}, said
}

const sayAll = `echo "$BACKUPBUS_HOOK $BACKUPBUS_PROJECT/$BACKUPBUS_INSTANCE $BACKUPBUS_BACKUP_ID $BACKUPBUS_ATTEMPT $BACKUPBUS_OUTCOME" >> "$1"`

func TestHooks_RunAroundTheReadingAndNotTheProof(t *testing.T) {
	t.Parallel()
	j, hooks, said := hooked(t, sayAll, sayAll)
	h := &hand{}
	h.prove = func(ctx context.Context, _ events.Proof, c Copy) error {
		b, err := os.ReadFile(said)
		if err != nil || strings.Count(string(b), "\n") != 2 {
			t.Errorf("when the proof began the hooks had said %q, %v", b, err)
		}
		return c.Unpack(ctx, c.Manifest.Objects[0], io.Discard)
	}
	x, _ := setup(t, h, func(d *Deps, _ *archive.Options) { d.Hooks = hooks })
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
	b, _ := os.ReadFile(said)
	want := "pre shop/orders bk_aaaaaaaaaaaaaaaaaaaaaaaaaa 1 \npost shop/orders bk_aaaaaaaaaaaaaaaaaaaaaaaaaa 1 copied\n"
	if string(b) != want {
		t.Errorf("want %q, got %q", want, b)
	}
}

func TestHooks_PreThatFails_FailsTheRunAndPostStillRuns(t *testing.T) {
	t.Parallel()
	j, hooks, said := hooked(t, "echo CANARY >&2; exit 1", sayAll)
	x, store := setup(t, &hand{}, func(d *Deps, _ *archive.Options) { d.Hooks = hooks })
	err := finish(t, x, j).Err
	executortest.WantCode(t, err, events.ProviderRejected)
	if f := executor.FailureOf(err); strings.Contains(f.Message, "CANARY") || !strings.Contains(f.Message, "pause") {
		t.Errorf("failure %+v", f)
	}
	wantNothing(t, store)
	if b, _ := os.ReadFile(said); !strings.HasSuffix(string(b), " failed\n") {
		t.Errorf("the post hook said %q", b)
	}
}

func TestHooks_PostThatFails_KeepsTheGoodCopy(t *testing.T) {
	t.Parallel()
	j, hooks, _ := hooked(t, "exit 0", "exit 1")
	x, _ := setup(t, &hand{}, func(d *Deps, _ *archive.Options) { d.Hooks = hooks })
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
}

func TestHooks_HTTP(t *testing.T) {
	t.Parallel()
	var got []told
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var one told
		if err := json.NewDecoder(r.Body).Decode(&one); err != nil {
			t.Error(err)
		}
		got = append(got, one)
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	j := job()
	j.Config.Hooks = &events.InstanceHooks{Pre: "ask"}
	x, _ := setup(t, &hand{}, func(d *Deps, _ *archive.Options) { d.Hooks = Hooks{"ask": {URL: s.URL}} })
	if p := finish(t, x, j); p.Err != nil {
		t.Fatal(p.Err)
	}
	if len(got) != 1 || got[0].Hook != "pre" || got[0].BackupID != j.BackupID || got[0].Instance != "orders" {
		t.Errorf("the hook got %+v", got)
	}
	for i, refused := range []int{http.StatusFound, http.StatusInternalServerError} {
		status = refused
		j.Attempt = i + 2
		executortest.WantCode(t, finish(t, x, j).Err, events.ProviderRejected)
	}
	if len(got) != 3 {
		t.Errorf("a redirect was followed: %+v", got)
	}
}

func TestHooks_UnknownNameIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	x, _ := setup(t, &hand{}, nil)
	j := job()
	j.Config.Hooks = &events.InstanceHooks{Post: "resume"}
	_, err := x.Start(t.Context(), j)
	executortest.WantCode(t, err, events.ProviderRejected)
}

func TestHook_Validate(t *testing.T) {
	t.Parallel()
	for _, bad := range []Hook{{}, {Exec: []string{"sh"}}, {URL: "no url"}, {URL: "http://a", Exec: []string{"/bin/true"}}, {URL: "http://a", Timeout: -1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if err := (Hook{URL: "http://127.0.0.1:1/x"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestBackup_AttemptThatMeetsAFinishedCopyLeavesIt(t *testing.T) {
	t.Parallel()
	x, _ := setup(t, &hand{}, nil)
	p := finish(t, x, job())
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	again, err := New("hand", &hand{parts: []Part{{Name: "dump.sql", Stream: text("another")}}}, x.Deps) // knows of no attempt
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	executortest.WantCode(t, finish(t, again, job()).Err, events.AlreadyExists)
	if _, err := again.Verify(t.Context(), job(), *p.Outcome.Ref, p.Outcome.Checksum, events.ProofChecked); err != nil {
		t.Errorf("the finished copy: %v", err)
	}
}

func TestVerify_ChecksumNeedsNoKey(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	x, _ := setup(t, &hand{}, nil)
	j := job()
	j.Config.EncryptTo, j.Proof = []string{id.Recipient().String()}, events.ProofStored
	p := finish(t, x, j)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	if _, err := x.Verify(t.Context(), j, *p.Outcome.Ref, p.Outcome.Checksum, events.ProofStored); err != nil {
		t.Error(err)
	}
	_, err = x.Restore(t.Context(), executor.RestoreJob{RestoreID: "rs_a", Source: *p.Outcome.Ref, Checksum: p.Outcome.Checksum})
	executortest.WantCode(t, err, events.PermissionDenied)
}

// TestHooks_PostRunsAfterACrash: what the pre hook halted goes on when the next process recovers the attempt.
func TestHooks_PostRunsAfterACrash(t *testing.T) {
	t.Parallel()
	j, hooks, said := hooked(t, "exit 0", sayAll)
	x, _ := setup(t, &hand{}, func(d *Deps, _ *archive.Options) { d.Hooks = hooks })
	if _, found, err := x.Recover(t.Context(), j); err != nil || found {
		t.Fatal(found, err)
	}
	if _, err := os.Stat(said); err == nil {
		t.Error("the post hook ran though no pre hook had been begun")
	}
	if err := x.pre(t.Context(), j); err != nil { // and then the process dies
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := x.Recover(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(said); strings.Count(string(b), "\n") != 1 || !strings.HasSuffix(string(b), " failed\n") {
		t.Errorf("the post hook said %q", b)
	}
}

// TestHooks_AddressIsNotRepeated: webhook addresses carry secrets.
func TestHooks_AddressIsNotRepeated(t *testing.T) {
	t.Parallel()
	err := Hooks{"ask": {URL: "http://127.0.0.1:1/" + executortest.Canary + "?key=" + executortest.Canary}}.run(t.Context(), "ask", told{})
	if err == nil || strings.Contains(err.Error(), executortest.Canary) {
		t.Errorf("%v", err)
	}
}

func TestPrepare_RoomForTheProofIsSeenBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	read := false
	h := &large{hand{parts: []Part{{Name: "dump", Stream: func(context.Context, io.Writer) (archive.Content, error) {
		read = true
		return archive.Content{}, nil
	}}}}}
	x, _ := setup(t, &h.hand, nil)
	x.engine = h
	executortest.WantCode(t, finish(t, x, job()).Err, events.StorageFull)
	if read {
		t.Error("the source was read")
	}
}

// large needs more room than there is.
type large struct{ hand }

func (l *large) Prepare(context.Context, executor.Job) (Source, error) { return l, nil }

func (l *large) ScratchNeed(events.Proof) int64 { return 1 << 60 }
