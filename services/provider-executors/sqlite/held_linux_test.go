package sqlite

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that was stopped at the wrong moment, an executor too, holds the locks of the write-ahead log. They are taken
// here by a descriptor, as another process would (fcntl(2), open file description locks).
func TestBackup_HeldWriteAheadLogIsRetryableAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	app := connect(t, source, "journal_mode(WAL)")
	run(t, app, "CREATE TABLE t (a)")
	shared, err := os.OpenFile(source+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shared.Close() }()
	// The bytes of the locks (sqlite.org/walformat.html, 2.3.1): writer, checkpointer, recovery, five readers.
	if err := unix.FcntlFlock(shared.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 120, Len: 8}); err != nil {
		t.Fatal(err)
	}
	if f := unavailable(t, w.executor(t), source); !f.Retryable || !strings.Contains(f.Message, "write-ahead log") {
		t.Errorf("failure %+v", f)
	}
	w.wantNothingLeft(t)
}
