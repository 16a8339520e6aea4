package cloudsql

import (
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// links makes the URIs of an answer: scheme and host that the client called, prefix of the version called.
type links struct {
	base    string // http://host/sql/v1beta4/
	account string // user of operations whose caller has no name
}

func (l links) instance(project, instance string) string {
	return l.base + "projects/" + escape(project) + "/instances/" + escape(instance)
}

func (l links) run(project, instance, id string) string {
	return l.instance(project, instance) + "/backupRuns/" + id
}

func (l links) operation(project, name string) string {
	return l.base + "projects/" + escape(project) + "/operations/" + name
}

// runStatus is cloudsql.md A: what a run shows in each state. A run between two attempts, or being
// cancelled, shows as running.
func runStatus(b events.Backup) string {
	switch b.State {
	case lifecycle.Enqueued:
		if b.Attempt > 0 {
			return "RUNNING"
		}
		return "ENQUEUED"
	case lifecycle.Cancelling:
		if b.StartTime.IsZero() {
			return "ENQUEUED"
		}
		return "RUNNING"
	case lifecycle.Cancelled:
		return "FAILED"
	}
	return string(b.State) // the other words are the same
}

func (l links) backupRun(b events.Backup) backupRun {
	r := backupRun{
		Kind: "sql#backupRun", Status: runStatus(b), ID: b.IDs.CloudSQL, Type: "ON_DEMAND", Description: b.Description,
		EnqueuedTime: stamp(b.EnqueuedTime), WindowStartTime: stamp(b.EnqueuedTime),
		StartTime: stamp(b.StartTime), EndTime: stamp(b.EndTime),
		Instance: b.Instance, SelfLink: l.run(b.Project, b.Instance, b.IDs.CloudSQL), Location: b.Location,
		BackupKind: b.BackupKind,
	}
	if b.Trigger == events.Scheduled {
		r.Type, r.WindowStartTime = "AUTOMATED", stamp(b.WindowStartTime)
	}
	if b.Proof != "" {
		r.DatabaseVersion = databaseVersion(b.Engine, b.EngineVersion)
	}
	if r.Status == "FAILED" {
		f := b.Error
		if f == nil {
			f = lifecycle.CancelledFailure(b)
		}
		e := failure(f)
		r.Error = &e
	}
	return r
}

func (l links) ofOperation(op lifecycle.Operation) operation {
	o := operation{
		Kind: "sql#operation", Status: "PENDING", User: op.User, InsertTime: stamp(op.InsertTime),
		StartTime: stamp(op.StartTime), EndTime: stamp(op.EndTime), Name: op.ID, TargetID: op.Instance,
		TargetLink: l.instance(op.Project, op.Instance), SelfLink: l.operation(op.Project, op.ID), TargetProject: op.Project,
	}
	if o.User == "" {
		o.User = l.account
	}
	switch op.Kind {
	case lifecycle.Creation:
		o.OperationType = "BACKUP_VOLUME"
		o.BackupContext = &backupContext{Kind: "sql#backupContext", BackupID: op.CloudSQLID}
	case lifecycle.Deletion:
		o.OperationType = "DELETE_BACKUP"
	case lifecycle.Restoral:
		o.OperationType = "RESTORE_VOLUME"
	}
	switch {
	case op.Done:
		o.Status = "DONE"
	case !op.StartTime.IsZero():
		o.Status = "RUNNING"
	}
	if op.Done && op.Failure != nil {
		o.Error = &operationErrors{Kind: "sql#operationErrors", Errors: []operationError{failure(op.Failure)}}
	}
	return o
}

func (l links) ofInstance(i events.Instance) databaseInstance {
	return databaseInstance{
		Kind: "sql#instance", Name: i.Instance, Project: i.Project, Region: i.Config.Region, State: "RUNNABLE",
		DatabaseVersion: databaseVersion(i.Config.Engine, i.Config.EngineVersion), InstanceType: "CLOUD_SQL_INSTANCE",
		BackendType: "SECOND_GEN", ConnectionName: i.Project + ":" + i.Config.Region + ":" + i.Instance,
		SelfLink: l.instance(i.Project, i.Instance),
		Settings: settings{
			Kind: "sql#settings", SettingsVersion: strconv.Itoa(i.Generation), ActivationPolicy: "ALWAYS",
			BackupConfiguration: backupConfiguration{Kind: "sql#backupConfiguration"},
		},
	}
}

// failure turns our code into the class that Cloud SQL shows.
func failure(f *events.Failure) operationError {
	code := string(f.Code)
	if f.Code == events.Internal {
		code = "INTERNAL_ERROR"
	}
	return operationError{Kind: "sql#operationError", Code: code, Message: f.Message}
}

// databaseVersion is an engine in the form of Cloud SQL's enum, as MYSQL_8_0 or POSTGRES_16.
func databaseVersion(engine, version string) string {
	if engine == "" {
		return ""
	}
	parts := strings.SplitN(version, ".", 3)
	if engine != "mysql" || len(parts) < 2 {
		parts = parts[:1]
	}
	out := strings.ToUpper(engine)
	for _, p := range parts {
		if p != "" {
			out += "_" + p
		}
	}
	return out
}

func stamp(t events.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}
