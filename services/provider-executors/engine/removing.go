package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// cleanupTime bounds the removal of what an attempt left at one place, which goes on when it was cancelled;
// hurriedTime does where the process waits for it.
const (
	cleanupTime = 20 * time.Second
	hurriedTime = 5 * time.Second
)

// places are where r may have left something, its own storage last: what is removed there last can be found until
// then. Those that are not configured are named by the error.
func (x *Executor) places(r executor.Ref) (further []*archive.Copy, first *archive.Copy, err error) {
	first, err = x.Storages.At(r)
	further, ferr := x.Storages.Further(r, slices.Concat(r.CopiedTo, r.LeftIn))
	return further, first, errors.Join(err, ferr)
}

// remove deletes what the attempts up to r's own have left where r says, and returns the bytes set free. It goes on after
// an error.
func (x *Executor) remove(ctx context.Context, r executor.Ref) (freed int64, err error) {
	further, first, err := x.places(r)
	freed, ferr := each(further, func(c *archive.Copy) (int64, error) { return wipe(ctx, c) })
	err = errors.Join(err, ferr)
	if first != nil {
		n, ferr := wipe(ctx, first)
		freed, err = freed+n, errors.Join(err, ferr)
	}
	return freed, err
}

// removeElsewhere looks into the storages that r does not name, in which an attempt with other settings may have
// left something. One that is away holds nobody up.
func (x *Executor) removeElsewhere(ctx context.Context, r executor.Ref) int64 {
	further, first, _ := x.places(r)
	if first != nil {
		further = append(further, first)
	}
	others, err := x.Storages.Elsewhere(r, further)
	if err != nil {
		return 0
	}
	return x.tryWipe(ctx, others)
}

// tryWipe is wipe for each that is in reach.
func (x *Executor) tryWipe(ctx context.Context, all []*archive.Copy) int64 {
	freed, _ := each(all, func(c *archive.Copy) (int64, error) {
		n, err := wipeWithin(ctx, cleanupTime, c)
		if err != nil {
			x.Log.WarnContext(ctx, "what a lost attempt may have left could not be removed", "copy", c.Name(), "error", events.Redact(err.Error()))
		}
		return n, nil
	})
	return freed
}

// removeLost removes what a process that is gone left of j and of the attempts before. The instance's own storage
// has to answer; another one that is away holds nobody up, and a deletion looks there again.
func (x *Executor) removeLost(ctx context.Context, j executor.Job) error {
	all, err := x.Storages.Everywhere(j)
	if err != nil {
		return err
	}
	first, err := x.Storages.Of(j)
	if err == nil {
		_, err = wipe(ctx, first)
	}
	x.tryWipe(ctx, slices.DeleteFunc(all, func(c *archive.Copy) bool { return first != nil && c.Storage() == first.Storage() }))
	return err
}

// Clean implements executor.Cleaner. Where the attempts wrote is not known, so every storage has to answer.
func (x *Executor) Clean(ctx context.Context, j executor.Job) (int64, error) {
	all, err := x.Storages.Everywhere(j)
	if err != nil {
		return 0, err
	}
	freed, err := each(all, func(c *archive.Copy) (int64, error) { return wipe(ctx, c) })
	named := slices.Clone(j.Config.CopyTo)
	if j.Config.Storage != "" {
		named = append(named, j.Config.Storage)
	}
	_, unknown := x.Storages.Others("", named)
	return freed, errors.Join(err, unknown, x.Scratch.clear(scratchName(j)))
}

// abandonAll removes what an attempt, or one before it, has stored anywhere, also when ctx has ended. Each place
// has its own time. further: copies were begun there.
func (x *Executor) abandonAll(ctx context.Context, first *archive.Copy, j executor.Job, further bool) error {
	all := []*archive.Copy{first}
	if further || j.Attempt > 1 {
		names, _ := x.furtherOf(first, j)
		more, err := x.Storages.Further(executor.Ref{BackupName: first.Name()}, names)
		if err != nil {
			return errors.Join(executor.ErrRemains, err)
		}
		all = append(all, more...)
	}
	limit := patience(ctx)
	_, err := each(all, func(c *archive.Copy) (int64, error) { return wipeWithin(context.WithoutCancel(ctx), limit, c) })
	if err != nil {
		return errors.Join(executor.ErrRemains, err)
	}
	return nil
}

// abandon removes one further copy that failed, also when ctx has ended.
func (x *Executor) abandon(ctx context.Context, c *archive.Copy) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience(ctx))
	defer cancel()
	_, err := within(bounded, func(ctx context.Context) error {
		_, err := c.Delete(ctx)
		return err
	})
	return err
}

// patience is the time for a cleanup after the end of ctx.
func patience(ctx context.Context) time.Duration {
	if ctx.Err() != nil && !executor.Abandoned(ctx) {
		return hurriedTime
	}
	return cleanupTime
}

// wipe removes the attempts up to c's own from its storage.
func wipe(ctx context.Context, c *archive.Copy) (freed int64, err error) {
	for _, one := range c.Attempts() {
		n, derr := one.Delete(ctx)
		freed, err = freed+n, errors.Join(err, derr)
	}
	return freed, err
}

func wipeWithin(ctx context.Context, limit time.Duration, c *archive.Copy) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	freed := make(chan int64, 1)
	_, err := within(ctx, func(ctx context.Context) error {
		n, err := wipe(ctx, c)
		freed <- n
		return err
	})
	if err != nil {
		return 0, err
	}
	return <-freed, nil
}

// each asks all at once, and waits for all.
func each(all []*archive.Copy, do func(*archive.Copy) (int64, error)) (sum int64, err error) {
	sizes, errs := make([]int64, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { sizes[i], errs[i] = do(c) })
	}
	wg.Wait()
	for _, n := range sizes {
		sum += n
	}
	return sum, errors.Join(errs...)
}

// remains tells whether anything of r is stored anywhere.
func (x *Executor) remains(ctx context.Context, r executor.Ref) (bool, error) {
	all, first, err := x.places(r)
	if err != nil {
		return true, err
	}
	for _, c := range append(all, first) {
		if left, err := c.Remains(ctx); err != nil || left {
			return true, err
		}
	}
	return false, nil
}
