//go:build !linux

package tool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// isolate puts the child into a group of its own.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// expose writes each file into a private folder, which close removes.
func expose(all []File, as *Account) (*files, error) {
	f := &files{}
	if len(all) == 0 {
		return f, nil
	}
	dir, err := os.MkdirTemp("", "backupbus-") // 0700
	if err != nil {
		return nil, err
	}
	f.dir = dir
	if as != nil {
		if err := os.Chown(dir, int(as.UID), int(as.GID)); err != nil {
			f.close()
			return nil, err
		}
	}
	for i, one := range all {
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(path, []byte(one.Content), 0o600); err != nil {
			f.close()
			return nil, fmt.Errorf("private file: %w", err)
		}
		if as != nil {
			if err := os.Chown(path, int(as.UID), int(as.GID)); err != nil {
				f.close()
				return nil, err
			}
		}
		f.names = append(f.names, path)
	}
	return f, nil
}
