package executortest

import (
	"os"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of two megabytes until the test ends. Who may not mount one skips the test, or
// fails it where everything has to be tested.
func SmallDisk(t testing.TB, dir string) {
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
