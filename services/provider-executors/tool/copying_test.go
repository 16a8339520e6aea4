package tool

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// counting counts the pieces in which a reader gives what it has.
type counting struct {
	from   io.Reader
	pieces int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if n > 0 {
		c.pieces++
	}
	return n, err
}

// Of what is written in small pieces few large ones are read, and everything.
func TestGathering_ReadsLargePieces(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	WidenPipe(r)
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
	c := &counting{from: r}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, &gathering{from: c}, make([]byte, copyBuffer))
	if err != nil || n != many*int64(len(line)) || c.pieces > many/10 {
		t.Errorf("%d bytes in %d pieces, %v", n, c.pieces, err)
	}
}
