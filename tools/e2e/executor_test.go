package e2e

import (
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
	nextID, _ := a.ask("db", "next")
	next := a.await(nextID)
	if next.State != "SUCCESSFUL" {
		a.t.Errorf("%+v", next)
	}
	eventually(a.t, "the first attempt is cleared away", func() bool { return a.firstAttempt(id) == 0 })
	if diff := cmp.Diff(map[string]bool{prefix(b): true, prefix(next): true}, manifests(a.t, a.program)); diff != "" {
		a.t.Error(diff)
	}
	noLeftovers(a.t, a.program)
	steps, ids := a.told(id, 5)
	if diff := cmp.Diff([]string{"requested", "started", "attempt_failed", "started", "succeeded"}, steps); diff != "" {
		a.t.Error(diff)
	}
	h.wantOnce(append(ids, a.toldOf(nextID)...))
}

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
	if err := os.WriteFile(second, []byte(strings.Replace(string(text), "/scratch\n", "/scratch-of-another\n", 1)), 0o600); err != nil {
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
