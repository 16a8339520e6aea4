package tool

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate puts the child into a group of its own and lets it die with this process.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// expose makes a memory file of each: no name in any folder, mode 0600, gone with its last descriptor.
func expose(all []File, as *Account) (*files, error) {
	f := &files{}
	for i, one := range all {
		if err := f.add(i, one, as); err != nil {
			f.close()
			return nil, fmt.Errorf("memory file: %w", err)
		}
	}
	return f, nil
}

func (f *files) add(i int, one File, as *Account) error {
	fd, err := unix.MemfdCreate("backupbus", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	m := os.NewFile(uintptr(fd), "memory file")
	f.inherited = append(f.inherited, m)
	f.names = append(f.names, fmt.Sprintf("/dev/fd/%d", 3+i)) // ExtraFiles begin at 3
	// A new memory file is open to all; mariadb ignores such an option file, libpq refuses it.
	if err := m.Chmod(0o600); err != nil {
		return err
	}
	if as != nil {
		if err := m.Chown(int(as.UID), int(as.GID)); err != nil {
			return err
		}
	}
	_, err = m.WriteString(one.Content)
	return err
}
