package events

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// Backup is the complete record of a backup: the `data` of every `backup.*` event except progress
// (events.md 2.1, which says who sets which field and when).
type Backup struct {
	BackupID      string    `json:"backupId"`
	Project       string    `json:"project"`
	Provider      string    `json:"provider"`
	Instance      string    `json:"instance"`
	Database      string    `json:"database,omitempty"`
	Engine        string    `json:"engine,omitempty"`
	EngineVersion string    `json:"engineVersion,omitempty"`
	IDs           BackupIDs `json:"ids"`

	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"` // at most 1,024 characters
	Labels      map[string]string `json:"labels,omitempty"`      // at most 32

	Trigger         Trigger `json:"trigger"`
	Door            string  `json:"door"`
	RequestedBy     string  `json:"requestedBy,omitempty"`
	RequestID       string  `json:"requestId"`
	RequestDigest   string  `json:"requestDigest,omitempty"`
	ScheduleID      string  `json:"scheduleId,omitempty"`
	DueTime         Time    `json:"dueTime,omitzero"`
	WindowStartTime Time    `json:"windowStartTime,omitzero"`
	WindowEndTime   Time    `json:"windowEndTime,omitzero"`
	SourceBackupID  string  `json:"sourceBackupId,omitempty"`
	CopyOf          *CopyOf `json:"copyOf,omitempty"` // what of that one is shown with this; set with it

	EnqueuedTime    Time        `json:"enqueuedTime"`
	ExpireTime      Time        `json:"expireTime,omitzero"`
	FirstExpireTime Time        `json:"firstExpireTime,omitzero"` // the expiry that it ended with, once that was changed: its operation answers with it
	Held            bool        `json:"held,omitempty"`           // cannot be deleted, by anybody or any policy, until it is released
	ConsistencyTime Time        `json:"consistencyTime,omitzero"`
	Encryption      *Encryption `json:"encryption,omitempty"`

	Step          Step         `json:"step"`
	State         State        `json:"state"`
	PreviousState State        `json:"previousState,omitempty"`
	Verification  Verification `json:"verification"`
	Attempt       int          `json:"attempt"`
	MaxAttempts   int          `json:"maxAttempts,omitempty"`
	ExecutorID    string       `json:"executorId,omitempty"`
	ProviderRef   *ProviderRef `json:"providerRef,omitempty"`

	StartTime  Time   `json:"startTime,omitzero"`
	EndTime    Time   `json:"endTime,omitzero"`
	DurationMs *int64 `json:"durationMs,omitempty"`

	Error           *Failure `json:"error,omitempty"`
	NextAttemptTime Time     `json:"nextAttemptTime,omitzero"`
	PartialRemains  bool     `json:"partialRemains,omitempty"`

	Proof           Proof     `json:"proof,omitempty"`
	Evidence        *Evidence `json:"evidence,omitempty"` // self-hosted: what the proof has seen, on succeeded
	SizeBytes       *int64    `json:"sizeBytes,omitempty"`
	SizeApproximate bool      `json:"sizeApproximate,omitempty"`
	Location        string    `json:"location,omitempty"`
	BackupKind      string    `json:"backupKind,omitempty"` // SNAPSHOT, PHYSICAL, LOGICAL
	Checksum        *Checksum `json:"checksum,omitempty"`
	BaseBackupID    string    `json:"baseBackupId,omitempty"`
	Copies          []Copy    `json:"copies,omitempty"` // self-hosted: where it was stored, on succeeded

	Overdue  *OverdueNote `json:"overdue,omitempty"`
	Skip     *Skip        `json:"skip,omitempty"`
	Cancel   *Cancel      `json:"cancel,omitempty"`
	Check    *Check       `json:"check,omitempty"`
	Deletion *Deletion    `json:"deletion,omitempty"`

	Updates int     `json:"updates,omitempty"`
	Update  *Update `json:"update,omitempty"` // the latest that somebody asked for
	// EarlierUpdates are those before it, the oldest first: what doors show as operations. At most MaxEarlierUpdates,
	// none older than KeepChanges.
	EarlierUpdates []Update `json:"earlierUpdates,omitempty"`
	ChangedFields  []string `json:"changedFields,omitempty"`
}

// BackupIDs are the identifiers of one backup in every dialect (events.md 1.4).
type BackupIDs struct {
	CloudSQL  string `json:"cloudsql"`  // int64 as decimal string, unique in the instance
	GaussDB   string `json:"gaussdb"`   // 32 hex digits and br07
	Spanner   string `json:"spanner"`   // the client's choice, else the backup id
	Operation string `json:"operation"` // UUID: Cloud SQL operation, GaussDB job
}

