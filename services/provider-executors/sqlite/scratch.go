package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// scratch hands out private folders below one folder, each name to one user at a time.
type scratch struct {
	root string

	mu   sync.Mutex
	used map[string]bool
}

// scratchDir is one of them.
type scratchDir struct {
	of   *scratch
	name string
}

// scratchName is the folder of one attempt: named, so that what a killed process left is found again.
func scratchName(j executor.Job) string {
	token, err := events.Token(j.BackupID)
	if err != nil {
		token = "unnamed"
	}
	return fmt.Sprintf("backupbus-%s-%d", token, j.Attempt)
}

// openScratch makes root if it is missing and proves that it can be written.
func openScratch(root string) (*scratch, error) {
	root, err := filepath.Abs(root)
	if err == nil {
		err = os.MkdirAll(root, 0o700)
	}
	if err == nil {
		var probe string
		if probe, err = os.MkdirTemp(root, "backupbus-writable-"); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		return nil, spaceOfScratch.failure(err)
	}
	return &scratch{root: root, used: map[string]bool{}}, nil
}

// make makes the folder of that name for this user alone, removing what a killed process left in it,
// if need bytes are free.
func (s *scratch) make(name string, need int64) (*scratchDir, error) {
	s.mu.Lock()
	taken := s.used[name]
	s.used[name] = true
	s.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("scratch folder %s is in use", name)
	}
	d := &scratchDir{of: s, name: name}
	err := os.RemoveAll(d.path())
	if err == nil {
		err = roomFor(s.root, need)
	}
	if err == nil {
		err = os.Mkdir(d.path(), 0o700)
	}
	if err != nil {
		return nil, errors.Join(spaceOfScratch.failure(err), d.remove())
	}
	return d, nil
}

// clear removes what a killed process left of an attempt and of its verification.
func (s *scratch) clear(name string) error {
	for _, n := range []string{name, name + "-verify"} {
		s.mu.Lock()
		used := s.used[n]
		s.mu.Unlock()
		if used {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.root, n)); err != nil {
			return spaceOfScratch.failure(err)
		}
	}
	return nil
}

func (d *scratchDir) path() string { return filepath.Join(d.of.root, d.name) }

func (d *scratchDir) file(name string) string { return filepath.Join(d.path(), name) }

func (d *scratchDir) remove() error {
	defer func() {
		d.of.mu.Lock()
		defer d.of.mu.Unlock()
		delete(d.of.used, d.name)
	}()
	if err := os.RemoveAll(d.path()); err != nil {
		return spaceOfScratch.failure(err)
	}
	return nil
}

// roomFor is ENOSPC if fewer than need bytes are free in dir. A filesystem that does not say is tried.
func roomFor(dir string, need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Blocks == 0 {
		return nil
	}
	if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < uint64(need) {
		return fmt.Errorf("%d bytes are free of %d needed: %w", free, need, syscall.ENOSPC)
	}
	return nil
}
