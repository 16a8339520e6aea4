package tool

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// copyBuffer is how much passes at once between a tool and what reads it.
const copyBuffer = 256 << 10

// copying carries what a child writes into a pipe to where it is wanted.
type copying struct {
	read  *Output
	write *os.File // for the child; whoever starts it closes it here
	done  chan struct{}
	err   error // when done: why not everything was carried; nil if it was, or was stopped
}

// closed is the end of what never began.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// gathering reads a pipe in large pieces. Tools write a few kilobytes at once, and who reads each piece as it comes is
// woken for it, and wakes who reads from it, which costs more than to carry the bytes (`make bench-data`). So what comes
// after a small piece is left to gather for a moment, in which a pipe of pipeSize does not fill up.
type gathering struct {
	from *Output
	wide bool  // it does not fill up meanwhile
	last int64 // bytes of the last piece
}

const (
	gatherFor = 2 * time.Millisecond
	small     = copyBuffer / 4
)

func (g *gathering) Read(p []byte) (int, error) {
	if g.last > 0 {
		g.gather(g.last)
	}
	n, err := g.from.Read(p)
	g.last = int64(n)
	return n, err
}

// gather waits after a piece of n bytes.
func (g *gathering) gather(n int64) {
	if g.wide && n < small {
		time.Sleep(gatherFor)
	}
}

// newCopying copies to a writer. much says that a lot will come, in which case it may gather.
func newCopying(to io.Writer, much bool) (*copying, error) {
	r, w, err := newOutput()
	if err != nil {
		return nil, err
	}
	wide := much && WidenPipe(r.file)
	c := &copying{read: r, write: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer r.close()
		c.err = carry(to, &gathering{from: r, wide: wide})
	}()
	return c, nil
}

// carry ends when the pipe does, which is no error, or to fails.
func carry(to io.Writer, g *gathering) error {
	for {
		n, err := PassTo(to, g.from, nil)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			// Hidden, so that io.CopyBuffer looks for no other way.
			_, err := io.CopyBuffer(struct{ io.Writer }{to}, g, make([]byte, copyBuffer))
			return err
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		g.gather(n)
	}
}

// end waits until everything has been carried, and tells why if not. When ctx ends first, no more is read; what is being
// written is waited for all the same.
func (c *copying) end(ctx context.Context) error {
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.read != nil {
			c.read.Stop()
		}
		<-c.done
	}
	return c.err
}
