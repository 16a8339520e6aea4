package mysql_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

func start(t *testing.T, x *engine.Executor, j executor.Job) executor.Ref {
	t.Helper()
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// cancelled cancels work and sees that nothing of it is left, not on the server either.
func (w *world) cancelled(t *testing.T, x *engine.Executor, j executor.Job, ref executor.Ref) {
	t.Helper()
	remains, err := x.Cancel(t.Context(), ref)
	if err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	p, err := x.Poll(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.wantFailure(t, j, p.Err, events.CodeCancelled)
}

func TestCancel_QueryThatHangsOnTheServerIsEnded(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, 10)
		holder, err := w.srv.Root().Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		run(t, holder, "LOCK TABLES "+name+".t WRITE")
		defer run(t, holder, "UNLOCK TABLES")

		x := w.executor(t)
		ref := start(t, x, j)
		eventually(t, "the tool to wait for the lock", func() bool {
			return strings.Contains(fmt.Sprint(sessions(t, w.srv, user)), "Waiting for table metadata lock")
		})
		w.cancelled(t, x, j, ref)
		// At once: some waits the server would end by itself after a while. The lock is still held.
		for _, s := range sessions(t, w.srv, user) {
			if s[3] != "NULL" {
				t.Errorf("still on the server: %q", s)
			}
		}
		w.wantNoSession(t, user)
	})
}

func TestCancel_ToolThatWasStoppedIsEnded(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, manyRows)
		stopped := make(chan error, 1)
		x, done, err := w.open(t.Context(), during(func() {
			for _, pid := range children(t, name) {
				stopped <- syscall.Kill(pid, syscall.SIGSTOP)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		ref := start(t, x, j)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		w.cancelled(t, x, j, ref)
		w.wantNoSession(t, user)
	})
}

func TestBackup_PasswordIsSeenNowhere(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, _ := w.own(t, manyRows)
		var seen strings.Builder
		x, done, err := w.open(t.Context(), during(func() {
			for _, pid := range children(t, name) {
				for _, file := range []string{"cmdline", "environ"} {
					b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
					if err != nil || len(b) == 0 {
						t.Errorf("%s: %v", file, err)
					}
					seen.Write(b)
				}
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		o := executortest.Take(t, x, j)
		if seen.Len() == 0 {
			t.Fatal("the tool was not seen: the test proves nothing")
		}
		seen.WriteString(w.manifest(t, *o.Ref))
		if !strings.Contains(seen.String(), name) {
			t.Error("what was read is not the tool's")
		}
		executortest.Unseen(t, "what was seen of the tool", []byte(seen.String()))
	})
}
