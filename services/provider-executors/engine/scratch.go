package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Scratch hands out private folders below one folder, each name to one user at a time.
type Scratch struct {
	root string

	mu   sync.Mutex
	used map[string]bool
}

// scratchDir is one of them.
type scratchDir struct {
	of   *Scratch
	name string
}

// ScratchTrier is an Engine that needs more of a scratch folder than that it can be written.
type ScratchTrier interface {
	// TryScratch tries it in an empty one, which is removed afterwards.
	TryScratch(dir string) error
}

// scratchPrefix begins the name of every folder.
const scratchPrefix = "backupbus-"

// scratchName is the folder of one attempt: named, so that what a killed process left is found again.
func scratchName(j executor.Job) string {
	token, err := events.Token(j.BackupID)
	if err != nil {
		token = "unnamed"
	}
	return fmt.Sprintf("%s%s-%d", scratchPrefix, token, j.Attempt)
}

// OpenScratch makes root if it is missing and proves that it can be written.
func OpenScratch(root string) (*Scratch, error) {
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
		return nil, spaceOfScratch.Failure(err)
	}
	return &Scratch{root: root, used: map[string]bool{}}, nil
}

// make makes the folder of that name for this user alone, removing what a killed process left in it,
// if need bytes are free.
func (s *Scratch) make(name string, need int64) (*scratchDir, error) {
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
		err = RoomFor(s.root, need)
	}
	if err == nil {
		err = os.Mkdir(d.path(), 0o700)
	}
	if err != nil {
		return nil, errors.Join(spaceOfScratch.Failure(err), d.remove())
	}
	return d, nil
}

// room is STORAGE_FULL if fewer than need bytes are free.
func (s *Scratch) room(need int64) error {
	if err := RoomFor(s.root, need); err != nil {
		return spaceOfScratch.Failure(err)
	}
	return nil
}

// note leaves an empty file that outlives the process.
func (s *Scratch) note(name string) error {
	f, err := os.OpenFile(filepath.Join(s.root, name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return spaceOfScratch.Failure(err)
	}
	return nil
}

func (s *Scratch) noted(name string) bool {
	_, err := os.Stat(filepath.Join(s.root, name))
	return err == nil
}

func (s *Scratch) forget(name string) { _ = os.Remove(filepath.Join(s.root, name)) }

// clear removes what a killed process left of an attempt and of its verification.
func (s *Scratch) clear(name string) error {
	for _, n := range []string{name, name + "-verify"} {
		s.mu.Lock()
		used := s.used[n]
		s.mu.Unlock()
		if used {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.root, n)); err != nil {
			return spaceOfScratch.Failure(err)
		}
	}
	return nil
}

func (d *scratchDir) path() string { return filepath.Join(d.of.root, d.name) }

func (d *scratchDir) remove() error {
	defer func() {
		d.of.mu.Lock()
		defer d.of.mu.Unlock()
		delete(d.of.used, d.name)
	}()
	if err := os.RemoveAll(d.path()); err != nil {
		return spaceOfScratch.Failure(err)
	}
	return nil
}
