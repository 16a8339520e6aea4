//go:build !linux

package tool

import "os"

// Output is the reading end of the pipe that a program writes into.
type Output struct{ file *os.File }

// newOutput is a pipe: its reading end, which belongs to who reads, and the one for the program.
func newOutput() (_ *Output, write *os.File, err error) {
	r, w, err := os.Pipe()
	return &Output{r}, w, err
}

// Read waits until something lies in the pipe. Its end is an error, and so is Stop.
func (o *Output) Read(p []byte) (int, error) { return o.file.Read(p) }

// Stop ends the reading from any goroutine, whatever may still come.
func (o *Output) Stop() { _ = o.file.Close() }

// close is for who reads.
func (o *Output) close() { _ = o.file.Close() }
