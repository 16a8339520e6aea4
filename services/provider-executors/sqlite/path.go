package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// roots are folders with symbolic links resolved; none means everywhere.
type roots []string

func resolveRoots(folders []string) (roots, error) {
	var rs roots
	for _, f := range folders {
		r, err := filepath.EvalSymlinks(f)
		if err != nil || !filepath.IsAbs(f) {
			return nil, rejected("a root is not an absolute path of an existing folder: correct the executor's roots")
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// allow refuses a resolved path outside the roots.
func (rs roots) allow(path string) error {
	for _, r := range rs {
		if rel, err := filepath.Rel(r, path); err == nil && filepath.IsLocal(rel) {
			return nil
		}
	}
	if len(rs) == 0 {
		return nil
	}
	return rejected("the database file is outside the folders that this executor may touch: correct the instance's file or the executor's roots")
}

// source resolves the path of a database that has to exist. SQLite looks for -wal and -journal beside
// the resolved name. The file itself is not opened here: closing it would drop SQLite's locks.
func (e *Engine) source(file string) (string, error) {
	if err := absolute(file); err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", fileFailure(err)
	}
	if err := e.roots.allow(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fileFailure(err)
	}
	if !info.Mode().IsRegular() {
		return "", rejected("the instance's file is a folder or a special file and not a database: correct it")
	}
	return path, nil
}

// target resolves the path of a database that may not exist yet; its folder has to.
func (e *Engine) target(file string) (path string, exists bool, err error) {
	if err := absolute(file); err != nil {
		return "", false, err
	}
	if _, err := os.Lstat(file); err == nil {
		path, err := e.source(file)
		return path, true, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fileFailure(err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return "", false, spaceOfTarget.Failure(err)
	}
	path = filepath.Join(dir, filepath.Base(file))
	return path, false, e.roots.allow(path)
}

func absolute(file string) error {
	if file == "" {
		return rejected("the instance names no database file: set it to an absolute path")
	}
	if !filepath.IsAbs(file) || filepath.Clean(file) != file || strings.ContainsRune(file, 0) {
		return rejected("the instance's file is not a plain absolute path: correct it")
	}
	return nil
}

// may tells whether the effective user may do that with path, which it does not open.
func may(path string, mode uint32) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS) == nil
}

// sidecarData tells whether the files that belong to a database hold something of it.
func sidecarData(path string) (bool, error) {
	for _, suffix := range []string{"-wal", "-journal"} {
		info, err := os.Lstat(path + suffix)
		if err == nil && info.Size() > 0 {
			return true, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("look beside the target: %w", err)
		}
	}
	return false, nil
}
