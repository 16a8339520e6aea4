package tool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// pipe is what a program reads, and the Passer in front of it.
func pipe(t *testing.T) (read *os.File, to *Pipe) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, WritePipe(w)
}

// unread counts what is written by Write, which Pass makes needless.
type unread struct {
	*Pipe
	written int
}

func (u *unread) Write(p []byte) (int, error) {
	u.written += len(p)
	return u.Pipe.Write(p)
}

// more than all pipes on the way hold, in pieces of all sizes
const much = `i=0; while [ $i -lt 300 ]; do head -c $((i * 97)) /dev/zero | tr '\0' "$(printf "\\$((100 + i % 8))")"; i=$((i + 1)); done`

func TestRun_PassesOnWithoutACopy(t *testing.T) {
	t.Parallel()
	want, _, err := sh(t, t.Context(), much, Command{})
	if err != nil || len(want) < 2*pipeTestSize {
		t.Fatalf("%d bytes, %v", len(want), err)
	}
	for name, looks := range map[string]int{"nobody looks": 0, "one looks": 1, "two look": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := pipe(t)
			u := &unread{Pipe: w}
			var to io.Writer = u
			seen := make([]bytes.Buffer, looks)
			for i := range seen {
				to = Looking(to, func(p []byte) error { _, err := seen[i].Write(p); return err })
			}
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(r)
				got <- b
			}()
			_, _, err := sh(t, t.Context(), much, Command{Stdout: to})
			_ = w.Close()
			if b := <-got; err != nil || string(b) != want {
				t.Errorf("%d of %d bytes arrived, %v", len(b), len(want), err)
			}
			for i := range seen {
				if seen[i].String() != want {
					t.Errorf("%d saw %d of %d bytes", i, seen[i].Len(), len(want))
				}
			}
			if runtime.GOOS == "linux" && u.written > 0 {
				t.Errorf("%d bytes were copied", u.written)
			}
		})
	}
}

const pipeTestSize = 1 << 20

// Where the system does not move (what is at the end is no pipe here) everything is written after all.
func TestRun_WritesWhatCannotBePassedOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := sh(t, t.Context(), much, Command{})
	if err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	_, _, err = sh(t, t.Context(), much, Command{Stdout: Looking(WritePipe(f), func(p []byte) error { _, err := seen.Write(p); return err })})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != want || seen.String() != want {
		t.Errorf("%d written and %d seen of %d, %v", len(b), seen.Len(), len(want), err)
	}
}

// Without a pipe at the end everything is written, and looked at all the same.
func TestLooking_SeesWhatIsWritten(t *testing.T) {
	t.Parallel()
	var to, seen bytes.Buffer
	_, _, err := sh(t, t.Context(), much, Command{Stdout: Looking(&to, func(p []byte) error { _, err := seen.Write(p); return err })})
	if err != nil || to.Len() < 2*pipeTestSize || !bytes.Equal(to.Bytes(), seen.Bytes()) {
		t.Errorf("%d bytes, %d seen, %v", to.Len(), seen.Len(), err)
	}
}

func TestRun_WhoLooksEndsTheRun(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	bad := errors.New("this is no dump")
	_, _, err := sh(t, t.Context(), "while :; do echo something; done", Command{Stdout: Looking(w, func([]byte) error { return bad })})
	if !errors.Is(err, bad) {
		t.Error(err)
	}
}

func TestRun_EndsWhenNobodyReadsThePipe(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func([]byte) error{"nobody looks": nil, "one looks": func([]byte) error { return nil }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := pipe(t)
			_ = r.Close()
			var to io.Writer = w
			if look != nil {
				to = Looking(w, look)
			}
			if _, _, err := sh(t, t.Context(), "while :; do echo something; done", Command{Stdout: to}); !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		})
	}
}

// A pipe that is full and that nobody reads holds a run up until it is closed.
func TestRun_FullPipeEndsWithItsClose(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	ended := make(chan error)
	go func() {
		_, _, err := sh(t, ctx, "while :; do cat /dev/zero; done", Command{Stdout: Looking(w, func(p []byte) error {
			if n += len(p); n >= pipeTestSize { // it is full
				cancel(stop)
			}
			return nil
		})})
		ended <- err
	}()
	<-ctx.Done()
	_ = w.Close()
	if err := <-ended; !errors.Is(err, stop) && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// A program that says nothing is ended too.
func TestRun_SilentProgramEndsWithTheContext(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, _, err := sh(t, ctx, "echo ready; exec sleep 600", Command{Stdout: Looking(w, func([]byte) error { cancel(stop); return nil })})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}
