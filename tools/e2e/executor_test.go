package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// underWay is a backup in the middle of its copy.
func underWay(t *testing.T) (a *apart, h *hook, id string) {
	t.Helper()
	h = newHook(t)
	a = startApart(t, h.port())
	a.subscribe(h)
	a.apply(map[string]string{"db": newDatabase(t, 200)})
	id, ok := a.ask("db", "k")
	if !ok {
		t.Fatal("not accepted")
	}
	// Not where it takes the database's locks, which nobody else would get from one that is stopped there.
	eventually(t, "the copy is being written", func() bool { return a.firstAttempt(id) > 1<<20 })
	return a, h, id
}

// firstAttempt is how many bytes of it lie in the storage.
func (a *apart) firstAttempt(id string) (n int64) {
	found, _ := filepath.Glob(filepath.Join(a.data, "backups", "shop", "db", id, "attempt-1", "*"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}

// wantSecondAttempt: it is the outcome, the next backup is not blocked, one copy of each is there, and each event is
// told once.
func (a *apart) wantSecondAttempt(h *hook, id string) {
	a.t.Helper()
	b := a.await(id)
	if b.State != "SUCCESSFUL" || b.Attempt != 2 {
		a.t.Errorf("%+v", b)
	}
	nextID, ok := a.ask("db", "next")
	if !ok {
		a.t.Fatal("the next backup is refused")
	}
	next := a.await(nextID)
	if next.State != "SUCCESSFUL" {
		a.t.Errorf("%+v", next)
	}
	eventually(a.t, "the first attempt is cleared away", func() bool { return a.firstAttempt(id) == 0 })
	if diff := cmp.Diff(map[string]bool{prefix(b): true, prefix(next): true}, manifests(a.t, a.program)); diff != "" {
		a.t.Error(diff)
	}
	for _, scratch := range []string{"scratch", anotherScratch} {
		if left, err := filepath.Glob(filepath.Join(a.data, scratch, "*")); err != nil || len(left) > 0 {
			a.t.Errorf("left in %s: %v, %v", scratch, left, err)
		}
	}
	steps, ids := a.told(id, 5)
	if diff := cmp.Diff([]string{"requested", "started", "attempt_failed", "started", "succeeded"}, steps); diff != "" {
		a.t.Error(diff)
	}
	all := append(ids, a.toldOf(nextID)...)
	eventually(a.t, "everything is told", func() bool { return h.has(all...) })
	if log := a.logged(); len(log) != len(all) {
		a.t.Errorf("events in the log: %v, want %v", log, all)
	}
	h.wantOnce(all)
}

// logged are the ids of all events of backups.
func (a *apart) logged() (ids []string) {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+a.addr+"/api/v1/projects/shop/events?type=backup.*", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/cloudevents-batch+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var page []struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		a.t.Fatal(err)
	}
	for _, ev := range page {
		ids = append(ids, ev.ID)
	}
	return ids
}

// anotherScratch is the scratch folder of a second executor.
const anotherScratch = "scratch-of-another"

// prefix is the place of a copy in its storage.
func prefix(b backup) string { return strings.TrimPrefix(b.Copy, "default:") }

func TestApart_ExecutorKilledInTheMiddle_TheNextAttemptSucceedsOnce(t *testing.T) {
	t.Parallel()
	a, h, id := underWay(t)
	a.killService("provider-executors")
	a.startService("provider-executors")
	a.wantSecondAttempt(h, id)
}

// Stopped for longer than AckWait: another executor takes the backup over. The first one, when it goes on, neither tells an
// outcome of its own nor leaves its copy, and takes the next backup.
func TestApart_ExecutorStoppedBeyondAckWait_AnotherOneSucceedsOnce(t *testing.T) {
	t.Parallel()
	a, h, id := underWay(t)
	first := a.cmds["provider-executors"].Process
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(a.settings)
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(a.data, "second.yaml")
	other := strings.Replace(string(text), "/scratch\n", "/"+anotherScratch+"\n", 1)
	if other == string(text) {
		t.Fatal("the second executor has the first one's scratch folder")
	}
	if err := os.WriteFile(second, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	a.startWith("second executor", "provider-executors", second)
	if b := a.await(id); b.State != "SUCCESSFUL" || b.Attempt != 2 {
		t.Errorf("%+v", b)
	}
	a.killService("second executor")
	if err := first.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.wantSecondAttempt(h, id)
}