// CopyOf names the backup that another is a copy of, as it was when the copy was asked for.
type CopyOf struct {
	Instance   string `json:"instance"` // of the same project and provider
	Spanner    string `json:"spanner"`
	CreateTime Time   `json:"createTime"`
}

// State of a backup or a restore (events.md 3, closed set). Which step leads where is in package
// lifecycle, which alone decides and compares.
type State string

// Verification says what later checks of the stored copy found (closed set).
type Verification string

// The values of verification.
const (
	NotVerified Verification = "NONE"
	CheckPassed Verification = "PASSED"
	CheckFailed Verification = "FAILED"
)

// Proof is the level to which a copy was proven before SUCCESSFUL (open set), and what an instance's
// `successfulWhen` asks for.
type Proof string

// The levels, from the weakest.
const (
	ProofStored   Proof = "STORED"   // every stage ended well and the object is complete
	ProofChecked  Proof = "CHECKED"  // read back, checksum compared, the copy's own check passed
	ProofRestored Proof = "RESTORED" // loaded into a scratch database and compared
)

// Trigger says who asked (closed set).
type Trigger string

// The triggers.
const (
	OnDemand  Trigger = "ON_DEMAND"
	Scheduled Trigger = "SCHEDULED"
)

// Encryption says how the stored copy is protected. Names only, never keys.
type Encryption struct {
	Type    string `json:"type"` // NONE, PROVIDER_MANAGED, CUSTOMER_MANAGED
	KeyName string `json:"keyName,omitempty"`
	// KeyNames are all of several keys, one per region; KeyName is then the first.
	KeyNames   []string `json:"keyNames,omitempty"`
	KeyVersion string   `json:"keyVersion,omitempty"`
}

// ProviderRef is where the provider keeps the work or the copy: strings of at most 512 bytes, never a
// URL with a query.
type ProviderRef struct {
	OperationName string `json:"operationName,omitempty"`
	BackupName    string `json:"backupName,omitempty"` // self-hosted: storage name and object key
	BackupRunID   string `json:"backupRunId,omitempty"`
	Location      string `json:"location,omitempty"`

	// CopiedTo are further storages that hold a usable copy under the same key, LeftIn those in which part of
	// one may lie there; self-hosted only. A deletion looks into both.
	CopiedTo []string `json:"copiedTo,omitempty"`
	LeftIn   []string `json:"leftIn,omitempty"`
}

// Copy is one storage that a backup was to be stored in. The first is the instance's own, without which
// nothing is SUCCESSFUL; the others are made from it when it has been proven, and may fail alone.
type Copy struct {
	Storage string    `json:"storage"`
	State   CopyState `json:"state"`
	Proof   Proof     `json:"proof,omitempty"` // of a stored one
	EndTime Time      `json:"endTime"`
	Error   *Failure  `json:"error,omitempty"`   // of a failed one
	Remains bool      `json:"remains,omitempty"` // of a failed one: part of it may still lie there
}

// CopyState is what became of a copy (closed set).
type CopyState string

// The states of a copy.
const (
	CopyStored CopyState = "STORED" // complete, with its manifest
	CopyFailed CopyState = "FAILED" // not usable; nothing of it is there, unless it says remains
)

// Checksum of the stored bytes.
type Checksum struct {
	Algorithm string `json:"algorithm"` // sha256
	Value     string `json:"value"`     // lower-case hex
}

// OverdueNote says how late a backup is and what stood in its way.
type OverdueNote struct {
	SinceTime           Time   `json:"sinceTime"`
	LateByMs            int64  `json:"lateByMs"`
	Requested           bool   `json:"requested"`
	Started             bool   `json:"started"`
	BlockedByBackupID   string `json:"blockedByBackupId,omitempty"`
	LastSuccessTime     Time   `json:"lastSuccessTime,omitzero"`
	LastSuccessBackupID string `json:"lastSuccessBackupId,omitempty"`
}

// Skip says why a backup was deliberately not run.
type Skip struct {
	Reason            string `json:"reason"`
	Time              Time   `json:"time,omitzero"`
	Message           string `json:"message,omitempty"`
	CoveredByBackupID string `json:"coveredByBackupId,omitempty"`
}

// Cancel is the request to stop a backup.
type Cancel struct {
	RequestTime Time   `json:"requestTime"`
	RequestID   string `json:"requestId"`
	RequestedBy string `json:"requestedBy,omitempty"`
	Reason      string `json:"reason,omitempty"` // at most 256 characters
}

