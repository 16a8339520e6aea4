package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// attempt starts the work of a claimed backup and follows it to its end.
func (r *Runner) attempt(ctx context.Context, last events.Stored, b events.Backup, cfg events.InstanceConfig, heard <-chan struct{}) error {
	j := jobOf(b, cfg)
	j.LastSize = r.lastSize(ctx, b)
	var err error
	if j.Source, err = r.source(ctx, b); err != nil {
		var f *events.Failure
		if errors.As(err, &f) {
			return r.fail(ctx, last, b, f, nil, false, sameAttempt(b))
		}
		return err
	}
	ref, err := r.exec.Start(ctx, j)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.slog.WarnContext(ctx, "backup did not start", "backup_id", b.BackupID, "attempt", b.Attempt, "error", events.Redact(err.Error()))
		return r.fail(ctx, last, b, FailureOf(err), nil, false, sameAttempt(b))
	}
	return r.follow(ctx, last, b, ref, heard)
}

// source is the copy that a backup is to be a copy of; nil for any other. It is looked up in the log, as it may have
// gone since it was asked for.
func (r *Runner) source(ctx context.Context, b events.Backup) (*Source, error) {
	if b.CopyOf == nil {
		return nil, nil //nolint:nilnil // most backups are of a database
	}
	if _, ok := r.exec.(Copier); !ok {
		return nil, &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: "backups of this provider cannot be copied"}
	}
	_, from, err := r.lastBackup(ctx, events.Backup{Project: b.Project, Provider: b.Provider, Instance: b.CopyOf.Instance, BackupID: b.SourceBackupID})
	if err != nil {
		return nil, err
	}
	if !lifecycle.Good(from) || from.ProviderRef == nil {
		return nil, &events.Failure{Code: events.NotFound, Category: events.ByUser, Message: "the backup that is to be copied has no copy any more: choose another one"}
	}
	return &Source{Ref: *from.ProviderRef, Checksum: from.Checksum}, nil
}

// lastSize is the size of the copy that the instance's last good backup stored, 0 if there is none, the last one is
// a copy of another instance's, or the bus does not say: the size floor is a hint and no reason to wait.
func (r *Runner) lastSize(ctx context.Context, b events.Backup) int64 {
	filter, err := b.Aggregate().SiblingsFilter(events.Succeeded)
	if err != nil {
		return 0
	}
	last, found, err := r.log.Last(ctx, filter)
	if err != nil || !found {
		return 0
	}
	good, err := events.Decode[events.Backup](last.Event)
	if err != nil || good.SizeBytes == nil || lifecycle.Foreign(good) || good.Database != b.Database {
		return 0
	}
	return *good.SizeBytes
}

// follow polls until the work has ended, was cancelled, stalls, or runs too long. When ctx ends it returns
// at once: the backup stays RUNNING, and who gets the trigger next goes on.
func (r *Runner) follow(ctx context.Context, last events.Stored, b events.Backup, ref Ref, heard <-chan struct{}) error {
	w := watch{began: last.Time, moved: r.now(), looked: r.now()} // taken over: it began when it was claimed
	pause := 10 * time.Millisecond
	for {
		p, err := r.exec.Poll(ctx, ref)
		switch {
		case ctx.Err() != nil:
			return r.handBack(ctx, last, b, ref)
		case errors.Is(err, ErrLost):
			return r.fail(ctx, last, b, FailureOf(err), &ref, false, sameAttempt(b))
		case err != nil:
			r.slog.WarnContext(ctx, "state of the work is not known", "backup_id", b.BackupID, "error", events.Redact(err.Error()))
		case p.Done:
			err := r.finish(ctx, last, b, p, ref)
			if errors.Is(err, errLost) && p.Err == nil {
				if _, now, lerr := r.lastBackup(ctx, b); lerr == nil {
					err = errors.Join(err, r.discard(ctx, ref, now))
				}
			}
			return err
		}
		if err == nil {
			w.see(r.now(), p)
			r.progress(ctx, last, events.Progress{BackupID: b.BackupID, Project: b.Project, Provider: b.Provider, Instance: b.Instance, Attempt: b.Attempt}, &w.told, p)
		}
		if why := w.over(r.now(), r.c); why != nil {
			return r.abandon(ctx, last, b, ref, why)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return r.handBack(ctx, last, b, ref)
		case <-heard:
			timer.Stop()
			w.hinted, pause = r.now(), 10*time.Millisecond
		case <-timer.C:
		}
		pause = min(pause*3/2, r.caps.PollEvery)
		// A hint may be faster than the event that it tells of: for a while the log is asked at every turn.
		if r.now().Sub(w.looked) < r.c.LookEvery && r.now().Sub(w.hinted) > hintHolds {
			continue
		}
		w.looked = r.now()
		if stop, err := r.look(ctx, last, b, ref); stop || err != nil {
			return err
		}
	}
}

