package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

var _ executor.Copier = (*Executor)(nil)

// Copies implements executor.Copier: a backup may be the copy of another one, of this instance or another of the
// engine.
func (x *Executor) Copies() {}

// duplicate stores the objects of another backup as those of j. Every byte is compared with the source's manifest on
// the way; the proof is the source's, as the bytes are, and the source is proven once more where the destination asks
// for more than that. The database is not looked at, and no hook runs. On any error
// nothing remains.
func (x *Executor) duplicate(ctx context.Context, c *archive.Copy, j executor.Job, p *pace) (o lifecycle.Outcome, err error) {
	start, whole, copying := x.Now(), false, false
	defer func() {
		if !whole {
			err = errors.Join(err, x.abandonAll(ctx, c, j, copying))
		}
	}()
	from, m, err := x.find(ctx, j.Source.Ref, j.Source.Checksum)
	if err != nil {
		return o, err
	}
	if err := x.raise(ctx, from, j, &m, p); err != nil {
		return o, err
	}
	p.tell(events.Copying)
	m.BackupID, m.Attempt, m.Project, m.Instance = j.BackupID, j.Attempt, j.Project, j.Instance
	m.StartTime, m.EndTime = events.At(start), events.At(x.Now())
	if err := from.CopyTo(ctx, c, m); err != nil {
		return o, err
	}
	copying = true
	if o, err = x.finish(ctx, c, j, m, p); err != nil {
		return o, err
	}
	whole = true
	return o, nil
}

// raise proves the source of a copy to the level that the destination's SUCCESSFUL has to mean.
func (x *Executor) raise(ctx context.Context, from *archive.Copy, j executor.Job, m *archive.Manifest, p *pace) error {
	if rank(m.Proof) >= rank(level(j)) {
		return nil
	}
	switch open, err := x.Storages.CanOpen(m.EncryptedTo); {
	case err != nil:
		return err
	case !open:
		return rejected("the source is encrypted to keys that the executor does not have, so its copy cannot be proven %s: give it one of the identities, or set successfulWhen of the destination to %s", level(j), m.Proof)
	}
	p.tell(events.Finalizing)
	found, err := x.proven(ctx, level(j), from, *m, scratchName(j))
	if err != nil {
		return fmt.Errorf("prove the source: %w", err)
	}
	m.Proof, m.Evidence = level(j), &found.Evidence
	return nil
}
