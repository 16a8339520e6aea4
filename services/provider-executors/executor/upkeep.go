package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// remove deletes the copy of a backup. What fails ends as `deletion_failed` and may be asked for again.
func (r *Runner) remove(ctx context.Context, trigger events.Stored, b events.Backup) error {
	_, leave, ok := r.enter(b.BackupID)
	if !ok {
		return Later{heldFor} // a verification reads it, or this trigger came twice
	}
	defer leave()
	last, b, err := r.lastBackup(ctx, b)
	if err != nil {
		return err
	}
	if last.Seq < trigger.Seq {
		return Later{time.Second} // read from a replica that is behind
	}
	if lifecycle.PhaseOf(b) != lifecycle.Deleting {
		return nil
	}
	var freed int64
	switch {
	case b.ProviderRef != nil:
		freed, err = r.exec.Delete(ctx, *b.ProviderRef)
	case b.Attempt > 0: // no copy, but an attempt may have left something
		freed, err = r.clean(ctx, b)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.slog.WarnContext(ctx, "deletion finished", "backup_id", b.BackupID, "outcome", "failed", "error", events.Redact(err.Error()))
		f := FailureOf(err)
		return settled(r.report(ctx, last, b, events.DeletionFailed, b.Deletion.Try, anyone, func(b events.Backup) events.Backup {
			return lifecycle.FailDeletion(b, r.now(), f)
		}))
	}
	r.slog.InfoContext(ctx, "deletion finished", "backup_id", b.BackupID, "outcome", "deleted", "bytes", freed)
	return settled(r.report(ctx, last, b, events.Deleted, 0, anyone, func(b events.Backup) events.Backup {
		return lifecycle.Remove(b, r.now(), freed)
	}))
}

// clean removes what the attempts of a backup without a copy may have left. An instance that is gone hinders
// only executors that need it to know where to look.
func (r *Runner) clean(ctx context.Context, b events.Backup) (int64, error) {
	cfg, err := r.instance(ctx, b.Project, b.Provider, b.Instance)
	var gone *events.Failure
	c, ok := r.exec.(Cleaner)
	if ok && (err == nil || errors.As(err, &gone)) {
		return c.Clean(ctx, jobOf(b, cfg))
	}
	if err == nil {
		_, _, err = r.recover(ctx, b, cfg)
	}
	return 0, err
}

