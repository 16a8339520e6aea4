package tool

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Output is the reading end of the pipe that a program writes into.
//
// Go's poller does not have it. Linux wakes who watches a pipe with epoll at each write, whether something lay in the pipe
// or not, and tools write a few kilobytes at once: the poller woke for each, also while the bytes were left to gather, which
// on two cores cost a seventh of a backup (`make bench-data`). So it is waited for with poll(2), which watches only
// while it waits.
type Output struct {
	file          *os.File
	stopped, stop *os.File // the ends of a pipe: when stop is closed, nobody waits any more
}

// newOutput is a pipe: its reading end, which belongs to who reads, and the one for the program.
func newOutput() (_ *Output, write *os.File, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	o := &Output{file: os.NewFile(uintptr(ends[0]), "|0")}
	write = os.NewFile(uintptr(ends[1]), "|1")
	if o.stopped, o.stop, err = os.Pipe(); err != nil {
		_, _ = o.file.Close(), write.Close()
		return nil, nil, err
	}
	return o, write, nil
}

// Read waits until something lies in the pipe. io.EOF is its end, or Stop.
func (o *Output) Read(p []byte) (int, error) {
	if err := o.wait(); err != nil {
		return 0, err
	}
	return o.file.Read(p)
}

// Stop ends the reading from any goroutine, whatever may still come.
func (o *Output) Stop() { _ = o.stop.Close() }

// close is for who reads.
func (o *Output) close() {
	_, _, _ = o.file.Close(), o.stopped.Close(), o.stop.Close()
}

// wait returns when something lies in the pipe, or it has ended. io.EOF says that reading was stopped.
func (o *Output) wait() error {
	over := false
	err := with(o.file, func(pipe int) error {
		return with(o.stopped, func(stopped int) error {
			ends := []unix.PollFd{{Fd: int32(pipe), Events: unix.POLLIN}, {Fd: int32(stopped), Events: unix.POLLIN}} //nolint:gosec // descriptors
			for {
				_, err := unix.Poll(ends, -1)
				if !errors.Is(err, unix.EINTR) {
					over = ends[1].Revents != 0
					return os.NewSyscallError("poll", err)
				}
			}
		})
	})
	if over {
		return io.EOF
	}
	return err
}

// with lends the descriptor of f.
func with(f syscall.Conn, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
