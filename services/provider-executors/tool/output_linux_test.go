package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Whoever is polled with epoll wakes at each write of the program, gathering or not.
func TestOutput_IsNotWatchedWhileNobodyWaits(t *testing.T) {
	t.Parallel()
	r, w, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.close(); _ = w.Close() }()
	polled, other, err := os.Pipe() // what the test has to be able to see
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = polled.Close(), other.Close() }()
	if !inEpoll(t, polled) {
		t.Fatal("an os.Pipe is not watched either, as far as can be seen here")
	}
	if inEpoll(t, r.file) {
		t.Error("it is watched")
	}
}

// inEpoll tells whether an epoll of this process has the file.
func inEpoll(t *testing.T, f *os.File) (found bool) {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	err = with(f, func(fd int) error {
		for _, path := range infos {
			info, _ := os.ReadFile(path) // others of the test's own are closed meanwhile
			for line := range bytes.Lines(info) {
				fields := bytes.Fields(line)
				found = found || len(fields) > 1 && string(fields[0]) == "tfd:" && string(fields[1]) == strconv.Itoa(fd)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A process that has left the group holds the pipe, so it does not end. The end of ctx ends the reading.
func TestRun_EndsThoughAnotherProcessHoldsTheOutput(t *testing.T) {
	t.Parallel()
	for name, passes := range map[string]bool{"passed on": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := pipe(t)
			var to io.Writer = w
			if !passes {
				to = io.Discard
			}
			stop := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			var said strings.Builder
			_, _, err := sh(t, ctx, "setsid sh -c 'echo $$; exec sleep 600' 2>/dev/null & wait", Command{Stdout: Looking(to, func(p []byte) error {
				said.Write(p)
				if strings.Contains(said.String(), "\n") {
					cancel(stop)
				}
				return nil
			})})
			var holder int
			if _, scan := fmt.Sscan(said.String(), &holder); scan != nil {
				t.Fatal(scan)
			}
			if held := syscall.Kill(holder, syscall.SIGKILL); held != nil {
				t.Errorf("nobody held the pipe: %v", held)
			}
			if !errors.Is(err, stop) {
				t.Error(err)
			}
		})
	}
}
