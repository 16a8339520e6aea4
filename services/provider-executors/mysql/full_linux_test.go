package mysql_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// smallDisk mounts a file system of two megabytes.
func smallDisk(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		missing := "a full disk needs the right to mount a tmpfs: " + err.Error()
		if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestFull_StorageOfAnEncryptedDumpFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	smallDisk(t, w.store)
	key, recipient := identity(t)
	w.identities = key
	j, _, user := w.own(t, manyRows) // of noise, which no compression makes small
	j.Config.EncryptTo = []string{recipient}
	for _, proof := range []events.Proof{events.ProofStored, events.ProofRestored} {
		j.Proof = proof
		if f := w.failed(t, j, events.StorageFull, nothing); !f.Retryable || !strings.Contains(f.Message, "free space") {
			t.Errorf("failure %+v", f)
		}
		w.wantNoSession(t, user)
	}
}

func TestFull_StorageOfAPhysicalCopyFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fill(t, w.srv, database(t, w.srv), manyRows)
	smallDisk(t, w.store)
	if f := w.failed(t, j, events.StorageFull, nothing); !f.Retryable || !strings.Contains(f.Message, "free space") {
		t.Errorf("failure %+v", f)
	}
	w.wantNoSession(t, j.Config.User)
}
