package tool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe holds: with the usual 64 KiB two processes wake each other far more often.
const pipeSize = 1 << 20

// WidenPipe gives a pipe a larger buffer, where the system lets it.
func WidenPipe(f syscall.Conn) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}
