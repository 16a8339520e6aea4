package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Provider is the name under which instances ask for this executor.
const Provider = "sqlite"

// Config says where the executor reads, writes and keeps.
type Config struct {
	// Storages are the places for copies: name to URL, `file:///folder`. At least one.
	Storages map[string]string

	// ScratchDir is where a copy is unpacked to be proven: as much free space as the largest database.
	// Empty: the system's folder for temporary files.
	ScratchDir string

	// Roots, if any, are the only folders in whose trees databases may be read and restored, symbolic
	// links resolved. Empty: whatever the process may reach.
	Roots []string

	// BusyTimeout is how long to wait for another program's lock on a database. 0: 30 s.
	BusyTimeout time.Duration

	// MinSizeRatio fails a backup (CORRUPT) whose stored size is below this share of the last good one,
	// 0.1 say. 0, the default, is off: that a copy is whole is known from its page count, and a database
	// becomes small honestly (a DELETE and VACUUM). Set it to hear of a database that was emptied.
	MinSizeRatio float64
}

// Deps is what the executor is given; all of it is needed.
type Deps struct {
	Now func() time.Time
}

// Executor backs up and restores SQLite databases. See the package for what it promises.
type Executor struct {
	config   Config
	now      func() time.Time
	storages *archive.Storages
	scratch  *scratch
	roots    roots
	local    *executor.Local

	reported func(context.Context, executor.Job, executor.Progress) // tests wait here; nil outside of them
}

var (
	_ executor.Executor  = (*Executor)(nil)
	_ executor.Canceler  = (*Executor)(nil)
	_ executor.Recoverer = (*Executor)(nil)
	_ executor.Verifier  = (*Executor)(nil)
	_ executor.Restorer  = (*Executor)(nil)

	_ executor.RestoreRecoverer = (*Executor)(nil)
)

// Capabilities is what a runner has to know about this provider.
func Capabilities() executor.Capabilities {
	return executor.Capabilities{PollEvery: time.Second, Local: true}
}

// New opens the storages and proves that they and the scratch folder can be written. Close it.
func New(ctx context.Context, d Deps, c Config) (*Executor, error) {
	if d.Now == nil {
		return nil, errors.New("sqlite executor: no clock")
	}
	if c.MinSizeRatio < 0 || c.MinSizeRatio > 1 {
		return nil, rejected("the size ratio %v is not between 0 and 1", c.MinSizeRatio)
	}
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 30 * time.Second
	}
	if c.ScratchDir == "" {
		c.ScratchDir = os.TempDir()
	}
	allowed, err := resolveRoots(c.Roots)
	if err != nil {
		return nil, fmt.Errorf("sqlite executor: %w", err)
	}
	sc, err := openScratch(c.ScratchDir)
	if err != nil {
		return nil, fmt.Errorf("sqlite executor: %w", err)
	}
	st, err := archive.Open(ctx, c.Storages)
	if err != nil {
		return nil, fmt.Errorf("sqlite executor: %w", err)
	}
	e := &Executor{config: c, now: d.Now, storages: st, scratch: sc, roots: allowed}
	e.local = executor.NewLocal(e.backUp)
	return e, nil
}

// Close cancels what runs, waits for it and closes the storages. Verify and Restore must have returned.
func (e *Executor) Close() error {
	return errors.Join(e.local.Close(), e.storages.Close())
}

// Start implements executor.Executor. The Ref names the place of the copy from the beginning, so that
// Delete finds what a failed attempt may have left.
func (e *Executor) Start(ctx context.Context, j executor.Job) (executor.Ref, error) {
	ref, err := e.ref(j)
	if err != nil {
		return executor.Ref{}, err
	}
	if err := e.refuse(j); err != nil {
		return executor.Ref{}, err
	}
	if _, err := e.local.Start(ctx, j); err != nil {
		return executor.Ref{}, err
	}
	return ref, nil
}

// Poll implements executor.Executor.
func (e *Executor) Poll(ctx context.Context, r executor.Ref) (executor.Progress, error) {
	return e.local.Poll(ctx, r)
}

// Cancel implements executor.Canceler. remains is what the storage says afterwards: also true if the
// copy was complete before the cancel reached it, which Poll then tells.
func (e *Executor) Cancel(ctx context.Context, r executor.Ref) (bool, error) {
	if err := e.local.Cancel(ctx, r); err != nil && !errors.Is(err, executor.ErrLost) {
		return true, err
	}
	c, err := e.storages.At(r)
	if err != nil {
		return true, err
	}
	if p, err := e.local.Poll(ctx, r); err == nil && p.Err == nil {
		return true, nil
	}
	if _, err := c.Delete(ctx); err != nil {
		return true, err
	}
	return c.Remains(ctx)
}

// Recover implements executor.Recoverer: work of an earlier process is over, since it ran inside it.
func (e *Executor) Recover(ctx context.Context, j executor.Job) (executor.Ref, bool, error) {
	ref, err := e.ref(j)
	if err != nil {
		return executor.Ref{}, false, err
	}
	if _, err := e.local.Poll(ctx, ref); err == nil {
		return ref, true, nil
	}
	c, err := e.storages.Of(j)
	if err != nil {
		return executor.Ref{}, false, err
	}
	if err := e.scratch.clear(scratchName(j)); err != nil {
		return executor.Ref{}, false, err
	}
	_, err = c.Delete(ctx)
	return executor.Ref{}, false, err
}

// Delete implements executor.Executor. A Ref without BackupName names no copy: nothing is deleted.
func (e *Executor) Delete(ctx context.Context, r executor.Ref) (int64, error) {
	if r.BackupName == "" {
		return 0, nil
	}
	c, err := e.storages.At(r)
	if err != nil {
		return 0, err
	}
	return c.Delete(ctx)
}

func (e *Executor) ref(j executor.Job) (executor.Ref, error) {
	c, err := e.storages.Of(j)
	if err != nil {
		return executor.Ref{}, err
	}
	ref := executor.LocalRef(j)
	ref.BackupName = c.Name()
	return ref, nil
}

// refuse says at once what no attempt could do.
func (e *Executor) refuse(j executor.Job) error {
	switch j.Proof {
	case "", events.ProofStored, events.ProofChecked, events.ProofRestored:
		return nil
	}
	return rejected("proof %q is not known: use STORED, CHECKED or RESTORED", events.Clip(string(j.Proof), 64))
}
