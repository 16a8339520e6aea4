package tool

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// pieces counts the pieces in which it is written.
type pieces struct{ bytes, n int }

func (p *pieces) Write(b []byte) (int, error) {
	p.bytes += len(b)
	p.n++
	return len(b), nil
}

// Of what is written in small pieces few large ones are read, and everything.
func TestGathering_ReadsLargePieces(t *testing.T) {
	t.Parallel()
	r, w, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	wide := WidenPipe(r.file)
	const many = 4000
	line := bytes.Repeat([]byte("x"), 1000)
	go func() {
		defer func() { _ = w.Close() }()
		for range many {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}()
	var p pieces
	carry(&p, &gathering{from: r, wide: wide})
	if p.bytes != many*len(line) || wide && p.n > many/10 {
		t.Errorf("%d bytes in %d pieces", p.bytes, p.n)
	}
}

// Whoever is polled with epoll wakes at each write of the program, gathering or not.
func TestOutput_IsNotWatchedWhileNobodyWaits(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux wakes whoever watches, whether something lay in the pipe or not")
	}
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
	c, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Control(func(fd uintptr) {
		for _, path := range infos {
			info, _ := os.ReadFile(path) // others of the test's own are closed meanwhile
			for line := range bytes.Lines(info) {
				fields := bytes.Fields(line)
				found = found || len(fields) > 1 && string(fields[0]) == "tfd:" && string(fields[1]) == strconv.Itoa(int(fd))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
