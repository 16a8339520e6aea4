package tool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func terminate(cmd *exec.Cmd) error { return signalGroup(cmd, syscall.SIGTERM) }

func killGroup(cmd *exec.Cmd) { _ = signalGroup(cmd, syscall.SIGKILL) }

func signalGroup(cmd *exec.Cmd, s syscall.Signal) error {
	if cmd.Process == nil {
		return os.ErrProcessDone
	}
	err := syscall.Kill(-cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// files are the Files of one run, as the child sees them.
type files struct {
	inherited []*os.File
	names     []string
	dir       string
}

// fill puts the files' names where {0}, {1} … stand.
func (f *files) fill(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		for n, name := range f.names {
			s = strings.ReplaceAll(s, fmt.Sprintf("{%d}", n), name)
		}
		out[i] = s
	}
	return out
}

func (f *files) close() {
	for _, m := range f.inherited {
		_ = m.Close()
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}
