package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// copyTries is how often a further copy is tried in one attempt, copyPause the wait before the second try.
const (
	copyTries = 3
	copyPause = 2 * time.Second
)

// copyOut makes the further copies of one that has been proven, each by itself: one that fails is said to
// have failed, and the backup stands. It returns what became of all, the first included, and the names of
// the storages that hold one. The error is that of ctx alone.
func (x *Executor) copyOut(ctx context.Context, c *archive.Copy, r executor.Ref, m archive.Manifest, p *pace) ([]events.Copy, []string, error) {
	states := []events.Copy{{Storage: c.Storage(), State: events.CopyStored, Proof: m.Proof, EndTime: m.EndTime}}
	further, err := x.Storages.Further(r)
	if err != nil {
		return nil, nil, err
	}
	var stored []string
	for _, to := range further {
		state := events.Copy{Storage: to.Storage(), State: events.CopyStored, Proof: m.Proof}
		if err := x.copyTo(ctx, c, to, m, p); err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			x.Log.WarnContext(ctx, "further copy failed", "backup_id", m.BackupID, "storage", to.Storage(), "error", events.Redact(err.Error()))
			state.State, state.Proof, state.Error = events.CopyFailed, "", executor.FailureOf(err)
		} else {
			stored = append(stored, to.Storage())
		}
		state.EndTime = events.At(x.Now())
		states = append(states, state)
	}
	return states, stored, nil
}

// copyTo makes one, and reads it back where the proof asks for that. The bytes are those that were proven,
// so it is proven as they are.
func (x *Executor) copyTo(ctx context.Context, c, to *archive.Copy, m archive.Manifest, p *pace) error {
	for try := 1; ; try++ {
		err := c.CopyTo(ctx, to, m, func(int64) { p.tell(events.Finalizing) })
		if err == nil && m.Proof != events.ProofStored {
			if _, err = to.Check(ctx, m); err != nil {
				err = errors.Join(err, x.abandon(ctx, to))
			}
		}
		var f *events.Failure
		if err == nil || try == copyTries || ctx.Err() != nil || errors.As(err, &f) && !f.Retryable {
			return err
		}
		pause := time.NewTimer(copyPause * time.Duration(try))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// everywhere are the places of r, its own storage last: what is removed there last can be found until then.
func (x *Executor) everywhere(r executor.Ref) ([]*archive.Copy, error) {
	first, err := x.Storages.At(r)
	if err != nil {
		return nil, err
	}
	further, err := x.Storages.Further(r)
	return append(further, first), err
}

// remove deletes every copy of r and returns the bytes set free.
func (x *Executor) remove(ctx context.Context, r executor.Ref) (freed int64, err error) {
	all, err := x.everywhere(r)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, c := range all {
		n, err := c.Delete(ctx)
		freed, errs = freed+n, append(errs, err)
	}
	return freed, errors.Join(errs...)
}

// removeLost removes what a process that is gone left of j. A further storage that is away holds nobody up:
// what lies there has no record.
func (x *Executor) removeLost(ctx context.Context, j executor.Job, r executor.Ref) error {
	further, err := x.Storages.Further(r)
	if err != nil {
		return err
	}
	for _, c := range further {
		if _, err := c.Delete(ctx); err != nil {
			x.Log.WarnContext(ctx, "a further copy of a lost attempt could not be removed", "backup_id", j.BackupID, "copy", c.Name(), "error", events.Redact(err.Error()))
		}
	}
	first, err := x.Storages.At(r)
	if err != nil {
		return err
	}
	_, err = first.Delete(ctx)
	return err
}

// remains tells whether anything of r is stored anywhere.
func (x *Executor) remains(ctx context.Context, r executor.Ref) (bool, error) {
	all, err := x.everywhere(r)
	if err != nil {
		return true, err
	}
	for _, c := range all {
		if left, err := c.Remains(ctx); err != nil || left {
			return true, err
		}
	}
	return false, nil
}

// checkFurther compares the further copies with the manifest. It goes on after a fault, and its error names
// the storage.
func (x *Executor) checkFurther(ctx context.Context, r executor.Ref, m archive.Manifest) (whole int, bytes int64, err error) {
	further, err := x.Storages.Further(r)
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, c := range further {
		n, err := x.checkOne(ctx, c, m)
		bytes += n
		if err == nil {
			whole++
			continue
		}
		errs = append(errs, in(c.Storage(), err))
	}
	return whole, bytes, errors.Join(errs...)
}

func (x *Executor) checkOne(ctx context.Context, c *archive.Copy, m archive.Manifest) (int64, error) {
	own, err := c.ReadManifest(ctx)
	if err != nil {
		return 0, err
	}
	if err := own.Matches(m.Checksum()); err != nil {
		return 0, err
	}
	return c.Check(ctx, m)
}

// in says of which storage a failure is.
func in(storage string, err error) error {
	f := *executor.FailureOf(err)
	f.Message = fmt.Sprintf("the copy in storage %q: %s", storage, f.Message)
	return errors.Join(&f, err)
}

// Usable is the first copy of r that can be put back: whole, read and compared with its checksums, and with a
// key that is here. The error is that of the instance's own storage.
func (d Deps) Usable(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	refs := []executor.Ref{r}
	further, err := d.Storages.Further(r)
	if err != nil {
		d.Log.WarnContext(ctx, "a further copy is out of reach", "error", events.Redact(err.Error()))
	}
	for _, c := range further {
		refs = append(refs, executor.Ref{BackupName: c.Name()})
	}
	var first error
	for i, at := range refs {
		c, m, err := d.whole(ctx, at, want)
		if err == nil {
			if i > 0 {
				d.Log.WarnContext(ctx, "the copy is read from another storage", "storage", c.Storage(), "instead_of", refs[0].BackupName, "error", events.Redact(first.Error()))
			}
			return c, m, nil
		}
		if ctx.Err() != nil {
			return nil, archive.Manifest{}, ctx.Err()
		}
		if first == nil {
			first = err
		}
	}
	return nil, archive.Manifest{}, first
}

// whole finds a copy and compares every object with its checksum.
func (d Deps) whole(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	c, m, err := d.find(ctx, r, want)
	if err != nil {
		return nil, m, err
	}
	if err := c.Unlock(ctx, m); err != nil {
		return nil, m, err
	}
	_, err = c.Check(ctx, m)
	return c, m, err
}

// furtherOf are the storages that a job names beside its own, which is first.
func (x *Executor) furtherOf(c *archive.Copy, j executor.Job) ([]string, error) {
	var names []string
	for _, name := range j.Config.CopyTo {
		if !slices.Contains(x.Storages.Names(), name) {
			return nil, rejected("storage %q of copyTo is not configured in this executor: configure it, or take it out of the instance", events.Clip(name, 64))
		}
		if name != c.Storage() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}
