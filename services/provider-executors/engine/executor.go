package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Deps are what the executors of all engines share. The caller opens and closes them.
type Deps struct {
	Now      func() time.Time
	Storages *archive.Storages
	Scratch  *Scratch
	Log      *slog.Logger
	Hooks    Hooks   // nil: instances can name none
	Limits   *Limits // nil: none
	Copying  Copying

	// MinSizeRatio fails a backup (CORRUPT) whose stored size is below this share of the last good one,
	// 0.1 say. 0, the default, is off: that a copy is whole is known from its end mark, and a database
	// becomes small honestly. Set it to hear of one that was emptied.
	MinSizeRatio float64

	// Reported sees every report of progress; tests halt work here. Nil outside of them.
	Reported func(context.Context, executor.Job, executor.Progress)
}

// Executor runs one Engine as the provider of that name.
type Executor struct {
	Deps
	provider string
	engine   Engine
	local    *executor.Local
}

var (
	_ executor.Executor  = (*Executor)(nil)
	_ executor.Canceler  = (*Executor)(nil)
	_ executor.Stopper   = (*Executor)(nil)
	_ executor.Cleaner   = (*Executor)(nil)
	_ executor.Limiter   = (*Executor)(nil)
	_ executor.Recoverer = (*Executor)(nil)
	_ executor.Verifier  = (*Executor)(nil)
	_ executor.Restorer  = (*Executor)(nil)

	_ executor.RestoreRecoverer = (*Executor)(nil)
	_ executor.ChangeDetector   = (*Executor)(nil)
)

// Capabilities is what a runner has to know about every engine.
func Capabilities() executor.Capabilities {
	return executor.Capabilities{PollEvery: time.Second, Local: true}
}

// New makes the executor of an engine. Close it.
func New(provider string, e Engine, d Deps) (*Executor, error) {
	if d.Now == nil || d.Storages == nil || d.Scratch == nil || d.Log == nil {
		return nil, errors.New(provider + " executor: a dependency is missing")
	}
	if d.MinSizeRatio < 0 || d.MinSizeRatio > 1 {
		return nil, rejected("the size ratio %v is not between 0 and 1", d.MinSizeRatio)
	}
	x := &Executor{Deps: d, provider: provider, engine: e}
	x.local = executor.NewLocal(x.backUp)
	return x, nil
}

// Close cancels what runs and waits for it. Verify and Restore must have returned.
func (x *Executor) Close() error { return x.local.Close() }

// Start implements executor.Executor. The Ref names the place of the copy from the beginning, so that
// Delete finds what a failed attempt may have left.
func (x *Executor) Start(ctx context.Context, j executor.Job) (executor.Ref, error) {
	ref, err := x.ref(j)
	if err != nil {
		return executor.Ref{}, err
	}
	if j.Source == nil {
		err = x.refuse(j)
	}
	if err != nil {
		return executor.Ref{}, err
	}
	if _, err := x.local.Start(ctx, j); err != nil {
		return executor.Ref{}, err
	}
	return ref, nil
}

// Poll implements executor.Executor.
func (x *Executor) Poll(ctx context.Context, r executor.Ref) (executor.Progress, error) {
	return x.local.Poll(ctx, r)
}

// Cancel implements executor.Canceler. remains is what the storage says afterwards: also true if the
// copy was complete before the cancel reached it, which Poll then tells.
func (x *Executor) Cancel(ctx context.Context, r executor.Ref) (bool, error) {
	return x.end(ctx, r, x.local.Cancel)
}

// Stop implements executor.Stopper: further copies that are not made yet are left, the first stands.
func (x *Executor) Stop(ctx context.Context, r executor.Ref) (bool, error) {
	return x.end(ctx, r, x.local.Stop)
}

func (x *Executor) end(ctx context.Context, r executor.Ref, how func(context.Context, executor.Ref) error) (remains bool, err error) {
	if err := how(ctx, r); err != nil && !errors.Is(err, executor.ErrLost) {
		return true, err
	}
	p, err := x.local.Poll(ctx, r)
	if err == nil && p.Err == nil || errors.Is(p.Err, executor.ErrRemains) {
		return true, nil
	}
	if _, err := x.remove(ctx, r); err != nil {
		return true, err
	}
	return x.remains(ctx, r)
}