// Check is the latest verification run.
type Check struct {
	Run          int       `json:"run"`    // from 1
	Method       string    `json:"method"` // CHECKSUM, METADATA, RESTORE_TEST
	Reason       string    `json:"reason"` // USER, POLICY
	RequestID    string    `json:"requestId,omitempty"`
	RequestedBy  string    `json:"requestedBy,omitempty"`
	StartTime    Time      `json:"startTime,omitzero"`
	EndTime      Time      `json:"endTime,omitzero"`
	DurationMs   *int64    `json:"durationMs,omitempty"`
	CheckedBytes *int64    `json:"checkedBytes,omitempty"`
	Evidence     *Evidence `json:"evidence,omitempty"` // once it has ended
	Error        *Failure  `json:"error,omitempty"`
}

// Evidence is what a proof or a check has seen: up to its fault, if it failed.
type Evidence struct {
	Copies       int   `json:"copies"`           // places whose bytes were compared with the checksums
	Objects      int   `json:"objects"`          // read to their end, each counted once
	Tables       int64 `json:"tables,omitempty"` // loaded into a scratch database and compared
	Rows         int64 `json:"rows,omitempty"`   // of those tables
	RowChecksums bool  `json:"rowChecksums,omitempty"`
}

// Deletion is the latest try to delete the copy.
type Deletion struct {
	Try         int      `json:"try,omitempty"` // from 1; absent if nobody asked
	Cause       string   `json:"cause"`         // USER, RETENTION, EXTERNAL, CLEANUP
	Operation   string   `json:"operation,omitempty"`
	RequestTime Time     `json:"requestTime,omitzero"`
	RequestID   string   `json:"requestId,omitempty"`
	RequestedBy string   `json:"requestedBy,omitempty"`
	EndTime     Time     `json:"endTime,omitzero"`
	FreedBytes  *int64   `json:"freedBytes,omitempty"`
	Error       *Failure `json:"error,omitempty"`
	NextTryTime Time     `json:"nextTryTime,omitzero"`
	Resource    bool     `json:"resource,omitempty"` // Cloud SQL: asked for as a Backup, not as a backup run
	// Insist: its door said that the backup is gone (spanner.md (a)), so a try that fails is followed by another.
	Insist bool `json:"insist,omitempty"`

	// Earlier are the tries that failed before this one, the oldest first. At most MaxEarlierTries.
	Earlier []DeletionTry `json:"earlier,omitempty"`
}

// DeletionTry is a try to delete the copy that has failed.
type DeletionTry struct {
	Try         int      `json:"try"`
	Cause       string   `json:"cause"`
	RequestTime Time     `json:"requestTime,omitzero"`
	RequestedBy string   `json:"requestedBy,omitempty"`
	EndTime     Time     `json:"endTime,omitzero"`
	Resource    bool     `json:"resource,omitempty"`
	Error       *Failure `json:"error,omitempty"` // its message cut short
}

// What a backup remembers of its past.
const (
	MaxEarlierTries   = 10
	MaxEarlierUpdates = 20
)

// Update is a change of expiry, description or labels that was asked for.
type Update struct {
	Number      int    `json:"number"` // in Updates
	RequestTime Time   `json:"requestTime"`
	RequestID   string `json:"requestId"`
	RequestedBy string `json:"requestedBy,omitempty"`
}

// Aggregate names the backup.
func (b Backup) Aggregate() Aggregate {
	return Aggregate{Project: b.Project, Provider: b.Provider, Instance: b.Instance, Entity: Backups, ID: b.BackupID}
}

// EverRequested tells a backup that was asked for from a due slot that nobody asked for: `requested`
// alone sets maxAttempts.
func (b Backup) EverRequested() bool { return b.MaxAttempts > 0 }

func (b Backup) attributes() own {
	attempt := b.Attempt
	return own{state: b.State, attempt: &attempt, correlation: b.RequestID}
}

func (b Backup) bounded() any {
	b.Error = b.Error.clip()
	b.Description = Clip(b.Description, 4096)
	b.Copies = slices.Clone(b.Copies)
	for i := range b.Copies {
		b.Copies[i].Error = b.Copies[i].Error.clip()
	}
	if b.Check != nil && b.Check.Error != nil {
		c := *b.Check
		c.Error = c.Error.clip()
		b.Check = &c
	}
	if b.Deletion != nil && b.Deletion.Error != nil {
		d := *b.Deletion
		d.Error = d.Error.clip()
		b.Deletion = &d
	}
	return b
}

var labelKey = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,62}$`)

// CheckLabels reports the first label that breaks events.md 2.1.
func CheckLabels(labels map[string]string) error {
	if len(labels) > 32 {
		return fmt.Errorf("%d labels are more than 32", len(labels))
	}
	for k, v := range labels {
		if !labelKey.MatchString(k) {
			return fmt.Errorf("label key %s does not match %s", strconv.Quote(Clip(k, 80)), labelKey)
		}
		if len(v) > 255 {
			return fmt.Errorf("label %s has a value over 255 bytes", k)
		}
	}
	return nil
}
