package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/backupbus/backupbus/events"
)

// sourceFailure is the one way from a raw error about the source or target at file to a Failure.
// The end of a context and what is a Failure already pass through.
func sourceFailure(file string, err error) error {
	var raw *driver.Error
	switch {
	case err == nil, isFailure(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &raw):
		return fmt.Errorf("%w: %w", ofCode(file, raw), err)
	default:
		return fmt.Errorf("read the database: %w", err)
	}
}

// copyFailure is sourceFailure for a file in the scratch folder or beside a target, which only this
// process uses.
func copyFailure(err error) error { return sourceFailure("", err) }

// ofCode is the table from SQLite's result codes (primary code: the low byte).
func ofCode(file string, raw *driver.Error) *events.Failure {
	by := func(code events.Code, who events.Category, retryable bool, message string) *events.Failure {
		return &events.Failure{Code: code, Category: who, Retryable: retryable, Message: message,
			ProviderCode: fmt.Sprintf("SQLITE_%d", raw.Code())}
	}
	switch raw.Code() & 0xff {
	case lib.SQLITE_NOTADB:
		return by(events.Corrupt, events.ByUser, false, "the file is not an SQLite database, or it is encrypted: correct the instance's file")
	case lib.SQLITE_CORRUPT:
		return by(events.Corrupt, events.ByUser, false, damagedMessage)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return by(events.ProviderUnavailable, events.ByUser, true, "another program holds a lock on the database: end its transaction, or put the database into WAL mode")
	case lib.SQLITE_PROTOCOL: // its wait for a lock of the WAL, ten seconds, is over
		return by(events.ProviderUnavailable, events.ByUser, true, "a program that uses the database holds the locks of its write-ahead log and does not go on: end it, or let it continue")
	case lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH, lib.SQLITE_READONLY:
		return notAllowed(file, raw, by)
	case lib.SQLITE_FULL:
		return by(events.StorageFull, events.BySystem, true, "the disk of the database is full: free space there")
	case lib.SQLITE_IOERR:
		return by(events.ProviderUnavailable, events.BySystem, true, "the disk of the database reports an error: see that it is there and healthy")
	case lib.SQLITE_ERROR:
		if missingExtension(raw) {
			return by(events.ProviderRejected, events.ByUser, false, "the database uses functions, collations or modules of its application, without which it cannot be checked: ask for proof STORED")
		}
	}
	return by(events.Internal, events.BySystem, true, "SQLite reports an error that the executor does not know: its log has the details under this backup's id")
}

type failureOf func(events.Code, events.Category, bool, string) *events.Failure

// notAllowed finds out why SQLite could not open a file, which it does not tell, without opening it.
func notAllowed(file string, raw *driver.Error, by failureOf) *events.Failure {
	switch {
	case raw.Code() == lib.SQLITE_READONLY_ROLLBACK || raw.Code() == lib.SQLITE_READONLY_RECOVERY:
		return by(events.ProviderUnavailable, events.ByUser, false, "the database was left in the middle of a transaction: open it once with its application, then try again")
	case file != "" && !may(file, accessRead):
		return by(events.PermissionDenied, events.ByUser, false, "the database file may not be read: give the executor's user the right to")
	case file != "" && !may(filepath.Dir(file), accessWrite):
		return by(events.PermissionDenied, events.ByUser, false, "the folder of the database may not be written, which WAL mode and restores need: give the executor's user the right to")
	}
	return by(events.ProviderUnavailable, events.BySystem, true, "the database could not be opened though its file may be read: the executor's log has the details under this backup's id")
}

func missingExtension(raw *driver.Error) bool {
	for _, sign := range []string{"no such collation", "no such module", "no such function", "unknown function", "unknown tokenizer", "unsafe use of"} {
		if strings.Contains(raw.Error(), sign) {
			return true
		}
	}
	return false
}

// What access(2) calls them.
const (
	accessRead  = 4
	accessWrite = 2
)

const damagedMessage = "the database is damaged: run PRAGMA integrity_check on it; the last good backup can be restored"

// damaged says that what was read is not a sound database; why goes to the log.
func damaged(why error) error {
	return fmt.Errorf("%w: %w", &events.Failure{Code: events.Corrupt, Category: events.ByUser, Message: damagedMessage}, why)
}

// fileFailure is an error of looking at a path that the user named.
func fileFailure(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", &events.Failure{Code: events.NotFound, Category: events.ByUser,
			Message: "the database file does not exist where the executor runs: correct the instance's file"}, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", &events.Failure{Code: events.PermissionDenied, Category: events.ByUser,
			Message: "a folder of the database may not be entered: give the executor's user the right to"}, err)
	}
	return fmt.Errorf("look at the database: %w", err)
}

func isFailure(err error) bool {
	var f *events.Failure
	return errors.As(err, &f)
}
