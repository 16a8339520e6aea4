package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

var spaceOfTarget = engine.Place{
	Name: "the folder of the target",
	Full: "it needs as much free space as the server's files have bytes: free space there, or choose another target",
}

// restorePhysical unpacks a copy into the target's dataDir, which must not be there or be empty. The files
// are compared beside it first and get its name in one step.
func (e *Engine) restorePhysical(ctx context.Context, j executor.RestoreJob, c engine.Copy) (err error) {
	o, err := baseOf(c.Manifest)
	if err != nil {
		return err
	}
	if j.Database != "" {
		return rejected("a physical copy holds the whole server and cannot be restored under a database's name: set the target's dataDir instead")
	}
	target, err := e.dataDir(j.Target)
	if err != nil {
		return err
	}
	if err := engine.RoomFor(filepath.Dir(target), c.Manifest.SourceBytes()); err != nil {
		return spaceOfTarget.Failure(err)
	}
	stage := stageFolder(target, j)
	if err := os.RemoveAll(stage); err != nil {
		return spaceOfTarget.Failure(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	to := folderOf{root: stage, as: ownerOf(target), durable: true, space: spaceOfTarget}
	if err := to.folder("."); err != nil {
		return err
	}
	if err := unpackBase(ctx, c, o, to); err != nil {
		return err
	}
	if err := syscall.Rename(stage, target); err != nil { // refused unless it is missing or empty; os.Rename refuses an empty one too
		switch {
		case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
			return fmt.Errorf("%w: %w", occupied(), err)
		case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
			return fmt.Errorf("%w: %w", rejected("the target's dataDir is the top of a filesystem of its own, which cannot be replaced: name a folder in it"), err)
		}
		return spaceOfTarget.Failure(err)
	}
	return syncFolder(filepath.Dir(target))
}

func occupied() *events.Failure {
	return &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
		Message: "the target's dataDir holds files; a physical copy is restored only where nothing is, overwriting is not offered: empty it, or name another"}
}

// dataDir is the target's folder, if it may be used.
func (e *Engine) dataDir(c events.InstanceConfig) (string, error) {
	if !filepath.IsAbs(c.DataDir) {
		return "", rejected("the target names no dataDir, or none that is an absolute path: set it to the folder that the server will start from")
	}
	target := filepath.Clean(c.DataDir)
	parent, err := filepath.EvalSymlinks(filepath.Dir(target))
	if err != nil {
		return "", spaceOfTarget.Failure(err)
	}
	if target = filepath.Join(parent, filepath.Base(target)); !e.below(target) {
		return "", denied("the executor's settings do not allow the target's dataDir: choose one below dataRoots")
	}
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return target, nil
	case err != nil:
		return "", spaceOfTarget.Failure(err)
	case !info.IsDir():
		return "", occupied()
	}
	there, err := os.ReadDir(target)
	if err != nil {
		return "", spaceOfTarget.Failure(err)
	}
	if len(there) > 0 {
		return "", occupied()
	}
	return target, nil
}

func (e *Engine) below(target string) bool {
	if len(e.config.DataRoots) == 0 {
		return true
	}
	return slices.ContainsFunc(e.config.DataRoots, func(root string) bool {
		root, err := filepath.EvalSymlinks(root)
		if err != nil {
			return false
		}
		rel, err := filepath.Rel(root, target)
		return err == nil && rel != "." && filepath.IsLocal(rel)
	})
}

// stageFolder is where a restore unpacks: beside the target, on the same filesystem.
func stageFolder(target string, j executor.RestoreJob) string {
	return filepath.Join(filepath.Dir(target), "."+stageBase(j)+"files")
}

// ownerOf is who the files are for, if root restores them: whom the target belongs to, or its parent.
func ownerOf(target string) *tool.Account {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, path := range []string{target, filepath.Dir(target)} {
		if info, err := os.Stat(path); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				return &tool.Account{UID: st.Uid, GID: st.Gid}
			}
		}
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return spaceOfTarget.Failure(err)
	}
	return nil
}

// recoverPhysical removes what a restore that was cut left beside its target.
func (e *Engine) recoverPhysical(j executor.RestoreJob) error {
	if j.Target.DataDir == "" {
		return nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(filepath.Clean(j.Target.DataDir)))
	if err != nil || !filepath.IsAbs(j.Target.DataDir) {
		return nil // where nothing can have been unpacked
	}
	target := filepath.Join(parent, filepath.Base(filepath.Clean(j.Target.DataDir)))
	if !e.below(target) {
		return nil
	}
	if err := os.RemoveAll(stageFolder(target, j)); err != nil {
		return spaceOfTarget.Failure(err)
	}
	return nil
}
