package tool

import (
	"errors"
	"io"
	"os"
)

// Passer is a writer with a pipe at its end: what lies in another pipe goes there without a copy through this
// process, which on two cores is most of what a process between two programs costs (`make bench-data`).
type Passer interface {
	io.Writer
	// Pass waits until something lies in from and moves it to where Write would put it. look, which may be nil, sees
	// every byte in order, when it may be there already; its error comes back. io.EOF is the end of from, also if it was stopped here.
	// errors.ErrUnsupported says that nothing was moved and that only Write works.
	Pass(from *Output, look func([]byte) error) (int64, error)
}

// PassTo is Pass of to, if that has it.
func PassTo(to io.Writer, from *Output, look func([]byte) error) (int64, error) {
	if p, ok := to.(Passer); ok {
		return p.Pass(from, look)
	}
	return 0, errors.ErrUnsupported
}

// Looking is to, and look sees every byte that goes there, in order; its error ends the writing.
func Looking(to io.Writer, look func([]byte) error) Passer { return &looking{to, look} }

type looking struct {
	io.Writer
	look func([]byte) error
}

func (l *looking) Write(p []byte) (int, error) {
	if err := l.look(p); err != nil {
		return 0, err
	}
	return l.Writer.Write(p)
}

func (l *looking) Pass(from *Output, look func([]byte) error) (int64, error) {
	if look == nil {
		return PassTo(l.Writer, from, l.look)
	}
	return PassTo(l.Writer, from, func(p []byte) error { return errors.Join(l.look(p), look(p)) })
}

// Pipe is the writing end of a pipe that a program reads.
type Pipe struct {
	*os.File
	buf []byte
}

// WritePipe makes f a Passer, and its pipe a wide one.
func WritePipe(f *os.File) *Pipe {
	WidenPipe(f)
	return &Pipe{File: f}
}

// passed shows what has gone on to look, which takes it out of from.
func (p *Pipe) passed(from *Output, n int64, look func([]byte) error) error {
	if p.buf == nil {
		p.buf = make([]byte, copyBuffer)
	}
	for n > 0 {
		got, err := from.file.Read(p.buf[:min(n, int64(len(p.buf)))])
		if err != nil {
			return err
		}
		if err := look(p.buf[:got]); err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}
