package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Log is the part of the bus that a runner needs.
type Log interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
	Last(ctx context.Context, filter string) (events.Stored, bool, error)
	PublishProgress(ctx context.Context, p events.Progress, sequence string, at time.Time, c events.Cause) error
	// Working asks another executor whether it is at work on a backup or restore; one that does not answer
	// is not.
	Working(ctx context.Context, executorID, aggregateID string) (bool, error)
}

// Config are the settings of a runner. The zero value works.
type Config struct {
	ExecutorID    string          // opaque name of this process, default random
	ProgressEvery time.Duration   // at most one progress event in this time, default 5 s (events.md 1.5)
	LookEvery     time.Duration   // how often the log is asked whether the backup is still ours, default 20 s
	StallAfter    time.Duration   // an attempt without progress for so long is stopped, default 15 min
	Deadline      time.Duration   // an attempt that runs for so long is stopped, default 24 h
	AdmitEvery    time.Duration   // pause before a backup asks again that a limit holds back, default 5 s
	CancelLimit   time.Duration   // how long work has to obey a cancel, default 1 min
	Backoff       []time.Duration // pause before the second, third … attempt, default 30 s, 2 min, 10 min
}

func (c Config) withDefaults() Config {
	if c.ExecutorID == "" {
		c.ExecutorID = "ex-" + events.FreshKey()[:8]
	}
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.ProgressEvery, 5*time.Second)
	set(&c.LookEvery, 20*time.Second)
	set(&c.StallAfter, 15*time.Minute)
	set(&c.Deadline, 24*time.Hour)
	set(&c.CancelLimit, time.Minute)
	set(&c.AdmitEvery, 5*time.Second)
	if len(c.Backoff) == 0 {
		c.Backoff = []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute}
	}
	return c
}

// Later is returned by Handle for work that is to be tried again after a pause: the trigger is kept.
type Later struct{ After time.Duration }

// Error says how long.
func (l Later) Error() string { return fmt.Sprintf("to be tried again in %s", l.After) }

// Runner drives one provider's Executor through the life cycle. It keeps the trigger of a piece of work
// until the outcome is in the log; its own record of who works is the log alone, so any number of runners
// may serve one provider, and any of them may die at any time.
type Runner struct {
	exec Executor
	caps Capabilities
	log  Log
	now  func() time.Time
	slog *slog.Logger
	c    Config

	mu     sync.Mutex
	inWork map[string]chan struct{} // backups and restores in work here → hints that a cancel was asked for
}

// NewRunner makes a runner for an executor that the caller opened and closes.
func NewRunner(exec Executor, caps Capabilities, log Log, now func() time.Time, l *slog.Logger, c Config) *Runner {
	if caps.PollEvery <= 0 {
		caps.PollEvery = time.Second
	}
	return &Runner{exec: exec, caps: caps, log: log, now: now, slog: l, c: c.withDefaults(), inWork: map[string]chan struct{}{}}
}

// Handle does what a trigger asks for and returns when its outcome is stored: nil means that the trigger
// is done with, Later and any other error that it must come again. Safe for concurrent use.
func (r *Runner) Handle(ctx context.Context, trigger events.Stored) error {
	switch trigger.Entity() {
	case events.Restores:
		return r.restore(ctx, trigger)
	case events.Backups:
	default:
		return fmt.Errorf("%s is no work for an executor", trigger.Type)
	}
	b, err := events.Decode[events.Backup](trigger.Event)
	if err != nil {
		return err
	}
	switch trigger.Step() {
	case events.Requested:
		return r.backup(ctx, trigger, b)
	case events.DeletionRequested:
		return r.remove(ctx, trigger, b)
	case events.VerificationRequested:
		return r.verify(ctx, trigger, b)
	}
	return fmt.Errorf("%s is no work for an executor", trigger.Type)
}

// ExecutorID is the name under which this runner claims work.
func (r *Runner) ExecutorID() string { return r.c.ExecutorID }

