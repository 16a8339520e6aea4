package engine

import (
	"context"
	"slices"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Unchanged implements executor.ChangeDetector with the fingerprint that the copy's manifest keeps. A copy that
// is not what a backup would make now counts for changed: of another database, in another storage, encrypted
// to others, proven to less, or with an object missing.
func (x *Executor) Unchanged(ctx context.Context, j executor.Job, last executor.Ref) (bool, error) {
	d, ok := x.engine.(ChangeDetector)
	if !ok {
		return false, nil
	}
	c, m, err := x.ours(ctx, last, nil)
	if err != nil || m.Fingerprint == "" {
		return false, err
	}
	if fits, err := x.covers(ctx, c, m, j, last); err != nil || !fits {
		return false, err
	}
	now, err := d.Fingerprint(ctx, j)
	return err == nil && now == m.Fingerprint, err
}

// covers tells whether a copy is as good as the one that j would make.
func (x *Executor) covers(ctx context.Context, c *archive.Copy, m archive.Manifest, j executor.Job, last executor.Ref) (bool, error) {
	next, err := x.Storages.Of(j)
	if err != nil {
		return false, err
	}
	if c.Storage() != next.Storage() || m.Database != j.Database || !slices.Equal(m.EncryptedTo, j.Config.EncryptTo) || rank(m.Proof) < rank(level(j)) {
		return false, nil
	}
	wanted, err := x.furtherOf(next, j)
	if err != nil {
		return false, err
	}
	for _, name := range wanted {
		if !slices.Contains(last.CopiedTo, name) {
			return false, nil
		}
	}
	further, err := x.Storages.Further(last, wanted)
	if err != nil {
		return false, err
	}
	for _, copied := range append(further, c) {
		if whole, err := copied.Complete(ctx, m); err != nil || !whole {
			return false, err
		}
	}
	return true, nil
}

// rank orders the levels of proof; one that is not known is below all.
func rank(p events.Proof) int {
	return slices.Index([]events.Proof{events.ProofStored, events.ProofChecked, events.ProofRestored}, p)
}
