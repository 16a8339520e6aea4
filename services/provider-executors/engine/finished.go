package engine

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// finished is what the attempt of a process that is gone had come to, if that is a manifest, which is written after the
// proof, and everything is there that it names: the success that it could not tell any more. Nothing is written or
// removed for it: that process may only have been cut off, and still be at its further copies.
func (x *Executor) finished(ctx context.Context, j executor.Job) (o lifecycle.Outcome, done bool, err error) {
	c, err := x.Storages.Of(j)
	if err != nil {
		return o, false, err
	}
	m, err := c.ReadManifest(ctx)
	var f *events.Failure
	switch {
	case errors.As(err, &f) && (f.Code == events.NotFound || f.Code == events.Corrupt):
		return o, false, nil
	case err != nil:
		return o, false, err
	case m.BackupID != j.BackupID || m.Attempt != j.Attempt || rank(m.Proof) < rank(level(j)):
		return o, false, nil
	}
	if done, err = c.Complete(ctx, m); err != nil || !done {
		return o, false, err
	}
	ref := executor.LocalRef(j)
	ref.BackupName = c.Name()
	return outcome(m, ref, x.found(ctx, c, ref, j.Config.CopyTo, m)), true, nil
}

// found are the copies of a backup that are there, of those that were to be made. What is not whole may lie there in part;
// in a storage that is not configured nothing does.
func (x *Executor) found(ctx context.Context, c *archive.Copy, r executor.Ref, names []string, m archive.Manifest) copies {
	all := copies{states: []events.Copy{{Storage: c.Storage(), State: events.CopyStored, Proof: m.Proof, EndTime: m.EndTime}}}
	further, _ := x.Storages.Further(r, names)
	for _, to := range further {
		state := events.Copy{Storage: to.Storage(), EndTime: events.At(x.Now())}
		if there, err := to.Complete(ctx, m); err == nil && there {
			state.State, state.Proof = events.CopyStored, events.ProofStored // whether it was read back is not known
			all.stored = append(all.stored, to.Storage())
		} else {
			state.State, state.Remains, state.Error = events.CopyFailed, true, ended(ctx)
			all.left = append(all.left, to.Storage())
		}
		all.states = append(all.states, state)
	}
	return all
}
