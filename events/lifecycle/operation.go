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
// schedule, never stored. Of updates of a backup the latest alone is known, of a schedule events.MaxChanges. A deletion that failed and was asked for again keeps its operation, without its times.
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
	User       string
	InsertTime events.Time
	StartTime  events.Time // zero until it runs
	EndTime    events.Time // set when Done
	Done       bool
	Failure    *events.Failure // only when Done
}

// OperationsOf a backup: its creation and every try to delete it.
func OperationsOf(b events.Backup) []Operation {
	base := Operation{Entity: events.Backups, Aggregate: b.BackupID, Backup: b.BackupID, CloudSQLID: b.IDs.CloudSQL,
		Project: b.Project, Instance: b.Instance}
	make := base
	make.ID, make.Kind, make.User, make.OnDemand = b.IDs.Operation, Creation, b.RequestedBy, b.Trigger == events.OnDemand
	make.InsertTime, make.StartTime, make.EndTime = b.EnqueuedTime, b.StartTime, b.EndTime
	make.Done = !b.EndTime.IsZero()
	if make.Done {
		make.Failure = b.Error
		if b.Cancel != nil && b.Error == nil && b.Proof == "" {
			make.Failure = CancelledFailure(b)
		}
	}
	ops := []Operation{make}
	if !b.EverRequested() {
		ops = nil // a due slot that nobody asked for, or that was skipped: no work
	}
	if u := b.Update; u != nil {
		up := base
		up.ID = events.OperationID(events.EventID(b.BackupID, events.Backups, events.Updated, u.Number))
		up.Kind, up.User, up.Done = Updating, u.RequestedBy, true
		up.InsertTime, up.StartTime, up.EndTime = u.RequestTime, u.RequestTime, u.RequestTime
		ops = append(ops, up)
	}
	if b.Deletion == nil || b.Deletion.Try == 0 {
		return ops
	}
	for n := 1; n <= b.Deletion.Try; n++ {
		d := base
		d.ID = events.OperationID(events.EventID(b.BackupID, events.Backups, events.DeletionRequested, n))
		d.Kind, d.User = Deletion, b.Deletion.RequestedBy
		d.InsertTime = b.Deletion.RequestTime
		if n < b.Deletion.Try {
			d.Done, d.EndTime = true, b.Deletion.RequestTime
			d.Failure = &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "the deletion failed and was asked for again"}
		} else {
			d.Done, d.EndTime, d.Failure = PhaseOf(b) != Deleting, b.Deletion.EndTime, b.Deletion.Error
		}
		if d.Done {
			d.StartTime = d.InsertTime
		}
		ops = append(ops, d)
	}
	return ops
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
