// Package executor does the work of one provider: Executor is what a provider offers, Runner is what
// drives it through the life cycle. A provider package imports this one and no other provider.
package executor

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Executor takes and deletes the backups of one provider. Package executortest holds the suite that
// defines it. All methods are safe for concurrent use and return an *events.Failure (found by
// errors.As) for what belongs into an event; any other error becomes INTERNAL there.
type Executor interface {
	// Start begins the backup of j and returns at once. The same job gives the same Ref and is begun
	// once: a second Start finds the first. The work goes on after ctx ends.
	Start(ctx context.Context, j Job) (Ref, error)

	// Poll tells how far the work is. After the end it keeps answering the same until the process
	// ends. An error means that the state could not be learned, not that the work failed. ErrLost
	// means that nothing is known of the work, for instance after a restart.
	Poll(ctx context.Context, r Ref) (Progress, error)

	// Delete removes the copy, whole or partial. What is not there is deleted: no error. The number is
	// the bytes set free, 0 if unknown.
	Delete(ctx context.Context, r Ref) (int64, error)
}

// Canceler is implemented by executors that can stop what they started.
type Canceler interface {
	// Cancel stops the work and removes what it has written. It returns when nothing runs any more.
	// remains: something may be left to delete. Work that ended well before the cancel reached it keeps
	// its copy and its outcome, which Poll tells; remains is true then.
	Cancel(ctx context.Context, r Ref) (remains bool, err error)
}

// Stopper is implemented by executors whose work may have something to keep when it has to end early.
type Stopper interface {
	// Stop is Cancel for work that takes too long, or whose process ends: it may still end well, with a copy
	// that was complete and proven, and Poll tells so. Without this, Cancel is called.
	Stop(ctx context.Context, r Ref) (remains bool, err error)
}

// Cleaner is implemented by executors that can find what failed attempts left by the names of a backup alone.
type Cleaner interface {
	// Clean removes whatever the attempts of j up to its own have stored anywhere, and returns the bytes set
	// free. Nothing of them runs. nil: nothing is left. j.Config may be empty: the instance may be gone.
	Clean(ctx context.Context, j Job) (int64, error)
}

// Recoverer is implemented by executors that know what an earlier process may have left of an attempt.
type Recoverer interface {
	// Recover looks for the work of j. found: it still runs or has ended, poll it under the Ref. Not
	// found: nothing of it runs, and what it left behind has been removed.
	Recover(ctx context.Context, j Job) (r Ref, found bool, err error)
}

// Limiter is implemented by executors that bound what runs at once beyond their number.
type Limiter interface {
	// Admit gives j its place among what runs, until leave is called. Not ok: there is none now, ask again.
	Admit(j Job) (leave func(), ok bool)
}

// Verifier is implemented by executors that can prove a stored copy again.
type Verifier interface {
	// Verify reads the copy of j back and proves it: ProofStored compares its checksum, ProofChecked and
	// ProofRestored as before SUCCESSFUL. With an error comes what was seen before it.
	// It says that it goes on by Alive(ctx): one that does not for long is ended.
	Verify(ctx context.Context, j Job, r Ref, want *events.Checksum, to events.Proof) (lifecycle.Checked, error)
}

// ChangeDetector is implemented by executors that can tell that a database has not changed.
type ChangeDetector interface {
	// Unchanged is true only if nothing was committed since the consistency point of the copy last. What is
	// not known is false; so is, for some engines, a database that was touched without a change of data.
	Unchanged(ctx context.Context, j Job, last Ref) (bool, error)
}

// Restorer is implemented by executors that can put a copy back.
type Restorer interface {
	// Restore writes the copy into the target and returns the bytes written. A target that holds data
	// is refused with ALREADY_EXISTS unless j.Overwrite; on any error a target that held nothing holds
	// nothing, and with Overwrite the package says what an error may leave.
	Restore(ctx context.Context, j RestoreJob) (int64, error)
}

// RestoreRecoverer is implemented by executors whose restores may leave something behind when they die.
type RestoreRecoverer interface {
	// RecoverRestore removes what an earlier process left of j. Nothing of it runs any more.
	RecoverRestore(ctx context.Context, j RestoreJob) error
}

// Copier is implemented by executors that make a copy of a copy where Job.Source is set.
type Copier interface{ Copies() }

// Source is the copy that a new backup is to be a copy of.
type Source struct {
	Ref      Ref
	Checksum *events.Checksum
}

// Job is one attempt at one backup.
type Job struct {
	BackupID string
	Attempt  int // from 1
	Project  string
	Instance string
	Database string
	Config   events.InstanceConfig
	Proof    events.Proof // the level that SUCCESSFUL has to mean; empty: ProofChecked
	LastSize int64        // bytes stored by the last good backup of the instance, 0 if none
	AsOf     time.Time    // the moment to be backed up, where the provider can choose one; zero: now
	Source   *Source      // copy this; nil: back up the database. Set for Start alone, where the executor is a Copier
}

// RestoreJob is one restore.
type RestoreJob struct {
	RestoreID string
	BackupID  string
	Source    Ref
	Checksum  *events.Checksum
	Target    events.InstanceConfig
	Database  string
	Overwrite bool
	// Report tells how far it is, as often as the executor likes; nil: nobody listens.
	Report func(Progress) `json:"-"`
}

// Ref is where a provider keeps the work or the copy; it goes into the record as providerRef.
type Ref = events.ProviderRef

// Progress is the state of started work.
type Progress struct {
	Phase      string // events.Preparing …
	BytesDone  int64  // of the source
	BytesTotal int64  // of the source; 0 if unknown
	Beats      int64  // grows while the work goes on without bytes
	Unseen     bool   // of a restore: the target's server is at work, of which nothing is seen; the deadline alone bounds it
	Done       bool
	Err        error             // Done: why it failed, nil if it did not
	Outcome    lifecycle.Outcome // Done without Err
}

// Capabilities is what a runner has to know about a provider.
type Capabilities struct {
	PollEvery time.Duration // the longest pause between two polls
	Local     bool          // the work runs in or under this process and ends with it
}
