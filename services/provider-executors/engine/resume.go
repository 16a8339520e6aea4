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

// found are the copies of a backup that are there, of those that were to be made. What is not whole may lie there in part.
func (x *Executor) found(ctx context.Context, c *archive.Copy, r executor.Ref, names []string, m archive.Manifest) copies {
	all := copies{states: []events.Copy{{Storage: c.Storage(), State: events.CopyStored, Proof: m.Proof, EndTime: m.EndTime}}}
	for _, name := range names {
		if name == c.Storage() {
			continue
		}
		state := events.Copy{Storage: name, State: events.CopyFailed, EndTime: events.At(x.Now()), Remains: true, Error: &events.Failure{
			Code: events.Internal, Category: events.BySystem, Message: "the executor stopped before this copy was known to be whole: the backup has its first one"}}
		to, err := x.Storages.Further(r, []string{name})
		if err == nil && len(to) == 1 {
			if there, err := to[0].Complete(ctx, m); err == nil && there { // whether it was read back is not known
				state = events.Copy{Storage: name, State: events.CopyStored, Proof: events.ProofStored, EndTime: state.EndTime}
			}
		}
		if state.State == events.CopyStored {
			all.stored = append(all.stored, name)
		} else {
			all.left = append(all.left, name)
		}
		all.states = append(all.states, state)
	}
	return all
}
