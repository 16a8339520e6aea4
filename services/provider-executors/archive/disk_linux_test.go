package archive

import (
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
)

// required skips, or fails where everything has to be tested.
func required(t testing.TB, missing string) {
	t.Helper()
	if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

func TestWrite_FullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		required(t, "a full disk needs the right to mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	c := opened(t, dir)
	noise := io.LimitReader(rand.Reader, 8<<20)
	_, err := c.Write(t.Context(), part, func(w io.Writer) error {
		_, err := io.Copy(w, noise)
		return err
	})
	wantCode(t, err, events.StorageFull)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOpen_StorageThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	st := &storage{name: "main"}
	for _, c := range []struct {
		err  error
		want events.Code
	}{
		{&fs.PathError{Op: "open", Path: "/secret", Err: syscall.EACCES}, events.PermissionDenied},
		{&fs.PathError{Op: "open", Path: "/secret", Err: syscall.EROFS}, events.PermissionDenied},
		{&fs.PathError{Op: "write", Path: "/secret", Err: syscall.ENOSPC}, events.StorageFull},
		{&fs.PathError{Op: "write", Path: "/secret", Err: syscall.EDQUOT}, events.StorageFull},
		{&fs.PathError{Op: "read", Path: "/secret", Err: syscall.EIO}, events.ProviderUnavailable},
	} {
		wantCode(t, st.fail("write to", c.err), c.want)
		if strings.Contains(st.failure(c.err).Message, "secret") {
			t.Error("the message names a path")
		}
	}
	if os.Geteuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), Options{URLs: map[string]string{"main": "file://" + dir}})
		wantCode(t, err, events.PermissionDenied)
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		required(t, "a storage that cannot be written needs another user than root, or the right to mount: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	_, err := Open(t.Context(), Options{URLs: map[string]string{"main": "file://" + dir}})
	wantCode(t, err, events.PermissionDenied)
}
