package lifecycle

import (
	"time"

	"github.com/backupbus/backupbus/events"
)

// The functions below change in a record what a step may change (the column "set by" of events.md 2.1).
// They do not set step and state: Advance does, for all of them.

// Advance puts a record on the state that step leads to. It is the one place where a backup's state is set.
func Advance(b events.Backup, s events.Step) (events.Backup, error) {
	f := Facts{Requested: b.EverRequested()}
	if s == events.Requested {
		f.Requested = b.Overdue != nil && b.Overdue.Requested
	}
	if b.Deletion != nil {
		f.Cause = b.Deletion.Cause
	}
	to, err := Check(events.Backups, s, b.State, f)
	if err != nil {
		return b, err
	}
	b.PreviousState, b.State, b.Step = b.State, to, s
	if s != events.Updated {
		b.ChangedFields = nil
	}
	return b, nil
}

// AdvanceRestore is Advance for restores.
func AdvanceRestore(r events.Restore, s events.Step) (events.Restore, error) {
	to, err := Check(events.Restores, s, r.State, Facts{})
	if err != nil {
		return r, err
	}
	r.PreviousState, r.State, r.Step = r.State, to, s
	return r, nil
}

// Claim is `started`: the next attempt begins.
func Claim(b events.Backup, at time.Time, executorID string) events.Backup {
	b.Attempt++
	b.ExecutorID = executorID
	if b.StartTime.IsZero() {
		b.StartTime = events.At(at)
	}
	b.ProviderRef = nil
	b.Error, b.NextAttemptTime = nil, events.Time{}
	return b
}

// FailAttempt is `attempt_failed`: another try is planned at next.
func FailAttempt(b events.Backup, f *events.Failure, next time.Time) events.Backup {
	b.Error, b.NextAttemptTime = f, events.At(next)
	return b
}

// Outcome is what `succeeded` adds to a record.
type Outcome struct {
	Proof           events.Proof
	Evidence        *events.Evidence
	SizeBytes       int64
	Kind            string
	EngineVersion   string
	Checksum        *events.Checksum
	ConsistencyTime time.Time
	Location        string
	Encryption      *events.Encryption
	Ref             *events.ProviderRef
	Copies          []events.Copy
}

// Complete is `succeeded`.
func Complete(b events.Backup, at time.Time, o Outcome) events.Backup {
	b = end(b, at)
	b.Error, b.NextAttemptTime = nil, events.Time{}
	b.Proof, b.Evidence, b.BackupKind, b.Checksum, b.Copies = o.Proof, o.Evidence, o.Kind, o.Checksum, o.Copies
	b.SizeBytes = &o.SizeBytes
	if o.EngineVersion != "" {
		b.EngineVersion = o.EngineVersion
	}
	if !o.ConsistencyTime.IsZero() {
		b.ConsistencyTime = events.AtMicro(o.ConsistencyTime)
	}
	if o.Location != "" {
		b.Location = o.Location
	}
	if o.Encryption != nil {
		b.Encryption = o.Encryption
	}
	if o.Ref != nil {
		b.ProviderRef = o.Ref
	}
	return b
}

// Fail is `failed`: no further try. ref, if known, is where remains may be deleted.
func Fail(b events.Backup, at time.Time, f *events.Failure, ref *events.ProviderRef, remains bool) events.Backup {
	b = leave(end(b, at), ref, remains)
	b.Error, b.NextAttemptTime = f, events.Time{}
	return b
}

// AskCancel is `cancel_requested`.
func AskCancel(b events.Backup, c events.Cancel) events.Backup {
	b.NextAttemptTime = events.Time{}
	b.Cancel = &c
	return b
}

// Stop is `cancelled`. ref, if known, is where remains may be deleted.
func Stop(b events.Backup, at time.Time, ref *events.ProviderRef, remains bool) events.Backup {
	return leave(end(b, at), ref, remains)
}

func leave(b events.Backup, ref *events.ProviderRef, remains bool) events.Backup {
	b.NextAttemptTime = events.Time{}
	b.PartialRemains = remains
	if remains && b.ProviderRef == nil {
		b.ProviderRef = ref
	}
	return b
}

