package spanner

import (
	"context"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The bounds of an expiry, counted from the creation (spanner.md 4.1).
const (
	minKeep = 6 * time.Hour
	maxKeep = 366 * 24 * time.Hour
)

// home is an instance, and what its backups show beside their records.
type home struct {
	events.Instance
	restores  []events.Restore // of its backups, not ended
	copies    []events.Backup  // of its backups, being made
	schedules map[string]events.Schedule
}

// home reads an instance.
func (d *Door) home(ctx context.Context, n instanceName) (home, error) {
	i, err := d.intake.Instance(ctx, n.project, n.instance)
	return home{Instance: i}, about{instance: n.String()}.of(err)
}

// refer reads what reads these backups, and which schedules made them.
func (d *Door) refer(ctx context.Context, h *home, list ...events.Backup) (err error) {
	var ids []string
	for _, b := range list {
		if _, known := h.schedules[b.ScheduleID]; b.ScheduleID != "" && !known && !slices.Contains(ids, b.ScheduleID) {
			ids = append(ids, b.ScheduleID)
		}
	}
	if len(ids) > 0 {
		found, err := d.intake.SchedulesByID(ctx, h.Project, ids)
		if err != nil {
			return err
		}
		if h.schedules == nil {
			h.schedules = map[string]events.Schedule{}
		}
		for _, s := range found {
			h.schedules[s.ScheduleID] = s
		}
	}
	if h.restores, err = d.intake.RestoringFrom(ctx, h.Project, h.Instance.Instance); err != nil {
		return err
	}
	h.copies, err = d.intake.CopyingFrom(ctx, h.Project, h.Instance.Instance)
	return err
}

// shown is a backup as the resource.
func (d *Door) shown(ctx context.Context, h home, b events.Backup) (*databasepb.Backup, error) {
	if err := d.refer(ctx, &h, b); err != nil {
		return nil, about{}.of(err)
	}
	return h.backup(b), nil
}

// backup is the resource as it stands (spanner.md 3.1).
func (h home) backup(b events.Backup) *databasepb.Backup {
	out := h.made(b)
	out.ExpireTime = stamp(b.ExpireTime)
	if s, ok := h.schedules[b.ScheduleID]; ok {
		out.BackupSchedules = []string{h.scheduleName(s)}
	}
	for _, r := range h.restores {
		if r.BackupID == b.BackupID {
			target := instanceName{r.Project, r.Target.Instance}
			out.ReferencingDatabases = append(out.ReferencingDatabases, target.database(lifecycle.TargetDatabase(r)))
		}
	}
	for _, c := range h.copies {
		if c.SourceBackupID == b.BackupID {
			out.ReferencingBackups = append(out.ReferencingBackups, backupName(c))
		}
	}
	return out
}

// bornOf is the creation from which a backup's expiry is counted: of a copy, that of its source (spanner.md 4.2).
func bornOf(b events.Backup) time.Time {
	if b.CopyOf != nil {
		return b.CopyOf.CreateTime.Time
	}
	return b.EnqueuedTime.Time
}

// sourceOf is the database that a backup is of: of a copy, in the instance of its source.
func (h home) sourceOf(b events.Backup) string {
	if b.CopyOf != nil && b.CopyOf.Instance != b.Instance {
		if b.Database == "" {
			return ""
		}
		return instanceName{b.Project, b.CopyOf.Instance}.database(b.Database)
	}
	return databaseOf(h.Instance, b.Database)
}

// made is the resource without what changes later: what the operation that made it answers with.
func (h home) made(b events.Backup) *databasepb.Backup {
	out := &databasepb.Backup{
		Name: backupName(b), Database: h.sourceOf(b), CreateTime: stamp(b.EnqueuedTime), ExpireTime: stamp(b.ExpireTime),
		VersionTime: timestamppb.New(bornOf(b)), MaxExpireTime: timestamppb.New(bornOf(b).Add(maxKeep)),
		State: databasepb.Backup_CREATING, DatabaseDialect: databasepb.DatabaseDialect_GOOGLE_STANDARD_SQL,
	}
	if strings.HasPrefix(b.Engine, "postgres") || b.Provider == "postgres" {
		out.DatabaseDialect = databasepb.DatabaseDialect_POSTGRESQL
	}
	if b.Provider == "spanner" && !b.ConsistencyTime.IsZero() { // elsewhere nobody could ask for one
		out.VersionTime = stamp(b.ConsistencyTime)
	}
	out.EncryptionInformation = h.encryption(b)
	out.EncryptionInfo = out.EncryptionInformation[0]
	if !b.FirstExpireTime.IsZero() {
		out.ExpireTime = stamp(b.FirstExpireTime)
	}
	if !lifecycle.Succeeded(b) {
		return out
	}
	out.State, out.OldestVersionTime = databasepb.Backup_READY, out.VersionTime
	out.SizeBytes, out.FreeableSizeBytes, out.ExclusiveSizeBytes = *b.SizeBytes, *b.SizeBytes, *b.SizeBytes
	return out
}

// encryption has at least one entry, the first of which is encryption_info. What the record of a copy that is being made
// does not say is the instance's: it will be encrypted to the instance's recipients.
func (h home) encryption(b events.Backup) (all []*databasepb.EncryptionInfo) {
	e := b.Encryption
	if e == nil && !lifecycle.Succeeded(b) && len(h.Config.EncryptTo) > 0 {
		e = &events.Encryption{Type: customerManaged, KeyName: h.Config.EncryptTo[0]}
	}
	switch {
	case e == nil && b.Provider == "spanner", e != nil && e.Type == providerManaged:
		return []*databasepb.EncryptionInfo{{EncryptionType: databasepb.EncryptionInfo_GOOGLE_DEFAULT_ENCRYPTION}}
	case e == nil, e.Type != customerManaged: // not encrypted, or not known
		return []*databasepb.EncryptionInfo{{}}
	}
	keys := e.KeyNames
	if len(keys) == 0 {
		keys = []string{e.KeyName}
	}
	if e.KeyVersion != "" {
		keys = append([]string{e.KeyVersion}, keys[1:]...)
	}
	for _, k := range keys { // a key whose version is not known yet stands for it
		all = append(all, &databasepb.EncryptionInfo{EncryptionType: databasepb.EncryptionInfo_CUSTOMER_MANAGED_ENCRYPTION, KmsKeyVersion: k})
	}
	return all
}

// The words of events.Encryption.
const (
	customerManaged = "CUSTOMER_MANAGED"
	providerManaged = "PROVIDER_MANAGED"
)

// percents are the highest percentages that were told of backups and restores, by their ids.
type percents map[string]int

// of is what an operation shows that goes on, or was cancelled: 100 is the end.
func (p percents) of(id string) int32 { return int32(min(max(p[id], 0), 99)) }

// percents are of those whose operations show them: of what is being made, or was cancelled.
func (d *Door) percents(ctx context.Context, list ...events.Backup) (percents, error) {
	var ids []string
	for _, b := range list {
		if op := lifecycle.OperationsOf(b)[0]; !op.Done || op.Failure != nil && op.Failure.Code == events.CodeCancelled {
			ids = append(ids, b.BackupID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return d.intake.Peaks(ctx, list[0].Project, ids)
}

// percentsOfRestores are of those that go on.
func (d *Door) percentsOfRestores(ctx context.Context, list ...events.Restore) (percents, error) {
	var ids []string
	for _, r := range list {
		if !lifecycle.OperationOf(r).Done {
			ids = append(ids, r.RestoreID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return d.intake.Peaks(ctx, list[0].Project, ids)
}

// creation is the operation of one backup.
func (d *Door) creation(ctx context.Context, h home, b events.Backup) (*longrunningpb.Operation, error) {
	told, err := d.percents(ctx, b)
	if err != nil {
		return nil, about{}.of(err)
	}
	return h.creation(b, told)
}

// creation is the operation that made a backup, or makes it (spanner.md 3.2, (a)).
func (h home) creation(b events.Backup, told percents) (*longrunningpb.Operation, error) {
	work := lifecycle.OperationsOf(b)[0] // who calls has looked that it was asked for
	progress := &databasepb.OperationProgress{StartTime: stamp(b.EnqueuedTime), EndTime: stamp(work.EndTime)}
	meta := h.metadata(b, progress)
	failure := work.Failure
	if work.Done && failure == nil && !lifecycle.Succeeded(b) { // skipped after it was asked for
		failure = &events.Failure{Code: events.ProviderRejected, Message: "the backup was not made"}
		if b.Skip != nil && b.Skip.Message != "" {
			failure.Message += ": " + b.Skip.Message
		}
	}
	cancelled := failure != nil && failure.Code == events.CodeCancelled
	progress.ProgressPercent = 100
	if !work.Done || cancelled {
		progress.ProgressPercent = told.of(b.BackupID)
	}
	name := backupName(b) + operationsEnd + "/" + operationID(work.ID)
	if !work.Done {
		return pending(name, meta)
	}
	if failure != nil {
		return failed(name, meta, failure)
	}
	return succeeded(name, meta, h.made(b))
}

// metadata of the operation that makes a backup or a copy of one.
func (h home) metadata(b events.Backup, progress *databasepb.OperationProgress) proto.Message {
	var cancelled *timestamppb.Timestamp
	if b.Cancel != nil {
		cancelled = stamp(b.Cancel.RequestTime)
	}
	if b.CopyOf != nil {
		source := instanceName{b.Project, b.CopyOf.Instance}.backup(b.CopyOf.Spanner)
		return &databasepb.CopyBackupMetadata{Name: backupName(b), SourceBackup: source, Progress: progress, CancelTime: cancelled}
	}
	return &databasepb.CreateBackupMetadata{Name: backupName(b), Database: databaseOf(h.Instance, b.Database), Progress: progress, CancelTime: cancelled}
}

func pending(name string, meta proto.Message) (*longrunningpb.Operation, error) {
	m, err := anypb.New(meta)
	return &longrunningpb.Operation{Name: name, Metadata: m}, err
}

func failed(name string, meta proto.Message, f *events.Failure) (*longrunningpb.Operation, error) {
	op, err := pending(name, meta)
	st := failureStatus(f)
	if st.Code() == codes.Canceled {
		st = status.New(codes.Canceled, "The operation was cancelled.")
	}
	op.Done, op.Result = true, &longrunningpb.Operation_Error{Error: st.Proto()}
	return op, err
}

func succeeded(name string, meta, response proto.Message) (*longrunningpb.Operation, error) {
	op, err := pending(name, meta)
	if err != nil {
		return nil, err
	}
	r, err := anypb.New(response)
	op.Done, op.Result = true, &longrunningpb.Operation_Response{Response: r}
	return op, err
}

func stamp(t events.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t.Time)
}