// verify proves a stored copy again.
func (r *Runner) verify(ctx context.Context, trigger events.Stored, b events.Backup) error {
	asked := b.Check
	_, leave, ok := r.enter(b.BackupID)
	if !ok {
		return Later{heldFor}
	}
	defer leave()
	last, b, err := r.lastBackup(ctx, b)
	if err != nil {
		return err
	}
	if last.Seq < trigger.Seq {
		return Later{time.Second} // read from a replica that is behind
	}
	if asked == nil || b.Check == nil || b.Check.Run != asked.Run || !b.Check.EndTime.IsZero() || !lifecycle.Good(b) {
		return nil // answered, asked for again, or deleted meanwhile
	}
	start := r.now()
	var checked lifecycle.Checked
	err = &events.Failure{Code: events.ProviderRejected, Category: events.ByProvider, Message: "this provider cannot check a stored copy"}
	if v, ok := r.exec.(Verifier); ok && b.ProviderRef != nil {
		var cfg events.InstanceConfig
		if cfg, err = r.instance(ctx, b.Project, b.Provider, b.Instance); err == nil {
			bounded, cancel := context.WithTimeout(ctx, r.c.Deadline)
			checked, err = r.proving(bounded, func(ctx context.Context) (lifecycle.Checked, error) {
				return v.Verify(ctx, jobOf(b, cfg), *b.ProviderRef, b.Checksum, proofOf(b.Check.Method))
			})
			err = r.overdue(bounded, err)
			cancel()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	step, f := events.Verified, (*events.Failure)(nil)
	if err != nil {
		step, f = events.VerificationFailed, FailureOf(err)
		r.slog.WarnContext(ctx, "verification finished", "backup_id", b.BackupID, "outcome", "failed", "error", events.Redact(err.Error()))
	}
	return settled(r.report(ctx, last, b, step, b.Check.Run, anyone, func(b events.Backup) events.Backup {
		return lifecycle.FinishCheck(b, start, r.now(), checked, f)
	}))
}

// overdue gives an error that came of the deadline its failure.
func (r *Runner) overdue(ctx context.Context, err error) error {
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return errors.Join(&events.Failure{Code: events.DeadlineExceeded, Category: events.BySystem,
		Message: fmt.Sprintf("not finished after %s: it was stopped; raise the executor's deadline if it needs longer", r.c.Deadline)}, err)
}

// proofOf is what a method of events.md 2.1 has to prove. METADATA is that the copy is there and the one
// recorded, which the checksum tells too; a method not known is taken for the default.
func proofOf(method string) events.Proof {
	switch method {
	case "CHECKSUM", "METADATA":
		return events.ProofStored
	case "RESTORE_TEST":
		return events.ProofRestored
	}
	return events.ProofChecked
}

// restore puts a copy back. It looks at the backup again first: it may have gone since the restore was
// accepted. A restore that a dead process had begun ends `failed`: the target is as it was, or complete.
func (r *Runner) restore(ctx context.Context, trigger events.Stored) error {
	rec, err := events.Decode[events.Restore](trigger.Event)
	if err != nil {
		return err
	}
	_, leave, ok := r.enter(rec.RestoreID)
	if !ok {
		return Later{heldFor}
	}
	defer leave()
	last, err := r.last(ctx, rec.Aggregate())
	if err != nil {
		return err
	}
	if rec, err = events.Decode[events.Restore](last.Event); err != nil {
		return err
	}
	switch lifecycle.RestorePhaseOf(rec) {
	case lifecycle.Working:
		if gone, err := r.abandoned(ctx, rec.ExecutorID, rec.RestoreID); err != nil || !gone {
			return errors.Join(err, Later{heldFor})
		}
		if err := r.clearRestore(ctx, rec); err != nil {
			return err
		}
		return r.endRestore(ctx, last, rec, 0, &events.Failure{Code: events.Internal, Category: events.BySystem,
			Message: "the executor stopped during the restore: look whether the target is complete, then ask again"})
	case lifecycle.Ended:
		return nil
	}
	job, failure, err := r.restoreJob(ctx, rec)
	if err != nil {
		return err
	}
	if failure != nil {
		return r.endRestore(ctx, last, rec, 0, failure)
	}
	started, err := r.appendRestore(ctx, last, rec, events.Started, func(x events.Restore) events.Restore {
		return lifecycle.ClaimRestore(x, r.now(), r.c.ExecutorID)
	})
	if errors.Is(err, lifecycle.ErrIllegal) {
		return Later{heldFor} // somebody else was faster: the trigger stays until there is an outcome
	}
	if err != nil {
		return err
	}
	if rec, err = events.Decode[events.Restore](started.Event); err != nil {
		return err
	}
	if rec.ExecutorID != r.c.ExecutorID {
		return Later{heldFor}
	}
	restorer, ok := r.exec.(Restorer)
	if !ok {
		return r.endRestore(ctx, started.Stored, rec, 0, &events.Failure{Code: events.ProviderRejected, Category: events.ByProvider, Message: "this provider cannot restore"})
	}
	n, err := r.watched(ctx, started.Stored, rec, restorer, job)
	if err != nil {
		r.slog.WarnContext(ctx, "restore finished", "restore_id", rec.RestoreID, "outcome", "failed", "error", events.Redact(err.Error()))
		f := FailureOf(err)
		if ctx.Err() != nil {
			f = &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "the executor was stopped during the restore: ask again"}
		}
		return r.endRestore(ctx, started.Stored, rec, 0, f)
	}
	r.slog.InfoContext(ctx, "restore finished", "restore_id", rec.RestoreID, "outcome", "succeeded", "bytes", n)
	return r.endRestore(ctx, started.Stored, rec, n, nil)
}

// clearRestore removes what a dead process left of a restore.
func (r *Runner) clearRestore(ctx context.Context, rec events.Restore) error {
	rr, ok := r.exec.(RestoreRecoverer)
	if !ok {
		return nil
	}
	target, err := r.instance(ctx, rec.Project, rec.Provider, rec.Target.Instance)
	var gone *events.Failure
	if errors.As(err, &gone) {
		return nil // nobody knows any more where to look
	}
	if err != nil {
		return err
	}
	return rr.RecoverRestore(ctx, RestoreJob{RestoreID: rec.RestoreID, BackupID: rec.BackupID, Target: target, Database: rec.Target.Database})
}

func (r *Runner) restoreJob(ctx context.Context, rec events.Restore) (RestoreJob, *events.Failure, error) {
	_, b, err := r.lastBackup(ctx, events.Backup{BackupID: rec.BackupID, Project: rec.Project, Provider: rec.Provider, Instance: rec.Instance})
	if err != nil {
		return RestoreJob{}, nil, err
	}
	if !lifecycle.Good(b) || b.ProviderRef == nil {
		return RestoreJob{}, &events.Failure{Code: events.NotFound, Category: events.ByUser,
			Message: "the backup has no copy any more: choose another one"}, nil
	}
	target, err := r.instance(ctx, rec.Project, rec.Provider, rec.Target.Instance)
	var f *events.Failure
	if errors.As(err, &f) {
		return RestoreJob{}, f, nil
	}
	return RestoreJob{RestoreID: rec.RestoreID, BackupID: b.BackupID, Source: *b.ProviderRef, Checksum: b.Checksum,
		Target: target, Database: rec.Target.Database, Overwrite: rec.Target.Overwrite}, nil, err
}

func (r *Runner) endRestore(ctx context.Context, cause events.Stored, rec events.Restore, bytes int64, f *events.Failure) error {
	step := events.Succeeded
	if f != nil {
		step = events.Failed
	}
	_, err := r.appendRestore(context.WithoutCancel(ctx), cause, rec, step, func(x events.Restore) events.Restore {
		if f != nil {
			return lifecycle.FailRestore(x, r.now(), f)
		}
		return lifecycle.CompleteRestore(x, r.now(), bytes)
	})
	return settled(err)
}

func (r *Runner) appendRestore(ctx context.Context, cause events.Stored, rec events.Restore, step events.Step, move func(events.Restore) events.Restore) (events.Appended, error) {
	return r.log.Append(ctx, events.Draft{
		Aggregate: rec.Aggregate(), Step: step, At: r.now(),
		EventID: events.EventID(rec.RestoreID, events.Restores, step, 0),
		Cause:   events.CausedBy(cause.Event),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			if p.Last == nil {
				return nil, fmt.Errorf("restore %s is not in the log", rec.RestoreID)
			}
			now, err := events.Decode[events.Restore](p.Last.Event)
			if err != nil {
				return nil, err
			}
			return lifecycle.AdvanceRestore(move(now), step)
		},
	})
}

// settled takes a lost race for an answer: somebody else has said it.
func settled(err error) error {
	if errors.Is(err, lifecycle.ErrIllegal) || errors.Is(err, errLost) {
		return nil
	}
	return err
}
