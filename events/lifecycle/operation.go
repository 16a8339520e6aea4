package lifecycle

import "github.com/backupbus/backupbus/events"

// Kind of work that an operation stands for.
type Kind string

// The kinds; each door has its own words for them.
const (
	Creation Kind = "creation"
	Updating Kind = "update"  // of a backup's expiry, description or labels
	Setting  Kind = "setting" // of an instance's backup configuration
	Deletion Kind = "deletion"
	Restoral Kind = "restoral"
)

// Operation is one piece of work as the clouds show it: derived from the record of a backup, restore or
// schedule, never stored. What has ended stays as it was, for as long as the record remembers it (history.go).
type Operation struct {
	ID         string
	Kind       Kind
	Entity     events.Entity
	Aggregate  string // id of the backup, restore or schedule
	Backup     string // id of the backup
	CloudSQLID string
	Project    string
	Instance   string
	OnDemand   bool // of a creation
	Resource   bool // of a deletion: events.Deletion.Resource
	User       string
	InsertTime events.Time
	StartTime  events.Time // zero until it runs
	EndTime    events.Time // set when Done
	Done       bool
	Failure    *events.Failure // only when Done
}

// OperationsOf a backup: its creation, its updates and every try to delete it.
func OperationsOf(b events.Backup) []Operation {
	base := Operation{Entity: events.Backups, Aggregate: b.BackupID, Backup: b.BackupID, CloudSQLID: b.IDs.CloudSQL,
		Project: b.Project, Instance: b.Instance}
	var ops []Operation
	if b.EverRequested() { // else a due slot that nobody asked for, or that was skipped: no work
		ops = append(ops, creationOf(b, base))
	}
	for _, u := range b.EarlierUpdates {
		ops = append(ops, updateOf(u, base))
	}
	if b.Update != nil {
		ops = append(ops, updateOf(*b.Update, base))
	}
	return append(ops, deletionsOf(b, base)...)
}

func creationOf(b events.Backup, op Operation) Operation {
	op.ID, op.Kind, op.User, op.OnDemand = b.IDs.Operation, Creation, b.RequestedBy, b.Trigger == events.OnDemand
	op.InsertTime, op.StartTime, op.EndTime = b.EnqueuedTime, b.StartTime, b.EndTime
	if b.Skip != nil { // it was asked for and then not run: that has no end of its own
		if op.EndTime = b.Skip.Time; op.EndTime.IsZero() {
			op.EndTime = b.EnqueuedTime
		}
	}
	if op.Done = !op.EndTime.IsZero(); !op.Done {
		return op
	}
	op.Failure = b.Error
	if Stopped(b) {
		op.Failure = CancelledFailure(b)
	}
	return op
}

// Stopped tells whether a backup ended by being cancelled, whatever became of it since. The record of one that waited for
// its next attempt keeps the error of the last (events.md 2.1): it is one after which there was to be another.
func Stopped(b events.Backup) bool {
	switch {
	case b.State == Cancelled:
		return true
	case b.Cancel == nil || Succeeded(b) || b.State == Failed || InTheMaking(b):
		return false
	}
	return b.Error == nil || b.Error.Retryable && b.Attempt < b.MaxAttempts
}

func updateOf(u events.Update, op Operation) Operation {
	op.ID = events.OperationID(events.EventID(op.Backup, events.Backups, events.Updated, u.Number))
	op.Kind, op.User, op.Done = Updating, u.RequestedBy, true
	op.InsertTime, op.StartTime, op.EndTime = u.RequestTime, u.RequestTime, u.RequestTime
	return op
}

// deletionsOf a backup. Nothing says when a deletion starts, so an operation goes from waiting to done. One that
// nobody asked for is an operation if our own policy did it, not if it was found gone.
func deletionsOf(b events.Backup, base Operation) (ops []Operation) {
	d := b.Deletion
	if d == nil || d.Try == 0 && d.Cause != causeRetention {
		return nil
	}
	for _, t := range d.Earlier {
		op := deletionOf(t, base)
		op.Done = true
		ops = append(ops, op)
	}
	last := deletionOf(events.DeletionTry{Try: d.Try, Cause: d.Cause, RequestTime: d.RequestTime, RequestedBy: d.RequestedBy,
		EndTime: d.EndTime, Resource: d.Resource, Error: d.Error}, base)
	last.Done = PhaseOf(b) != Deleting && !d.EndTime.IsZero()
	return append(ops, last)
}

// causeRetention: a policy deleted, so the user is the service itself, whom doors name.
const causeRetention = "RETENTION"

func deletionOf(t events.DeletionTry, op Operation) Operation {
	op.ID = events.OperationID(events.EventID(op.Backup, events.Backups, events.DeletionRequested, t.Try))
	op.Kind, op.InsertTime, op.EndTime, op.Failure, op.Resource = Deletion, t.RequestTime, t.EndTime, t.Error, t.Resource
	if t.Cause != causeRetention {
		op.User = t.RequestedBy
	}
	if op.InsertTime.IsZero() {
		op.InsertTime = t.EndTime
	}
	return op
}

// CancelledFailure is what a cancelled backup shows where a dialect knows only failure.
func CancelledFailure(b events.Backup) *events.Failure {
	f := &events.Failure{Code: events.CodeCancelled, Category: events.ByUser, Message: "the backup was cancelled"}
	if b.Cancel != nil && b.Cancel.Reason != "" {
		f.Message += ": " + b.Cancel.Reason
	}
	return f
}

// OperationsOfSchedule are the changes of the schedule that doors show as an instance's configuration. They
// took effect when they were stored.
func OperationsOfSchedule(s events.Schedule) []Operation {
	if s.Name != events.Automated || s.Database != "" {
		return nil
	}
	var ops []Operation
	for _, c := range s.Changes {
		ops = append(ops, Operation{
			ID:   events.OperationID(events.EventID(s.ScheduleID, events.Schedules, c.Step, c.Generation)),
			Kind: Setting, Entity: events.Schedules, Aggregate: s.ScheduleID, Project: s.Project, Instance: s.Instance,
			User: c.RequestedBy, InsertTime: c.Time, StartTime: c.Time, EndTime: c.Time, Done: true,
		})
	}
	return ops
}

// OperationOf a restore.
func OperationOf(r events.Restore) Operation {
	return Operation{ID: r.IDs.Operation, Kind: Restoral, Entity: events.Restores, Aggregate: r.RestoreID, Backup: r.BackupID,
		Project: r.Project, Instance: r.Target.Instance, User: r.RequestedBy,
		InsertTime: r.EnqueuedTime, StartTime: r.StartTime, EndTime: r.EndTime,
		Done: !r.EndTime.IsZero(), Failure: r.Error}
}