// hintHolds is how long after a hint the log is asked at every turn.
const hintHolds = 3 * time.Second

// handBack ends what this process does when it has to stop: work that would end with it is stopped first,
// so that nothing of it runs when another process gets the trigger. The backup stays RUNNING, unless its copy was
// complete already.
func (r *Runner) handBack(ctx context.Context, last events.Stored, b events.Backup, ref Ref) error {
	if r.caps.Local {
		if _, err := r.cut(context.WithoutCancel(ctx), ref); err != nil {
			r.slog.WarnContext(ctx, "work could not be stopped", "error", events.Redact(err.Error()))
		}
		if p, err := r.exec.Poll(ctx, ref); err == nil && p.Done && p.Err == nil {
			return r.finish(ctx, last, b, p, ref)
		}
	}
	return ctx.Err()
}

// look asks the log whether the backup is still ours, and stops the work if it is to be cancelled.
func (r *Runner) look(ctx context.Context, last events.Stored, b events.Backup, ref Ref) (stop bool, err error) {
	at, now, err := r.lastBackup(ctx, b)
	if err != nil || at.Seq < last.Seq {
		return false, nil //nolint:nilerr // the bus is away or a replica is behind; it is asked again
	}
	switch {
	case !sameAttempt(b)(now):
		end := r.cancel
		if named(now, ref) {
			end = r.cut // whoever took it for gone has told of our copy
		}
		_, err := end(ctx, ref)
		return true, errors.Join(errLost, err, r.discard(ctx, ref, now))
	case lifecycle.PhaseOf(now) == lifecycle.Stopping:
		return true, r.stop(ctx, last, b, ref)
	}
	return false, nil
}

// discard removes what an attempt stored that is not ours any more: no record will ever name it. now is the
// record of who has the backup. Where work outlives a process, the next attempt goes on with it instead.
func (r *Runner) discard(ctx context.Context, ref Ref, now events.Backup) error {
	if !r.caps.Local || named(now, ref) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.c.CancelLimit)
	defer cancel()
	_, err := r.exec.Delete(ctx, ref)
	return err
}

// named tells that a record names the copy of ref.
func named(b events.Backup, ref Ref) bool {
	return b.ProviderRef != nil && b.ProviderRef.BackupName == ref.BackupName
}

// stop ends the work that somebody asked to cancel. A success that was faster stands (events.md 3.1).
func (r *Runner) stop(ctx context.Context, last events.Stored, b events.Backup, ref Ref) error {
	remains, err := r.cancel(ctx, ref)
	if err != nil {
		r.slog.ErrorContext(ctx, "work could not be stopped", "backup_id", b.BackupID, "error", events.Redact(err.Error()))
		remains = true
	}
	if p, err := r.exec.Poll(ctx, ref); err == nil && p.Done && p.Err == nil {
		return r.finish(ctx, last, b, p, ref)
	}
	return r.report(ctx, last, b, events.Cancelled, 0, sameAttempt(b), func(b events.Backup) events.Backup {
		return lifecycle.Stop(b, r.now(), &ref, remains)
	})
}

// abandon stops work that stalls or runs too long. A copy that was complete by then stands.
func (r *Runner) abandon(ctx context.Context, last events.Stored, b events.Backup, ref Ref, why *events.Failure) error {
	remains, err := r.cut(ctx, ref)
	if p, perr := r.exec.Poll(ctx, ref); err == nil && perr == nil && p.Done && p.Err == nil {
		return r.finish(ctx, last, b, p, ref)
	}
	if err != nil {
		// It may still run: another attempt beside it would be a second one.
		r.slog.ErrorContext(ctx, "work could not be stopped", "backup_id", b.BackupID, "error", events.Redact(err.Error()))
		deaf := *why
		deaf.Retryable = false
		deaf.Message += "; it does not obey, so no further attempt is made"
		return r.fail(ctx, last, b, &deaf, &ref, true, sameAttempt(b))
	}
	return r.fail(ctx, last, b, why, &ref, remains, sameAttempt(b))
}

// cut is cancel without anybody's wish.
func (r *Runner) cut(ctx context.Context, ref Ref) (bool, error) {
	s, ok := r.exec.(Stopper)
	if !ok {
		return r.cancel(ctx, ref)
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.CancelLimit)
	defer cancel()
	return s.Stop(ctx, ref)
}

func (r *Runner) cancel(ctx context.Context, ref Ref) (bool, error) {
	c, ok := r.exec.(Canceler)
	if !ok {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.CancelLimit)
	defer cancel()
	return c.Cancel(ctx, ref)
}