// Recover implements executor.Recoverer: work of an earlier process is over, since it ran inside it. If it had come to
// a copy that is complete and proven, that is what it was; anything less is removed.
func (x *Executor) Recover(ctx context.Context, j executor.Job) (executor.Ref, bool, error) {
	if p, err := x.local.Poll(ctx, executor.LocalRef(j)); err == nil {
		if p.Done && p.Err == nil {
			return *p.Outcome.Ref, true, nil
		}
		ref, err := x.ref(j)
		return ref, true, err
	}
	o, done, err := x.finished(ctx, j)
	var f *events.Failure
	if err != nil && (!errors.As(err, &f) || f.Retryable) { // what is there is not known yet
		return executor.Ref{}, false, err
	}
	if err := x.Scratch.clear(scratchName(j)); err != nil {
		return executor.Ref{}, false, err
	}
	if s, ok := x.engine.(Sweeper); ok {
		if err := s.Sweep(ctx, j); err != nil { // a server that is away keeps nobody from what lies in the storage
			x.Log.WarnContext(ctx, "sessions of a lost attempt could not be ended", "backup_id", j.BackupID, "error", events.Redact(err.Error()))
		}
	}
	if done {
		x.post(ctx, j, copied)
		_, err := x.local.StartWith(ctx, j, func(context.Context, executor.Job, func(executor.Progress)) (lifecycle.Outcome, error) { return o, nil })
		return *o.Ref, true, err
	}
	x.post(ctx, j, failed)
	return executor.Ref{}, false, x.removeLost(ctx, j)
}

// Delete implements executor.Executor. A Ref without BackupName names no copy: nothing is deleted. What r names has
// to answer; storages that it does not name are looked into as well, and may be away.
func (x *Executor) Delete(ctx context.Context, r executor.Ref) (int64, error) {
	if r.BackupName == "" {
		return 0, nil
	}
	freed, err := x.remove(ctx, r)
	return freed + x.removeElsewhere(ctx, r), err
}

// Inspect tells what is missing for the backups of j, storage included.
func (x *Executor) Inspect(ctx context.Context, j executor.Job) []Finding {
	var all []Finding
	if i, ok := x.engine.(Inspector); ok {
		all = i.Inspect(ctx, j)
	}
	all = append(all, x.inspectStorage(ctx, j.Config.Storage))
	for _, name := range j.Config.CopyTo {
		all = append(all, x.inspectStorage(ctx, name))
	}
	if level(j) == events.ProofRestored {
		all = append(all, x.inspectScratch())
	}
	return append(all, Finding{Subject: "request", Said: "can be accepted", Err: x.refuse(j)})
}

func (x *Executor) inspectScratch() Finding {
	d, err := x.Scratch.make(scratchPrefix+"inspect-"+rand.Text(), 0)
	if err == nil {
		if t, ok := x.engine.(ScratchTrier); ok {
			err = t.TryScratch(d.path())
		}
		err = errors.Join(err, d.remove())
	}
	return Finding{Subject: "scratch", Said: "copies can be restored there", Err: err}
}

// inspectStorage looks at one; the empty name is that of instances that name none.
func (x *Executor) inspectStorage(ctx context.Context, name string) Finding {
	found, err := x.Storages.Probe(ctx, name)
	return Finding{Subject: "storage", Said: found + ": can be written, read and deleted from", Err: err}
}

func (x *Executor) ref(j executor.Job) (executor.Ref, error) {
	c, err := x.Storages.Of(j)
	if err != nil {
		return executor.Ref{}, err
	}
	ref := executor.LocalRef(j)
	ref.BackupName = c.Name()
	ref.LeftIn, err = x.furtherOf(c, j) // until they are made
	return ref, err
}

// refuse says at once what no attempt could do.
func (x *Executor) refuse(j executor.Job) error {
	switch level(j) {
	case events.ProofStored, events.ProofChecked, events.ProofRestored:
	default:
		return rejected("proof %q is not known: use STORED, CHECKED or RESTORED", events.Clip(string(j.Proof), 64))
	}
	if err := x.Hooks.refuse(j.Config.Hooks); err != nil {
		return err
	}
	open, err := x.Storages.CanOpen(j.Config.EncryptTo)
	if err != nil {
		return err
	}
	if !open && level(j) != events.ProofStored {
		return rejected("the copies of this instance are encrypted to keys that the executor does not have, so they cannot be proven: give it one of the identities, or set successfulWhen to STORED")
	}
	return nil
}

// level is the proof that a job asks for.
func level(j executor.Job) events.Proof {
	if j.Proof == "" {
		return events.ProofChecked
	}
	return j.Proof
}

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}
