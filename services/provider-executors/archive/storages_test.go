package archive

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

func TestAt_RefusesEverythingButOneAttempt(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), map[string]string{"a": "file://" + t.TempDir(), "default": "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := s.Of(job(3))
	if err != nil || c.Storage() != DefaultName {
		t.Fatalf("%v, %v", c, err)
	}
	again, err := s.At(executor.Ref{BackupName: c.Name()})
	if err != nil || again.Name() != c.Name() {
		t.Errorf("%v, %v", again, err)
	}
	for _, name := range []string{"", "default:", "default:shop/", "default:shop/i/bk_a/", "default:shop/i/bk_a/attempt-1", "default:shop/i/../attempt-1/",
		"default:../../../attempt-1/", "default:shop/i/bk_a/attempt-0/", "/etc", c.Name() + "x/"} {
		if _, err := s.At(executor.Ref{BackupName: name}); err == nil {
			t.Errorf("%q is taken for a copy", name)
		}
	}
	_, err = s.At(executor.Ref{BackupName: strings.Replace(c.Name(), "default", "gone", 1)})
	wantCode(t, err, events.ProviderRejected)
	bad := job(1)
	bad.BackupID = "../x"
	if _, err := s.Of(bad); err == nil {
		t.Error("a backup id with a slash has a place")
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
		_, err := Open(t.Context(), map[string]string{"main": "file://" + dir})
		wantCode(t, err, events.PermissionDenied)
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Skip("a storage that cannot be written needs another user than root, or the right to mount")
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	_, err := Open(t.Context(), map[string]string{"main": "file://" + dir})
	wantCode(t, err, events.PermissionDenied)
}