// InWork tells whether this runner is at work on a backup or restore: the answer to Log.Working.
func (r *Runner) InWork(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, here := r.inWork[id]
	return here
}

// HearCancel tells the runner that a backup is to be stopped. It is a hint: it may come before the event
// is in the log, twice, or not at all.
func (r *Runner) HearCancel(backupID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hints, here := r.inWork[backupID]; here {
		select {
		case hints <- struct{}{}:
		default:
		}
	}
}

// heldFor is how long a trigger is put off whose work somebody else, or another handler here, is at.
const heldFor = 10 * time.Second

// enter registers work, unless it is in work here already: a trigger may be delivered twice when the bus
// was away for long.
func (r *Runner) enter(id string) (hints <-chan struct{}, leave func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.inWork[id]; here {
		return nil, nil, false
	}
	c := make(chan struct{}, 1)
	r.inWork[id] = c
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.inWork, id)
	}, true
}

// abandoned tells whether the process that claimed work is gone. Our own id without an entry in inWork is
// work of ours that ended without a word.
func (r *Runner) abandoned(ctx context.Context, executorID, id string) (bool, error) {
	if executorID == "" || executorID == r.c.ExecutorID {
		return true, nil
	}
	working, err := r.log.Working(ctx, executorID, id)
	return !working && err == nil, err
}

// backup takes one backup to its end, or to the pause before its next attempt.
func (r *Runner) backup(ctx context.Context, trigger events.Stored, b events.Backup) error {
	heard, leave, ok := r.enter(b.BackupID)
	if !ok {
		return Later{heldFor}
	}
	defer leave()
	for range maxTurns {
		last, b, err := r.lastBackup(ctx, b)
		if err != nil {
			return err
		}
		if last.Seq < trigger.Seq {
			return Later{time.Second} // read from a replica that is behind
		}
		if phase := lifecycle.PhaseOf(b); phase == lifecycle.Working || phase == lifecycle.Stopping {
			if gone, err := r.abandoned(ctx, b.ExecutorID, b.BackupID); err != nil || !gone {
				return errors.Join(err, Later{heldFor})
			}
		}
		switch lifecycle.PhaseOf(b) {
		case lifecycle.Waiting:
			if f := lifecycle.Refused(b); f != nil { // accepted to fail: whoever accepted it could not say so
				return r.report(ctx, last, b, events.Failed, b.Attempt, anyone, func(b events.Backup) events.Backup {
					return lifecycle.Fail(b, r.now(), f, nil, false)
				})
			}
			if wait := b.NextAttemptTime.Sub(r.now()); !b.NextAttemptTime.IsZero() && wait > 0 {
				return Later{wait}
			}
			err = r.claim(ctx, last, b, heard)
		case lifecycle.Working:
			err = r.takeOver(ctx, last, b, heard)
		case lifecycle.Stopping:
			err = r.clearUp(ctx, last, b)
		default:
			return nil
		}
		if err != nil && !errors.Is(err, errLost) && !errors.Is(err, lifecycle.ErrIllegal) {
			return err
		}
	}
	return fmt.Errorf("backup %s does not come to rest", b.BackupID)
}

// maxTurns bounds how often a backup is looked at anew for one trigger: each turn but the last ends in a
// step of somebody's, and a life has not that many.
const maxTurns = 50

