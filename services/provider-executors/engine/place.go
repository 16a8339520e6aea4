package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/backupbus/backupbus/events"
)

// Place is a part of the executor's world whose errors have a message of their own. It never names a path.
type Place struct {
	Name string // "the scratch folder of the executor"
	Full string // what to do about ENOSPC
}

var spaceOfScratch = Place{"the scratch folder of the executor", "it needs as much free space as the database has bytes: free space there, or ask for proof STORED"}

// Failure gives an error of the operating system its events.Failure, the raw one beside it for the log.
// An error that holds a Failure already passes through.
func (p Place) Failure(err error) error {
	f := &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true, Message: p.Name + " could not be used"}
	var known *events.Failure
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Code, f.Message = events.StorageFull, p.Name+" is full: "+p.Full
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		f.Code, f.Retryable, f.Message = events.PermissionDenied, false, p.Name+" cannot be written: give the executor's user the right to"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		f.Code, f.Retryable, f.Message = events.NotFound, false, p.Name+" does not exist: create it"
	}
	return fmt.Errorf("%w: %w", f, err)
}

// RoomFor is ENOSPC if fewer than need bytes are free in dir. A filesystem that does not say is tried.
func RoomFor(dir string, need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Blocks == 0 {
		return nil
	}
	if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < uint64(need) {
		return fmt.Errorf("%d bytes are free of %d needed: %w", free, need, syscall.ENOSPC)
	}
	return nil
}
