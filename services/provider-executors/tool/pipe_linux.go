package tool

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe holds: with the usual 64 KiB two processes wake each other far more often.
const pipeSize = 1 << 20

// WidenPipe gives a pipe a larger buffer, and tells whether the system lets it: a user who is not root may have some ten
// of them.
func WidenPipe(f syscall.Conn) (wide bool) {
	err := with(f, func(fd int) error {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) //nolint:gosec // a descriptor
		wide = n >= pipeSize
		return err
	})
	return wide && err == nil
}

// Pass implements Passer: splice(2), and tee(2) where somebody looks.
func (p *Pipe) Pass(from *Output, look func([]byte) error) (int64, error) {
	if err := from.wait(); err != nil {
		return 0, err
	}
	out, err := p.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int64
	var failed error
	err = out.Write(func(to uintptr) (done bool) {
		failed = with(from.file, func(from int) (err error) { n, err = move(from, int(to), look != nil); return err })
		return !errors.Is(failed, unix.EAGAIN) // something lies in from, so the other one is full
	})
	switch {
	case err != nil:
		return 0, os.ErrClosed
	case errors.Is(failed, unix.EPERM), errors.Is(failed, unix.EINVAL), errors.Is(failed, unix.ENOSYS):
		return 0, errors.ErrUnsupported // a sandbox, or another kind of file: it is written then
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, io.EOF
	case look == nil:
		return n, nil
	}
	return n, p.passed(from, n, look)
}

// move lets what lies in a pipe go into another, or go there too and stay.
func move(from, to int, stay bool) (int64, error) {
	for {
		n, err := int64(0), error(nil)
		if stay {
			n, err = unix.Tee(from, to, pipeSize, unix.SPLICE_F_NONBLOCK)
		} else {
			n, err = unix.Splice(from, nil, to, nil, pipeSize, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		}
		if !errors.Is(err, unix.EINTR) {
			return n, os.NewSyscallError("splice", err)
		}
	}
}