// claim appends `started`; whoever loses that append stops here. That is the lock (events.md 3.2).
func (r *Runner) claim(ctx context.Context, last events.Stored, b events.Backup, heard <-chan struct{}) error {
	cfg, err := r.instance(ctx, b.Project, b.Provider, b.Instance)
	if err != nil {
		var f *events.Failure
		if !errors.As(err, &f) {
			return err
		}
		return r.report(ctx, last, b, events.Failed, b.Attempt, anyone, func(b events.Backup) events.Backup {
			return lifecycle.Fail(b, r.now(), f, nil, false)
		})
	}
	if skipped, err := r.covered(ctx, last, b, cfg); skipped || err != nil {
		return err
	}
	if l, ok := r.exec.(Limiter); ok {
		leave, ok := l.Admit(jobOf(b, cfg))
		if !ok {
			return Later{r.c.AdmitEvery}
		}
		defer leave()
	}
	attempt := b.Attempt + 1
	done, err := r.append(ctx, last, b, events.Started, attempt, func(b events.Backup) (events.Backup, error) {
		if lifecycle.PhaseOf(b) != lifecycle.Waiting || b.Attempt != attempt-1 {
			return b, errLost
		}
		return lifecycle.Claim(b, r.now(), r.c.ExecutorID), nil
	})
	if err != nil {
		return err
	}
	if b, err = events.Decode[events.Backup](done.Event); err != nil {
		return err
	}
	if b.ExecutorID != r.c.ExecutorID {
		return errLost
	}
	return r.attempt(ctx, done.Stored, b, cfg, heard)
}

// takeOver goes on where a process that is gone stopped: with its work if that still runs, else with the
// next attempt.
func (r *Runner) takeOver(ctx context.Context, last events.Stored, b events.Backup, heard <-chan struct{}) error {
	cfg, err := r.instance(ctx, b.Project, b.Provider, b.Instance)
	var gone *events.Failure
	if errors.As(err, &gone) {
		return r.fail(ctx, last, b, gone, nil, true, anyone)
	}
	if err != nil {
		return err
	}
	ref, found, err := r.recover(ctx, b, cfg)
	var lost *events.Failure
	if errors.As(err, &lost) && !lost.Retryable { // what was written may be out of reach: end it, and say so
		return r.fail(ctx, last, b, lost, nil, true, anyone)
	}
	if err != nil {
		return err
	}
	if found {
		return r.follow(ctx, last, b, ref, heard)
	}
	return r.fail(ctx, last, b, &events.Failure{
		Code: events.Internal, Category: events.BySystem, Retryable: true,
		Message: fmt.Sprintf("the executor stopped during attempt %d", b.Attempt),
	}, nil, false, anyone)
}

// clearUp ends a cancel that nobody else can end: the one who worked is gone.
func (r *Runner) clearUp(ctx context.Context, last events.Stored, b events.Backup) error {
	remains, where := false, (*Ref)(nil)
	cfg, err := r.instance(ctx, b.Project, b.Provider, b.Instance)
	var gone *events.Failure
	switch {
	case errors.As(err, &gone):
		remains = b.Attempt > 0 // nobody knows any more where to look
	case err != nil:
		return err
	case b.Attempt > 0:
		ref, found, err := r.recover(ctx, b, cfg)
		var lost *events.Failure
		switch {
		case errors.As(err, &lost) && !lost.Retryable:
			remains = true // out of reach
		case err != nil:
			return err
		}
		if found {
			if remains, err = r.cancel(ctx, ref); err != nil {
				return err
			}
		}
		if c, ok := r.exec.(Cleaner); ok && found && remains { // it was complete
			_, err := c.Clean(ctx, jobOf(b, cfg))
			remains = err != nil
		}
		if found {
			where = &ref
		}
	}
	return r.report(ctx, last, b, events.Cancelled, 0, anyone, func(b events.Backup) events.Backup {
		return lifecycle.Stop(b, r.now(), where, remains)
	})
}

func (r *Runner) recover(ctx context.Context, b events.Backup, cfg events.InstanceConfig) (Ref, bool, error) {
	rec, ok := r.exec.(Recoverer)
	if !ok {
		return Ref{}, false, nil
	}
	return rec.Recover(ctx, jobOf(b, cfg))
}

func jobOf(b events.Backup, cfg events.InstanceConfig) Job {
	return Job{BackupID: b.BackupID, Attempt: b.Attempt, Project: b.Project, Instance: b.Instance, Database: b.Database,
		Config: cfg, Proof: cfg.SuccessfulWhen, AsOf: b.ConsistencyTime.Time}
}
