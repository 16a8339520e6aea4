package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Usable is the first copy of r that can be put back: whole, read and compared with its checksums, and with a
// key that is here. The error is that of the instance's own storage.
func (d Deps) Usable(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	refs := []executor.Ref{r}
	further, err := d.Storages.Further(r, r.CopiedTo)
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

// find is the copy that r names, with a manifest that agrees with the record.
func (d Deps) find(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	c, err := d.Storages.At(r)
	if err != nil {
		return nil, archive.Manifest{}, err
	}
	m, err := c.ReadManifest(ctx)
	if err != nil {
		return nil, archive.Manifest{}, err
	}
	if err := m.Matches(want); err != nil {
		return nil, archive.Manifest{}, err
	}
	return c, m, nil
}

// checkFurther compares the further copies with their manifests, and these with the record. It goes on after a
// fault, and its error names the storage.
func (x *Executor) checkFurther(ctx context.Context, r executor.Ref, want *events.Checksum) (seen events.Evidence, bytes int64, err error) {
	further, err := x.Storages.Further(r, r.CopiedTo)
	errs := []error{err}
	for _, c := range further {
		objects, n, err := x.checkOne(ctx, executor.Ref{BackupName: c.Name()}, want)
		bytes += n
		if err != nil {
			errs = append(errs, in(c.Storage(), err))
			continue
		}
		seen.Copies++
		seen.Objects = objects
	}
	return seen, bytes, errors.Join(errs...)
}

func (x *Executor) checkOne(ctx context.Context, r executor.Ref, want *events.Checksum) (objects int, bytes int64, err error) {
	c, m, err := x.ours(ctx, r, want)
	if err != nil {
		return 0, 0, err
	}
	n, err := c.Check(ctx, m)
	return len(m.Objects), n, err
}

// in says of which storage a failure is.
func in(storage string, err error) error {
	f := *executor.FailureOf(err)
	f.Message = fmt.Sprintf("the copy in storage %q: %s", storage, f.Message)
	return errors.Join(&f, err)
}

// furtherOf are the storages that a job names beside its own, which is first. Those that are not configured are
// missing beside the error.
func (x *Executor) furtherOf(c *archive.Copy, j executor.Job) ([]string, error) {
	names, err := x.Storages.Others(c.Storage(), j.Config.CopyTo)
	if err != nil {
		return names, fmt.Errorf("copyTo: %w", err)
	}
	return names, nil
}
