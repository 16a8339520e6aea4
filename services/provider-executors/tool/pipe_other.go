//go:build !linux

package tool

import (
	"errors"
	"os"
	"syscall"
)

// WidenPipe does nothing here.
func WidenPipe(syscall.Conn) (wide bool) { return false }

// Pass implements Passer.
func (p *Pipe) Pass(*os.File, func([]byte) error) (int64, error) { return 0, errors.ErrUnsupported }
