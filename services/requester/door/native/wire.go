package native

import (
	"time"

	"github.com/backupbus/backupbus/events"
)

// The types of the API. Field names and meanings are those of the records in events.md 2; what is not
// known is absent.

type backupBody struct {
	BackupID        string            `json:"backupId"`
	RequestID       string            `json:"requestId"`
	Project         string            `json:"project"`
	Provider        string            `json:"provider"`
	Instance        string            `json:"instance"`
	Database        string            `json:"database,omitempty"`
	Engine          string            `json:"engine,omitempty"`
	EngineVersion   string            `json:"engineVersion,omitempty"`
	Name            string            `json:"name,omitempty"`
	Description     string            `json:"description,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Trigger         string            `json:"trigger"`
	Door            string            `json:"door" doc:"where the request came in"`
	ScheduleID      string            `json:"scheduleId,omitempty" doc:"of a scheduled backup"`
	DueTime         *time.Time        `json:"dueTime,omitempty" doc:"of a scheduled backup: when its schedule had it due"`
	WindowEndTime   *time.Time        `json:"windowEndTime,omitempty" doc:"of a scheduled backup: not started by then is overdue"`
	State           string            `json:"state"`
	Verification    string            `json:"verification"`
	Attempt         int               `json:"attempt"`
	MaxAttempts     int               `json:"maxAttempts,omitempty"`
	EnqueuedTime    time.Time         `json:"enqueuedTime"`
	StartTime       *time.Time        `json:"startTime,omitempty"`
	EndTime         *time.Time        `json:"endTime,omitempty"`
	DurationMs      *int64            `json:"durationMs,omitempty"`
	NextAttemptTime *time.Time        `json:"nextAttemptTime,omitempty"`
	ExpireTime      *time.Time        `json:"expireTime,omitempty"`
	ConsistencyTime *time.Time        `json:"consistencyTime,omitempty" doc:"the moment whose data the copy holds"`
	Location        string            `json:"location,omitempty"`
	Copy            string            `json:"copy,omitempty" doc:"storage and object prefix of the copy"`
	Copies          []copyBody        `json:"copies,omitempty" doc:"every storage that it was to be stored in, the instance's own first"`
	SizeBytes       *int64            `json:"sizeBytes,omitempty" doc:"bytes stored"`
	Held            bool              `json:"held,omitempty" doc:"it cannot be deleted until it is released"`
	BackupKind      string            `json:"backupKind,omitempty"`
	Proof           string            `json:"proof,omitempty" doc:"level to which the copy was proven: STORED, CHECKED, RESTORED"`
	Evidence        *events.Evidence  `json:"evidence,omitempty" doc:"what that proof saw"`
	Checksum        *checksumBody     `json:"checksum,omitempty"`
	Check           *checkBody        `json:"check,omitempty" doc:"the latest verification"`
	Error           *failureBody      `json:"error,omitempty"`
	SkipReason      string            `json:"skipReason,omitempty"`
	SkipMessage     string            `json:"skipMessage,omitempty"`
	CoveredBy       string            `json:"coveredByBackupId,omitempty" doc:"of a skipped backup: the one that holds its data"`
	Overdue         *overdueBody      `json:"overdue,omitempty" doc:"of a backup that did not start, or end, in its window"`
	Progress        *progressBody     `json:"progress,omitempty" doc:"of a running backup"`
	IDs             idsBody           `json:"ids" doc:"what other doors call this backup"`
}

type overdueBody struct {
	SinceTime           time.Time  `json:"sinceTime"`
	LateByMs            int64      `json:"lateByMs" doc:"when it was found"`
	Requested           bool       `json:"requested"`
	Started             bool       `json:"started" doc:"it runs past its window; otherwise it has not begun"`
	BlockedByBackupID   string     `json:"blockedByBackupId,omitempty" doc:"what had the instance then"`
	LastSuccessTime     *time.Time `json:"lastSuccessTime,omitempty"`
	LastSuccessBackupID string     `json:"lastSuccessBackupId,omitempty"`
}

type idsBody struct {
	CloudSQL  string `json:"cloudsql"`
	GaussDB   string `json:"gaussdb"`
	Spanner   string `json:"spanner"`
	Operation string `json:"operation"`
}

type copyBody struct {
	Storage string           `json:"storage"`
	State   events.CopyState `json:"state" enum:"STORED,FAILED"`
	Proof   events.Proof     `json:"proof,omitempty"`
	EndTime *time.Time       `json:"endTime,omitempty"`
	Error   *failureBody     `json:"error,omitempty"`
	Remains bool             `json:"remains,omitempty" doc:"part of the failed copy may still lie there; a deletion removes it"`
}

type checksumBody struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

type checkBody struct {
	Run          int              `json:"run"`
	Method       string           `json:"method"`
	Reason       string           `json:"reason"`
	StartTime    *time.Time       `json:"startTime,omitempty"`
	EndTime      *time.Time       `json:"endTime,omitempty" doc:"absent while it runs"`
	DurationMs   *int64           `json:"durationMs,omitempty"`
	CheckedBytes *int64           `json:"checkedBytes,omitempty"`
	Evidence     *events.Evidence `json:"evidence,omitempty" doc:"what the check saw"`
	Error        *failureBody     `json:"error,omitempty"`
}

type failureBody struct {
	Code      string `json:"code"`
	Category  string `json:"category" enum:"USER,PROVIDER,SYSTEM"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

type progressBody struct {
	Phase      string `json:"phase"`
	Percent    *int   `json:"percent,omitempty"`
	BytesDone  *int64 `json:"bytesDone,omitempty"`
	BytesTotal *int64 `json:"bytesTotal,omitempty"`
}

type restoreBody struct {
	RestoreID     string        `json:"restoreId"`
	BackupID      string        `json:"backupId"`
	RequestID     string        `json:"requestId"`
	Project       string        `json:"project"`
	Provider      string        `json:"provider"`
	Instance      string        `json:"instance" doc:"instance of the backup"`
	Target        targetBody    `json:"target"`
	State         string        `json:"state"`
	EnqueuedTime  time.Time     `json:"enqueuedTime"`
	StartTime     *time.Time    `json:"startTime,omitempty"`
	EndTime       *time.Time    `json:"endTime,omitempty"`
	DurationMs    *int64        `json:"durationMs,omitempty"`
	RestoredBytes *int64        `json:"restoredBytes,omitempty"`
	Progress      *progressBody `json:"progress,omitempty" doc:"of a running restore"`
	Error         *failureBody  `json:"error,omitempty"`
}

type targetBody struct {
	Instance  string `json:"instance" minLength:"1" maxLength:"100" doc:"a registered instance of the same provider"`
	Database  string `json:"database,omitempty" maxLength:"100"`
	Overwrite bool   `json:"overwrite,omitempty" doc:"replace a target that holds data; without it such a target is refused"`
}

type instanceBody struct {
	InstanceID string     `json:"instanceId"`
	Project    string     `json:"project"`
	Provider   string     `json:"provider"`
	Instance   string     `json:"instance"`
	Generation int        `json:"generation"`
	IDs        idsOf      `json:"ids" doc:"by which doors know it"`
	Outcome    string     `json:"outcome,omitempty" enum:"registered,updated,unchanged" doc:"of this call"`
	Config     configBody `json:"config"`
}

// idsOf are the ids of an instance where a door does not take its name.
type idsOf struct {
	GaussDB string `json:"gaussdb"`
}

// configBody has the fields of events.InstanceConfig in their order, so that each converts to the other.
type configBody struct {
	Engine         string                `json:"engine,omitempty" maxLength:"64"`
	EngineVersion  string                `json:"engineVersion,omitempty" maxLength:"64"`
	Region         string                `json:"region,omitempty" maxLength:"64"`
	File           string                `json:"file,omitempty" maxLength:"1024" doc:"sqlite: absolute path of the database, as the executor sees it"`
	Files          []string              `json:"files,omitempty" maxItems:"200" doc:"sqlite: further databases of the instance"`
	Address        string                `json:"address,omitempty" maxLength:"300" doc:"mysql, postgres: host:port, or the absolute path of the server's socket"`
	User           string                `json:"user,omitempty" maxLength:"128" doc:"mysql, postgres: the account that backs up"`
	DataDir        string                `json:"dataDir,omitempty" maxLength:"1024" doc:"mysql, postgres: empty folder into which physical copies are restored"`
	TLS            *events.InstanceTLS   `json:"tls,omitempty" doc:"absent: VERIFY_FULL, except over a socket or to the loopback"`
	Method         events.Method         `json:"method,omitempty" enum:"LOGICAL,PHYSICAL" doc:"absent: LOGICAL"`
	Storage        string                `json:"storage,omitempty" maxLength:"63" doc:"name of a storage of the executors; absent: default"`
	CopyTo         []string              `json:"copyTo,omitempty" maxItems:"4" doc:"further storages of the executors, which get the same objects"`
	EncryptTo      []string              `json:"encryptTo,omitempty" maxItems:"20" doc:"age recipients (public keys, age1…) to which copies are encrypted"`
	Databases      []string              `json:"databases,omitempty" maxItems:"200" doc:"absent: all but the server's own"`
	CredentialRef  string                `json:"credentialRef,omitempty" maxLength:"512" doc:"env:NAME or file:/path, resolved by the executor; never the credential itself"`
	Hooks          *events.InstanceHooks `json:"hooks,omitempty" doc:"names of hooks in the executors' settings"`
	SuccessfulWhen events.Proof          `json:"successfulWhen,omitempty" enum:"STORED,CHECKED,RESTORED" doc:"what SUCCESSFUL has to mean; absent: CHECKED"`
	Labels         map[string]string     `json:"labels,omitempty"`

	CloudSQL *events.CloudSQLInstance `json:"cloudsql,omitempty" doc:"what the Cloud SQL door shows of it, and holds to"`
}

func toBackup(b events.Backup) backupBody {
	out := backupBody{
		BackupID: b.BackupID, RequestID: b.RequestID, Project: b.Project, Provider: b.Provider, Instance: b.Instance,
		Database: b.Database, Engine: b.Engine, EngineVersion: b.EngineVersion, Name: b.Name, Description: b.Description,
		Labels: b.Labels, Trigger: string(b.Trigger), Door: b.Door, State: string(b.State), Verification: string(b.Verification),
		Attempt: b.Attempt, MaxAttempts: b.MaxAttempts, EnqueuedTime: b.EnqueuedTime.Time, StartTime: moment(b.StartTime),
		EndTime: moment(b.EndTime), DurationMs: b.DurationMs, NextAttemptTime: moment(b.NextAttemptTime),
		ExpireTime: moment(b.ExpireTime), ConsistencyTime: moment(b.ConsistencyTime), Location: b.Location,
		SizeBytes: b.SizeBytes, Held: b.Held, BackupKind: b.BackupKind, Proof: string(b.Proof), Evidence: b.Evidence, Error: toFailure(b.Error),
		IDs: idsBody(b.IDs), ScheduleID: b.ScheduleID, DueTime: moment(b.DueTime), WindowEndTime: moment(b.WindowEndTime),
	}
	if b.Checksum != nil {
		out.Checksum = &checksumBody{b.Checksum.Algorithm, b.Checksum.Value}
	}
	if b.ProviderRef != nil {
		out.Copy = b.ProviderRef.BackupName
	}
	for _, c := range b.Copies {
		out.Copies = append(out.Copies, copyBody{c.Storage, c.State, c.Proof, moment(c.EndTime), toFailure(c.Error), c.Remains})
	}
	if c := b.Check; c != nil {
		out.Check = &checkBody{Run: c.Run, Method: c.Method, Reason: c.Reason, StartTime: moment(c.StartTime), EndTime: moment(c.EndTime),
			DurationMs: c.DurationMs, CheckedBytes: c.CheckedBytes, Evidence: c.Evidence, Error: toFailure(c.Error)}
	}
	if b.Skip != nil {
		out.SkipReason, out.SkipMessage, out.CoveredBy = b.Skip.Reason, b.Skip.Message, b.Skip.CoveredByBackupID
	}
	if o := b.Overdue; o != nil {
		out.Overdue = &overdueBody{SinceTime: o.SinceTime.Time, LateByMs: o.LateByMs, Requested: o.Requested, Started: o.Started,
			BlockedByBackupID: o.BlockedByBackupID, LastSuccessTime: moment(o.LastSuccessTime), LastSuccessBackupID: o.LastSuccessBackupID}
	}
	return out
}

func toRestore(r events.Restore) restoreBody {
	return restoreBody{
		RestoreID: r.RestoreID, BackupID: r.BackupID, RequestID: r.RequestID, Project: r.Project, Provider: r.Provider,
		Instance: r.Instance, Target: targetBody(r.Target), State: string(r.State), EnqueuedTime: r.EnqueuedTime.Time,
		StartTime: moment(r.StartTime), EndTime: moment(r.EndTime), DurationMs: r.DurationMs, RestoredBytes: r.RestoredBytes,
		Error: toFailure(r.Error),
	}
}

func toInstance(i events.Instance, outcome string) instanceBody {
	return instanceBody{
		InstanceID: i.InstanceID, Project: i.Project, Provider: i.Provider, Instance: i.Instance, Generation: i.Generation,
		IDs: idsOf(i.IDs), Outcome: outcome, Config: configBody(i.Config),
	}
}

func toFailure(f *events.Failure) *failureBody {
	if f == nil {
		return nil
	}
	return &failureBody{string(f.Code), string(f.Category), f.Message, f.Retryable}
}

func toProgress(p events.Progress) *progressBody {
	return &progressBody{p.Phase, p.Percent, p.BytesDone, p.BytesTotal}
}

func moment(t events.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t.Time
}
