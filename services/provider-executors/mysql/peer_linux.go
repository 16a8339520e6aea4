package mysql

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peer is the process that listens on the server's socket; 0: the connection does not tell.
func (s *server) peer(ctx context.Context) (pid int, err error) {
	c, err := s.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return 0, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var of *unix.Ucred
	err2 := raw.Control(func(fd uintptr) { of, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, err2); err != nil {
		return 0, err
	}
	return int(of.Pid), nil
}
