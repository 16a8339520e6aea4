package mysql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// filesOf is the one object of a physical copy.
func filesOf(m archive.Manifest) (archive.Object, error) {
	if len(m.Objects) != 1 {
		return archive.Object{}, corrupt("the manifest of the copy does not describe a server's files: the copy cannot be used", fmt.Errorf("%d objects", len(m.Objects)))
	}
	return m.Objects[0], nil
}

func ofMariaDB(m archive.Manifest) bool { return strings.Contains(m.EngineVersion, "MariaDB") }

// unpackFiles makes a data directory of a copy, ready to be started. tmp is the tool's own.
func (e *Engine) unpackFiles(ctx context.Context, c engine.Copy, o archive.Object, data, tmp string) error {
	s := &server{mariadb: ofMariaDB(c.Manifest)}
	unpacker, err := e.Programs.Find(s.names("mbstream", "xbstream")...)
	if err != nil {
		return err
	}
	preparer, err := e.find(ctx, s.names("mariadb-backup", "xtrabackup")...)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(data, 0o700), os.MkdirAll(tmp, 0o700)); err != nil {
		return targetPlace.Failure(err)
	}
	if err := extract(ctx, c, o, unpacker, data); err != nil {
		return err
	}
	said, err := tool.Run(ctx, tool.Command{Path: preparer.path, Working: engine.Alive(ctx),
		Args: []string{"--no-defaults", "--prepare", "--target-dir=" + data, "--tmpdir=" + tmp}})
	switch {
	case err != nil:
		return ofFiles(ctx, err, "the server's tool cannot recover the files in the copy: it cannot be trusted")
	case !strings.HasSuffix(strings.TrimSpace(said.Stderr), filesEnd):
		return corrupt("the server's tool does not say that it recovered the files in the copy: it cannot be trusted", fmt.Errorf("said %s", said.Stderr))
	}
	return nil
}

// extract takes the stream apart into a folder.
func extract(ctx context.Context, c engine.Copy, o archive.Object, unpacker, data string) error {
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe to the unpacker: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := tool.Run(ctx, tool.Command{Path: unpacker, Args: []string{"-x", "-C", data}, Stdin: out})
		ended <- err
	}()
	cut := c.Unpack(ctx, o, in)
	if cut != nil && !errors.Is(cut, syscall.EPIPE) { // then the unpacker has ended, and knows why
		cancel(cut)
	}
	cut = errors.Join(cut, in.Close())
	err = <-ended
	if err != nil {
		return ofFiles(ctx, err, "the files cannot be taken out of the copy: it cannot be trusted")
	}
	return cut
}

// fullForm is how the tools say that a disk is full.
var fullForm = regexp.MustCompile(`(?i)no space left on device|disk (?:is )?full|(?:errno|errcode|error number|os error)\W*28\b`)

// ofFiles is the failure of a tool that takes a copy of files apart or recovers it: the copy is to blame only
// if the tool ended by itself and was not short of space.
func ofFiles(ctx context.Context, err error, damaged string) error {
	var exit *tool.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	case exit.Exit < 0:
		return fmt.Errorf("%w: %w", unavailable("the program that unpacks or recovers the copy was killed where the executor runs: see whether the machine ran out of memory"), err)
	case fullForm.MatchString(exit.Stderr):
		return targetPlace.Failure(fmt.Errorf("%w: %w", syscall.ENOSPC, err))
	}
	return corrupt(damaged, fmt.Errorf("%w: %s", err, exit.Stderr))
}

// restorePhysical makes a data directory. It appears under its name when it is complete.
func (e *Engine) restorePhysical(ctx context.Context, j executor.RestoreJob, c engine.Copy) error {
	o, err := filesOf(c.Manifest)
	if err != nil {
		return err
	}
	dir := j.Target.DataDir
	switch {
	case !filepath.IsAbs(dir):
		return rejected("a physical copy is restored into a folder: set the target instance's dataDir to an absolute path that does not exist or is empty")
	case j.Database != "":
		return rejected("a physical copy holds a whole server: restore it without a name for the database")
	}
	dir = filepath.Clean(dir)
	if err := e.allowed(dir); err != nil {
		return err
	}
	if err := free(dir); err != nil {
		return err
	}
	mark, err := markOf(j.RestoreID)
	if err != nil {
		return err
	}
	half := halfOf(dir, mark)
	if err := os.MkdirAll(half, 0o700); err != nil {
		return targetPlace.Failure(err)
	}
	err = e.fillFolder(ctx, c, o, half, dir)
	return errors.Join(err, targetFailure(os.RemoveAll(half)))
}

// allowed refuses a folder outside DataRoots, symbolic links resolved.
func (e *Engine) allowed(dir string) error {
	if len(e.config.DataRoots) == 0 {
		return nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return targetPlace.Failure(err)
	}
	for _, root := range e.config.DataRoots {
		root, err := filepath.EvalSymlinks(root)
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(root, filepath.Join(parent, filepath.Base(dir))); err == nil && rel != "." && filepath.IsLocal(rel) {
			return nil
		}
	}
	return rejected("the executor's settings do not allow the target's dataDir: choose one below dataRoots")
}

func (e *Engine) fillFolder(ctx context.Context, c engine.Copy, o archive.Object, half, dir string) error {
	if err := engine.RoomFor(half, o.SourceBytes); err != nil {
		return targetPlace.Failure(err)
	}
	data := filepath.Join(half, "data")
	if err := e.unpackFiles(ctx, c, o, data, filepath.Join(half, "tmp")); err != nil {
		return err
	}
	if err := syncAll(data); err != nil {
		return targetPlace.Failure(err)
	}
	// Not os.Rename, which refuses any folder; this replaces an empty one, and no other.
	switch err := syscall.Rename(data, dir); {
	case errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR):
		return notEmpty()
	case errors.Is(err, syscall.EBUSY):
		return mounted()
	case err != nil:
		return targetPlace.Failure(&os.LinkError{Op: "rename", Old: data, New: dir, Err: err})
	}
	return targetFailure(syncFile(filepath.Dir(dir)))
}

// syncAll brings the files of a folder, and the folder, to the disk.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// free refuses a target that holds anything. Overwriting is not offered: a server may run on it.
func free(dir string) error {
	inside, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return targetPlace.Failure(err)
	case len(inside) > 0:
		return notEmpty()
	}
	var own, parent syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir, &own), syscall.Stat(filepath.Dir(dir), &parent)); err != nil {
		return targetPlace.Failure(err)
	}
	if own.Dev != parent.Dev {
		return mounted()
	}
	return nil
}

func notEmpty() error {
	return &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
		Message: "the target's dataDir is not empty, and a physical copy overwrites nothing: stop the server, move its files away, or set another dataDir"}
}

// mounted: the folder appears by a rename, which cannot put it in the place of a file system.
func mounted() error {
	return rejected("the target's dataDir is a file system of its own, in whose place the recovered folder cannot be put: set dataDir to a folder in it")
}

// halfOf is where the target grows, beside it: a name that is nobody else's.
func halfOf(dir, mark string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(dir)), "."+mark)
}

// recoverFolder removes what a killed restore left.
func recoverFolder(dir, mark string) error {
	if !filepath.IsAbs(dir) {
		return nil
	}
	return targetFailure(os.RemoveAll(halfOf(dir, mark)))
}

func targetFailure(err error) error {
	if err == nil {
		return nil
	}
	return targetPlace.Failure(err)
}

var targetPlace = engine.Place{Name: "the folder into which the server's files are unpacked", Full: "it needs as much free space as the server's files have bytes: free space there"}
