package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestBackup_UnreadableSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 10)
	if err := os.Chmod(source, 0); err != nil {
		t.Fatal(err)
	}
	enterable(t, filepath.Dir(w.data))
	e := w.executor(t)
	asNobody(t, func() {
		s, err := e.engine.begin(context.Background(), source)
		if err == nil {
			_ = s.Close()
		}
		executortest.WantCode(t, err, events.PermissionDenied)
	})
}

// enterable lets every user into the folders of a test.
func enterable(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// asNobody runs f with the file rights of another user, where the tests run as root, else as it is.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		f()
	}()
	<-done
}