// finish reports what the work came to.
func (r *Runner) finish(ctx context.Context, last events.Stored, b events.Backup, p Progress, ref Ref) error {
	if p.Err != nil {
		r.slog.WarnContext(ctx, "backup attempt finished", "backup_id", b.BackupID, "attempt", b.Attempt, "outcome", "failed", "error", events.Redact(p.Err.Error()))
		return r.fail(ctx, last, b, FailureOf(p.Err), &ref, errors.Is(p.Err, ErrRemains), sameAttempt(b))
	}
	r.slog.InfoContext(ctx, "backup attempt finished", "backup_id", b.BackupID, "project", b.Project, "instance", b.Instance,
		"attempt", b.Attempt, "outcome", "succeeded", "bytes", p.Outcome.SizeBytes, "proof", p.Outcome.Proof)
	return r.report(ctx, last, b, events.Succeeded, b.Attempt, sameAttempt(b), func(b events.Backup) events.Backup {
		return lifecycle.Complete(b, r.now(), p.Outcome)
	})
}

// fail reports `attempt_failed` if another try makes sense, else `failed`. A backup that is being
// cancelled gets no further try. ref and remains: where something may be left to delete, which keeps nobody from
// another try if a Cleaner finds it later.
func (r *Runner) fail(ctx context.Context, last events.Stored, b events.Backup, f *events.Failure, ref *Ref, remains bool, whose owner) error {
	_, cleans := r.exec.(Cleaner)
	if (!remains || cleans) && f.Retryable && b.Attempt < b.MaxAttempts {
		pause := r.c.Backoff[min(b.Attempt-1, len(r.c.Backoff)-1)]
		err := r.report(ctx, last, b, events.AttemptFailed, b.Attempt, whose, func(b events.Backup) events.Backup {
			return lifecycle.FailAttempt(b, f, r.now().Add(pause))
		})
		if !errors.Is(err, lifecycle.ErrIllegal) {
			return err
		}
		if _, now, err := r.lastBackup(ctx, b); err != nil || lifecycle.PhaseOf(now) == lifecycle.Stopping {
			return err // the loop of backup goes on with the cancel
		}
	}
	return r.report(ctx, last, b, events.Failed, b.Attempt, whose, func(b events.Backup) events.Backup {
		return lifecycle.Fail(b, r.now(), f, ref, remains)
	})
}

// watch is what the runner knows of an attempt's progress.
type watch struct {
	began, moved, looked, hinted time.Time
	last                         Progress
	told                         told
}

// told is what was last published of how far some work is.
type told struct {
	at   time.Time
	sent events.Progress
}

// over says why an attempt has to be stopped, nil if it need not.
func (w *watch) over(now time.Time, c Config) *events.Failure {
	switch {
	case now.Sub(w.moved) >= c.StallAfter:
		return &events.Failure{Code: events.DeadlineExceeded, Category: events.BySystem, Retryable: true,
			Message: fmt.Sprintf("no progress for %s: it was stopped; see whether the server, a lock there or the storage holds it up", c.StallAfter)}
	case now.Sub(w.began) >= c.Deadline:
		return &events.Failure{Code: events.DeadlineExceeded, Category: events.BySystem,
			Message: fmt.Sprintf("not finished after %s: the attempt was stopped", c.Deadline)}
	}
	return nil
}

// see notes whether the work has moved. While a copy is being proven no bytes of the source move: its beats tell.
func (w *watch) see(now time.Time, p Progress) {
	if p.BytesDone != w.last.BytesDone || p.Beats != w.last.Beats || p.Phase != w.last.Phase {
		w.moved = now
	}
	w.last = p
}

// progress publishes how far the work is, when it has moved and the last word is old enough. next names the work.
func (r *Runner) progress(ctx context.Context, last events.Stored, next events.Progress, t *told, p Progress) {
	now := r.now()
	if now.Sub(t.at) < r.c.ProgressEvery {
		return
	}
	next.Ordinal, next.Phase = t.sent.Ordinal+1, p.Phase
	if next.Phase == "" {
		next.Phase = events.Preparing
	}
	if p.BytesTotal > 0 {
		percent := int(min(100, p.BytesDone*100/p.BytesTotal))
		next.Percent, next.BytesTotal = &percent, &p.BytesTotal
	}
	next.BytesDone = &p.BytesDone
	if next.Phase == t.sent.Phase && same(next.Percent, t.sent.Percent) {
		return
	}
	if err := r.log.PublishProgress(ctx, next, last.Sequence, now, events.CausedBy(last.Event)); err != nil {
		r.slog.WarnContext(ctx, "progress not published", "of", next.Aggregate().ID, "error", err.Error())
		return
	}
	t.at, t.sent = now, next
}

func same(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }
