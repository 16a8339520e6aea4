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
	if f := runFailure(b); f != nil {
		e := failure(f)
		r.Error = &e
	}
	r.DiskEncryptionConfiguration, r.DiskEncryptionStatus = encryption(b)
	return r
}

// runFailure is why a run failed; nil in every other state.
func runFailure(b events.Backup) *events.Failure {
	switch {
	case runStatus(b) != "FAILED":
		return nil
	case lifecycle.Stopped(b), b.Error == nil:
		return lifecycle.CancelledFailure(b)
	}
	return b.Error
}

// encryption is filled when the copy was encrypted to a key: for self-hosted ones that is the age recipient.
func encryption(b events.Backup) (*diskEncryptionConfiguration, *diskEncryptionStatus) {
	e := b.Encryption
	if e == nil || e.Type != "CUSTOMER_MANAGED" || e.KeyName == "" {
		return nil, nil
	}
	version := e.KeyVersion
	if version == "" {
		version = e.KeyName
	}
	return &diskEncryptionConfiguration{Kind: "sql#diskEncryptionConfiguration", KmsKeyName: e.KeyName},
		&diskEncryptionStatus{Kind: "sql#diskEncryptionStatus", KmsKeyVersionName: version}
}

func (l links) backupLink(b events.Backup) string {
	return l.base + backupName(b)
}

func backupName(b events.Backup) string {
	return "projects/" + escape(b.Project) + "/backups/" + b.BackupID
}

// backup is a run as the newer resource (cloudsql.md 9); its State is empty if it has none.
func (l links) backup(b events.Backup) backupResource {
	r := l.backupRun(b)
	out := backupResource{
		Name: backupName(b), Kind: "sql#backup", SelfLink: l.backupLink(b), Type: r.Type, Description: r.Description, Instance: r.Instance,
		Location: r.Location, BackupInterval: interval{r.StartTime, r.EndTime}, State: backupState(b), Error: r.Error, BackupKind: r.BackupKind,
		DatabaseVersion: r.DatabaseVersion, ExpiryTime: stamp(b.ExpireTime),
		BackupRun: "projects/" + escape(b.Project) + "/instances/" + escape(b.Instance) + "/backupRuns/" + b.IDs.CloudSQL,
	}
	if r.DiskEncryptionConfiguration != nil {
		out.KmsKey, out.KmsKeyVersion = r.DiskEncryptionConfiguration.KmsKeyName, r.DiskEncryptionStatus.KmsKeyVersionName
	}
	return out
}

// accepted is the operation of the latest change of a configuration as it was accepted. It has taken effect, so
// whoever reads it sees it done.
func (l links) accepted(s events.Schedule) operation {
	ops := lifecycle.OperationsOfSchedule(s)
	op := ops[len(ops)-1]
	op.StartTime, op.EndTime, op.Done = events.Time{}, events.Time{}, false
	return l.ofOperation(op)
}

func operationType(k lifecycle.Kind) string {
	return map[lifecycle.Kind]string{
		lifecycle.Creation: "BACKUP_VOLUME", lifecycle.Deletion: "DELETE_BACKUP", lifecycle.Restoral: "RESTORE_VOLUME",
		lifecycle.Setting: "UPDATE", lifecycle.Updating: "UPDATE_BACKUP",
	}[k]
}

func (l links) ofOperation(op lifecycle.Operation) operation {
	o := operation{
		Kind: "sql#operation", Status: "PENDING", User: op.User, InsertTime: stamp(op.InsertTime),
		StartTime: stamp(op.StartTime), EndTime: stamp(op.EndTime), Name: op.ID, TargetID: op.Instance,
		TargetLink: l.instance(op.Project, op.Instance), SelfLink: l.operation(op.Project, op.ID), TargetProject: op.Project,
		OperationType: operationType(op.Kind),
	}
	if o.User == "" {
		o.User = l.account
	}
	switch op.Kind {
	case lifecycle.Creation:
		name := "projects/" + op.Project + "/backups/" + op.Backup
		o.BackupContext = &backupContext{Kind: "sql#backupContext", BackupID: op.CloudSQLID, Name: name}
	case lifecycle.Updating, lifecycle.Deletion:
		if op.Kind == lifecycle.Deletion && !op.Resource {
			break
		}
		o.TargetID, o.TargetLink = op.Backup, l.base+"projects/"+escape(op.Project)+"/backups/"+op.Backup
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

func (l links) ofInstance(i configured) databaseInstance {
	f, s, c := i.facts(), i.settings(), i.configuration()
	return databaseInstance{
		Kind: "sql#instance", Name: i.Instance.Instance, Project: i.Project, Region: i.Config.Region, State: f.State,
		DatabaseVersion: databaseVersion(i.Config.Engine, i.Config.EngineVersion), InstanceType: f.InstanceType,
		BackendType: "SECOND_GEN", ConnectionName: connectionName(i), CreateTime: stamp(i.CreateTime), Etag: i.etag(),
		SelfLink: l.instance(i.Project, i.Instance.Instance),
		Settings: settings{
			Kind: "sql#settings", SettingsVersion: strconv.Itoa(i.version()), ActivationPolicy: s.ActivationPolicy, Tier: s.Tier, Edition: s.Edition,
			RetainBackupsOnDelete: s.RetainBackupsOnDelete, FinalBackupConfig: ofFinalBackup(s.FinalBackup),
			BackupConfiguration: backupConfiguration{
				Kind: "sql#backupConfiguration", Enabled: !c.Paused, StartTime: startOf(c), Location: s.Location,
				Retention:                    retentionSettings{RetentionUnit: "COUNT", RetainedBackups: retained(c, s.Edition)},
				TransactionLogRetentionDays:  s.TransactionLogRetentionDays,
				TransactionalLogStorageState: "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED",
				BinaryLogEnabled:             s.BinaryLogEnabled, PointInTimeRecoveryEnabled: s.PointInTimeRecoveryEnabled, BackupTier: "STANDARD",
				ReplicationLogArchivingEnabled: s.ReplicationLogArchivingEnabled,
			},
		},
	}
}

func ofFinalBackup(f *events.CloudSQLFinalBackup) *finalBackupConfig {
	if f == nil {
		return nil
	}
	out := finalBackupConfig{Enabled: f.Enabled, RetentionDays: f.RetentionDays}
	if out.Enabled && out.RetentionDays == 0 {
		out.RetentionDays = finalDays
	}
	return &out
}

// connectionName is project:region:name; an instance without a region has none of its own.
func connectionName(i configured) string {
	if i.Config.Region == "" {
		return i.Project + ":" + i.Instance.Instance
	}
	return i.Project + ":" + i.Config.Region + ":" + i.Instance.Instance
}

// failure turns our code into the class that Cloud SQL shows.
func failure(f *events.Failure) operationError {
	code := string(f.Code)
	switch f.Code {
	case events.Internal:
		code = "INTERNAL_ERROR"
	case events.QuotaExceeded:
		code = "RATE_LIMIT_EXCEEDED" // PD-6
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
