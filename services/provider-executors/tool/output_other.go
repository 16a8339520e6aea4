//go:build !linux

package tool

import (
	"errors"
	"io"
	"os"
)

// Output is the reading end of the pipe that a program writes into.
type Output struct{ file *os.File }

// newOutput is a pipe: its reading end, which belongs to who reads, and the one for the program.
func newOutput() (_ *Output, write *os.File, err error) {
	r, w, err := os.Pipe()
	return &Output{r}, w, err
}

// Read waits until something lies in the pipe. io.EOF is its end, or Stop.
func (o *Output) Read(p []byte) (int, error) {
	n, err := o.file.Read(p)
	if errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// Stop ends the reading from any goroutine, whatever may still come.
func (o *Output) Stop() { _ = o.file.Close() }

// close is for who reads.
func (o *Output) close() { _ = o.file.Close() }
