package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"
	sqlite "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// stepPages is how much of an overwrite passes between two looks at ctx. The whole is one transaction.
const stepPages = 4096

var spaceOfTarget = engine.Place{Name: "the folder of the target", Full: "it needs as much free space as the database has bytes, twice with overwrite: free space there, or choose another target"}

// Restore implements engine.Engine; the package says what happens to the target. Every target is looked at
// before the first is written.
func (e *Engine) Restore(ctx context.Context, j executor.RestoreJob, c engine.Copy) error {
	if err := ours(c.Manifest); err != nil {
		return err
	}
	moves, err := e.moves(j, c.Manifest)
	if err != nil {
		return err
	}
	left := c.Manifest.SourceBytes()
	for _, m := range moves {
		left -= m.object.SourceBytes
	}
	c.Expect(-left)
	for _, m := range moves {
		if err := refuseTarget(m.path, m.exists, j.Overwrite); err != nil {
			return err
		}
	}
	return e.put(ctx, c, moves, j)
}

// put unpacks and checks every object beside its target, and only then puts the first in place. What it made
// of targets that were not there is gone again when a later one fails; a replaced one stays replaced.
func (e *Engine) put(ctx context.Context, c engine.Copy, moves []move, j executor.RestoreJob) (err error) {
	var temps, made []string
	defer func() {
		for _, t := range temps {
			if rerr := os.Remove(t); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
				err = spaceOfTarget.Failure(rerr)
			}
		}
		if err != nil {
			for _, path := range made {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	for i := range moves {
		temp, err := tempBeside(moves[i].path, j.RestoreID)
		if err != nil {
			return err
		}
		temps = append(temps, temp)
		if err := unpackBeside(ctx, c, moves[i], temp); err != nil {
			return err
		}
	}
	for i, m := range moves {
		if m.exists {
			err = e.replace(ctx, temps[i], m.path, j.Overwrite, stepPages)
		} else if err = install(temps[i], m.path); err == nil {
			made = append(made, m.path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unpackBeside makes the checked copy of one object in a temporary file.
func unpackBeside(ctx context.Context, c engine.Copy, m move, temp string) error {
	need := m.object.SourceBytes
	if m.exists {
		need *= 2 // the transaction that replaces the content needs as much again
	}
	if err := engine.RoomFor(filepath.Dir(m.path), need); err != nil {
		return spaceOfTarget.Failure(err)
	}
	if err := unpack(ctx, c, m.object, temp, spaceOfTarget); err != nil {
		return err
	}
	if err := checkFile(ctx, temp, m.object, counted{}); err != nil {
		return fmt.Errorf("check the restored file: %w", err)
	}
	return nil
}

// move is one object and where it goes.
type move struct {
	object archive.Object
	path   string
	exists bool
}

// moves pairs objects and files. One object goes to the target's only file, or to the one named as database;
// several, and one whose target has several, go to the files of their names.
func (e *Engine) moves(j executor.RestoreJob, m archive.Manifest) ([]move, error) {
	targets, err := configured(j.Target)
	if err != nil {
		return nil, err
	}
	var all []move
	for _, o := range m.Objects {
		to := slices.IndexFunc(targets, func(f file) bool {
			if len(m.Objects) == 1 && j.Database != "" {
				return f.name == j.Database
			}
			if len(m.Objects) == 1 && len(targets) == 1 {
				return true
			}
			return f.name == o.Database && (j.Database == "" || j.Database == o.Database)
		})
		if to < 0 {
			continue
		}
		one := move{object: o}
		if one.path, one.exists, err = e.target(targets[to].path); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 || j.Database == "" && len(all) != len(m.Objects) {
		return nil, rejected("the target has no files of the names that the databases in the copy have: register an instance that has, or name one database")
	}
	return all, nil
}

// refuseTarget says ALREADY_EXISTS for a target that holds data, by size alone: it need not be a database.
func refuseTarget(path string, exists, overwrite bool) error {
	beside, err := sidecarData(path)
	if err != nil {
		return spaceOfTarget.Failure(err)
	}
	if !exists {
		if beside {
			return occupied("beside the target lies a -wal or -journal with the data of a database that is gone: move it away")
		}
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fileFailure(err)
	}
	if !overwrite && (info.Size() > 0 || beside) {
		return occupied("the target holds data: choose another one, or restore with overwrite")
	}
	return nil
}

// refuseFilled is the second look at a target, under its lock: a -journal is our own by now.
func refuseFilled(path string, overwrite bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return fileFailure(err)
	}
	if !overwrite && info.Size() > 0 {
		return occupied("the target was filled while the restore ran: choose another one, or restore with overwrite")
	}
	return nil
}

func occupied(message string) error {
	return &events.Failure{Code: events.AlreadyExists, Category: events.ByUser, Message: message}
}

// RecoverRestore implements engine.Engine: it removes the unpacked copies beside the targets.
func (e *Engine) RecoverRestore(_ context.Context, j executor.RestoreJob) error {
	targets, err := configured(j.Target)
	if err != nil {
		return nil //nolint:nilerr // a target that may not be written holds nothing of ours
	}
	for _, t := range targets {
		path, _, err := e.target(t.path)
		var f *events.Failure
		if errors.As(err, &f) && !f.Retryable {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := tempBeside(path, j.RestoreID); err != nil {
			return err
		}
	}
	return nil
}

// tempBeside is the name of the unpacked copy; what a killed restore of the same id left is removed.
func tempBeside(path, restoreID string) (string, error) {
	token, err := events.Token(restoreID)
	if err != nil {
		return "", fmt.Errorf("restore id: %w", err)
	}
	// Two targets of one restore may lie in one folder.
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".backupbus-%s-%016x", token, xxhash.Sum64String(filepath.Base(path))))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", spaceOfTarget.Failure(err)
	}
	return temp, nil
}

// install gives the synced temp the target's name and fails if there is such a file by now.
func install(temp, path string) error {
	err := os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		return occupied("the target was created while the restore ran: choose another one, or restore with overwrite")
	}
	if err != nil { // a filesystem without hard links
		if _, serr := os.Lstat(path); !errors.Is(serr, fs.ErrNotExist) {
			return spaceOfTarget.Failure(errors.Join(err, serr))
		}
		if err := os.Rename(temp, path); err != nil {
			return spaceOfTarget.Failure(err)
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return spaceOfTarget.Failure(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return spaceOfTarget.Failure(err)
	}
	return nil
}

// replace puts the content of temp into the existing database at path, in one transaction of SQLite's,
// and looks at ctx after so many pages.
func (e *Engine) replace(ctx context.Context, temp, path string, overwrite bool, pages int32) error {
	src, err := private(ctx, temp)
	if err != nil {
		return copyFailure(err)
	}
	defer src.Close()
	to := uri(path, e.config.BusyTimeout, url.Values{"mode": {"rw"}}, "synchronous(FULL)")
	err = src.Raw(func(conn any) error {
		b, err := conn.(backuper).NewBackup(to)
		if err != nil {
			return err
		}
		err = copyPages(ctx, b, path, overwrite, pages)
		return errors.Join(err, b.Finish()) // without the last step it rolls back
	})
	return targetFailure(path, err)
}

// backuper is the connection of modernc.org/sqlite.
type backuper interface {
	driver.Conn
	NewBackup(dstURI string) (*sqlite.Backup, error)
}

func copyPages(ctx context.Context, b *sqlite.Backup, path string, overwrite bool, pages int32) error {
	if _, err := b.Step(0); err != nil { // locks the target
		return err
	}
	if err := refuseFilled(path, overwrite); err != nil { // now nobody else can write
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := b.Step(pages)
		if err != nil || !more {
			return err
		}
	}
}

// targetFailure words what only a target can meet.
func targetFailure(path string, err error) error {
	var raw *sqlite.Error
	if !errors.As(err, &raw) || isFailure(err) {
		return sourceFailure(path, err)
	}
	switch code := raw.Code(); {
	case code == lib.SQLITE_READONLY && may(path, accessWrite) && may(filepath.Dir(path), accessWrite):
		return fmt.Errorf("%w: %w", rejected("the target is in WAL mode and has another page size than the copy: set its journal_mode to DELETE, or restore into a new file"), err)
	case code&0xff == lib.SQLITE_NOTADB || code&0xff == lib.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", occupied("the target is not a sound SQLite database, so it cannot be replaced in one transaction: move it away together with its -wal and -journal, then restore again"), err)
	case code&0xff == lib.SQLITE_BUSY:
		return fmt.Errorf("%w: %w", &events.Failure{Code: events.ProviderUnavailable, Category: events.ByUser, Retryable: true,
			Message: "the target is in use: stop the programs that use it, then restore again"}, err)
	}
	return sourceFailure(path, err)
}