// AskDeletion is `deletion_requested`: the next try, whose operation is that of the event id. Who was once told that the
// backup is gone was told for good (deletion.insist), whoever asks now: its name may be another's.
func AskDeletion(b events.Backup, d events.Deletion) events.Backup {
	d.Earlier = earlierTries(b.Deletion)
	d.Try = NextDeletion(b)
	d.Insist = d.Insist || b.Deletion != nil && b.Deletion.Insist
	d.Operation = events.OperationID(events.EventID(b.BackupID, events.Backups, events.DeletionRequested, d.Try))
	b.Deletion = &d
	return b
}

// NextDeletion is the number of the next deletion try.
func NextDeletion(b events.Backup) int {
	if b.Deletion == nil {
		return 1
	}
	return b.Deletion.Try + 1
}

// Remove is `deleted`.
func Remove(b events.Backup, at time.Time, freed int64) events.Backup {
	d := *b.Deletion
	d.EndTime, d.FreedBytes = events.At(at), &freed
	b.Deletion = &d
	b.PartialRemains = false
	return b
}

// FailDeletion is `deletion_failed`.
func FailDeletion(b events.Backup, at time.Time, f *events.Failure) events.Backup {
	d := *b.Deletion
	d.EndTime, d.Error = events.At(at), f
	b.Deletion = &d
	return b
}

// Amend is `updated` on somebody's request; apply changes the record and names the fields, at least one.
func Amend(b events.Backup, u events.Update, apply func(*events.Backup) []string) events.Backup {
	b.EarlierUpdates = earlierUpdates(b, u.RequestTime.Time)
	b.Updates++
	u.Number = b.Updates
	b.Update = &u
	was := b.ExpireTime
	b.ChangedFields = apply(&b)
	if b.Proof != "" && b.FirstExpireTime.IsZero() && !b.ExpireTime.Equal(was.Time) {
		b.FirstExpireTime = was
	}
	return b
}

// NextCheck is the run number of the next `verification_requested`.
func NextCheck(b events.Backup) int {
	if b.Check == nil {
		return 1
	}
	return b.Check.Run + 1
}

// Checking tells whether a check was asked for that has not ended.
func Checking(b events.Backup) bool { return b.Check != nil && b.Check.EndTime.IsZero() }

// AskCheck is `verification_requested`; the run number is NextCheck's.
func AskCheck(b events.Backup, c events.Check) events.Backup {
	c.Run = NextCheck(b)
	b.Check = &c
	return b
}

// Checked is what a check of a stored copy has read, and what it saw.
type Checked struct {
	Bytes    int64 // stored bytes
	Evidence events.Evidence
}

// FinishCheck is `verified`, or `verification_failed` if f is not nil.
func FinishCheck(b events.Backup, start, at time.Time, found Checked, f *events.Failure) events.Backup {
	c := *b.Check
	ms := at.Sub(start).Milliseconds()
	c.StartTime, c.EndTime, c.DurationMs, c.Error = events.At(start), events.At(at), &ms, f
	c.CheckedBytes, c.Evidence = &found.Bytes, &found.Evidence
	b.Check = &c
	b.Verification = events.CheckPassed
	if f != nil {
		b.Verification = events.CheckFailed
	}
	return b
}

// ClaimRestore is `restore.started`.
func ClaimRestore(r events.Restore, at time.Time, executorID string) events.Restore {
	r.ExecutorID, r.StartTime = executorID, events.At(at)
	return r
}

// CompleteRestore is `restore.succeeded`.
func CompleteRestore(r events.Restore, at time.Time, bytes int64) events.Restore {
	r = endRestore(r, at)
	r.RestoredBytes = &bytes
	return r
}

// FailRestore is `restore.failed`.
func FailRestore(r events.Restore, at time.Time, f *events.Failure) events.Restore {
	r = endRestore(r, at)
	r.Error = f
	return r
}

func end(b events.Backup, at time.Time) events.Backup {
	b.EndTime = events.At(at)
	b.DurationMs = nil
	if !b.StartTime.IsZero() {
		ms := b.EndTime.Sub(b.StartTime.Time).Milliseconds()
		b.DurationMs = &ms
	}
	return b
}

func endRestore(r events.Restore, at time.Time) events.Restore {
	r.EndTime = events.At(at)
	if !r.StartTime.IsZero() {
		ms := r.EndTime.Sub(r.StartTime.Time).Milliseconds()
		r.DurationMs = &ms
	}
	return r
}
