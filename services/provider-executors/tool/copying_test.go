package tool

import (
	"bytes"
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
	if err := carry(&p, &gathering{from: r, wide: wide}); err != nil {
		t.Fatal(err)
	}
	if p.bytes != many*len(line) || wide && p.n > many/10 {
		t.Errorf("%d bytes in %d pieces", p.bytes, p.n)
	}
}
