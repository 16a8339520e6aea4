//go:build !linux

package tool

import (
	"errors"
	"syscall"
)

// WidenPipe does nothing here.
func WidenPipe(syscall.Conn) (wide bool) { return false }

// Pass implements Passer.
func (p *Pipe) Pass(*Output, func([]byte) error) (int64, error) { return 0, errors.ErrUnsupported }
