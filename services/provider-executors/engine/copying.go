package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Copying bounds the making of further copies. The zero value has the defaults.
type Copying struct {
	StallAfter time.Duration // a copy of which no byte moves for so long has failed; default 2 min
	Deadline   time.Duration // for all further copies of one backup together; default 12 h
}

func (c Copying) withDefaults() Copying {
	if c.StallAfter == 0 {
		c.StallAfter = 2 * time.Minute
	}
	if c.Deadline == 0 {
		c.Deadline = 12 * time.Hour
	}
	return c
}

// copyTries is how often a further copy is tried in one attempt, copyPause the wait before the second try.
const (
	copyTries = 3
	copyPause = 2 * time.Second
)

// copies is what became of the copies of one backup.
type copies struct {
	states  []events.Copy // of all, the first included
	stored  []string      // further storages that hold a usable one
	left    []string      // further storages in which part of one may lie
	checked int           // further ones that were read back
}

// copyOut makes the further copies of one that has been proven, each by itself: one that fails, or is not made
// before the attempt has to end, is said to have failed, and the backup stands. An error fails the attempt: it was
// cancelled by somebody, or the proven copy turned out to be damaged or gone.
func (x *Executor) copyOut(ctx context.Context, c *archive.Copy, r executor.Ref, m archive.Manifest, p *pace) (copies, error) {
	all := copies{states: []events.Copy{{Storage: c.Storage(), State: events.CopyStored, Proof: m.Proof, EndTime: m.EndTime}}}
	further, err := x.Storages.Further(r, r.LeftIn)
	if err != nil {
		return all, err
	}
	p.tell(events.Finalizing)
	limit := x.Copying.withDefaults().Deadline
	bounded, cancel := context.WithTimeoutCause(ctx, limit, tooLong("the further copies were not finished after %s: the executor's setting copyDeadline bounds them", limit))
	defer cancel()
	for _, to := range further {
		state := events.Copy{Storage: to.Storage(), State: events.CopyStored, Proof: m.Proof}
		remains, err := x.copyTo(bounded, c, to, m, p)
		switch {
		case err == nil:
			all.stored = append(all.stored, to.Storage())
			if m.Proof != events.ProofStored {
				all.checked++
			}
		case executor.Abandoned(ctx):
			return all, ctx.Err()
		case lost(err):
			return all, fmt.Errorf("the proven copy in storage %s: %w", c.Storage(), err)
		default:
			x.Log.WarnContext(ctx, "further copy failed", "backup_id", m.BackupID, "storage", to.Storage(), "remains", remains, "error", events.Redact(err.Error()))
			state.State, state.Proof, state.Error, state.Remains = events.CopyFailed, "", executor.FailureOf(err), remains
			if remains {
				all.left = append(all.left, to.Storage())
			}
		}
		state.EndTime = events.At(x.Now())
		all.states = append(all.states, state)
	}
	return all, nil
}

// lost tells that the copy that is read is damaged or gone, and not only out of reach for now.
func lost(err error) bool {
	var source *archive.SourceError
	var f *events.Failure
	return errors.As(err, &source) && errors.As(source.Err, &f) && (f.Code == events.Corrupt || f.Code == events.NotFound)
}

func tooLong(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.DeadlineExceeded, Category: events.BySystem, Message: fmt.Sprintf(format, args...)}
}

// copyTo makes one further copy. After an error remains tells whether part of it may be there.
func (x *Executor) copyTo(ctx context.Context, c, to *archive.Copy, m archive.Manifest, p *pace) (remains bool, err error) {
	for try := 1; ; try++ {
		if ctx.Err() != nil {
			return remains, errors.Join(ended(ctx), err)
		}
		if !remains || x.abandon(ctx, to) == nil { // what an earlier try left would be taken for another's
			remains, err = x.tryCopy(ctx, c, to, m, p)
		}
		var f *events.Failure
		if err == nil || try == copyTries || ctx.Err() != nil || errors.As(err, &f) && !f.Retryable {
			return remains, err
		}
		pause := time.NewTimer(copyPause * time.Duration(try))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// tryCopy copies, and reads back where the proof asks for that. The bytes are those that were proven, so it is
// proven as they are.
func (x *Executor) tryCopy(ctx context.Context, c, to *archive.Copy, m archive.Manifest, p *pace) (remains bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := x.Copying.withDefaults().StallAfter
	stall := time.AfterFunc(limit, func() {
		cancel(tooLong("storage %q took no byte of the copy for %s: see that it is healthy", to.Storage(), limit))
	})
	defer stall.Stop()
	defer Living(p.alive)() // the limits of a further copy are its own
	moving := executor.WithAlive(ctx, func() {
		stall.Reset(limit)
		p.beat()
	})
	returned, err := within(moving, func(ctx context.Context) error {
		if err := c.CopyTo(ctx, to, m); err != nil || m.Proof == events.ProofStored {
			return err
		}
		_, err := to.Check(ctx, m)
		return err
	})
	var f *events.Failure
	switch {
	case err == nil:
		return false, nil
	case !returned: // it still holds on to what is there
		return true, errors.Join(ended(ctx), err)
	case errors.As(err, &f) && f.Code == events.AlreadyExists:
		return false, err
	}
	if ctx.Err() != nil && !lost(err) {
		err = errors.Join(ended(ctx), err)
	}
	gone := x.abandon(ctx, to)
	return gone != nil, errors.Join(err, gone)
}

// ended says why a further copy was not made when its context has ended.
func ended(ctx context.Context) *events.Failure {
	var f *events.Failure
	if errors.As(context.Cause(ctx), &f) {
		return f
	}
	return &events.Failure{Code: events.Internal, Category: events.BySystem,
		Message: "the attempt had to end before this copy was made: the backup has its other copies"}
}
