package spanner

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// RestoreDatabase implements DatabaseAdmin for engines of one's own: the copy goes into a new database of the same or
// another instance of that engine. A target that holds data ends the operation with ALREADY_EXISTS.
func (s *adminServer) RestoreDatabase(ctx context.Context, r *databasepb.RestoreDatabaseRequest) (*longrunningpb.Operation, error) {
	d := s.door
	into, ok := parseInstance(r.GetParent())
	from, id, named := parseIn(backupForm, r.GetBackup())
	if !ok || !named || r.GetDatabaseId() == "" {
		return nil, malformed("RestoreDatabase")
	}
	if err := checkID(r.GetDatabaseId()); err != nil {
		return nil, err
	}
	if err := may(ctx, "spanner.backups.restoreDatabase", from.backup(id)); err != nil {
		return nil, err
	}
	if err := may(ctx, "spanner.databases.create", into.String()); err != nil {
		return nil, err
	}
	if from.project != into.project {
		return nil, refuse(codes.FailedPrecondition, "Backups are restored within their project: choose an instance of project %s.", from.project)
	}
	target, err := d.home(ctx, into)
	if err != nil {
		return nil, err
	}
	if target.Provider == "spanner" {
		return nil, refuse(codes.Unimplemented, "method RestoreDatabase not implemented for provider spanner")
	}
	if r.GetEncryptionConfig() != nil {
		return nil, refuse(codes.FailedPrecondition, "A restored database is encrypted as its server is: leave encryption_config out.")
	}
	if target.Provider == "sqlite" && !hasDatabase(target.Instance, r.GetDatabaseId()) {
		return nil, refuse(codes.FailedPrecondition, "Instance %s names no file %s: add it to the files of the instance, then ask again.", into, shorten(r.GetDatabaseId()))
	}
	_, b, err := d.find(ctx, from, id)
	if err != nil {
		return nil, err
	}
	receipt, err := d.intake.Restore(ctx, intake.Restore{Caller: caller(ctx), Project: into.project, BackupID: b.BackupID,
		Target: events.Target{Instance: into.instance, Database: r.GetDatabaseId()}})
	if err != nil {
		return nil, about{instance: into.String(), backup: r.GetBackup()}.of(err)
	}
	return d.restoral(ctx, work{home: target, restore: &receipt.Restore}, nil) // accepted: nothing may make it an error now
}

// restoral is the operation of a restore: it belongs to the database that is made (spanner.md 1). The home is that of
// the target.
func (d *Door) restoral(ctx context.Context, w work, told percents) (*longrunningpb.Operation, error) {
	r := *w.restore
	b, err := d.intake.Backup(ctx, r.Project, r.BackupID)
	if err != nil {
		return nil, about{}.of(err)
	}
	source, err := d.intake.Instance(ctx, b.Project, b.Instance)
	if intake.KindOf(err) == intake.NotFound && err != nil { // gone since: its names stay
		source, err = events.Instance{Project: b.Project, Instance: b.Instance, Provider: b.Provider}, nil
	}
	if err != nil {
		return nil, about{}.of(err)
	}
	from := home{Instance: source}.made(b)
	info := &databasepb.BackupInfo{Backup: backupName(b), VersionTime: from.GetVersionTime(), CreateTime: from.GetCreateTime(), SourceDatabase: from.GetDatabase()}
	op := lifecycle.OperationOf(r)
	meta := &databasepb.RestoreDatabaseMetadata{Name: w.owner(), SourceType: databasepb.RestoreSourceType_BACKUP,
		SourceInfo: &databasepb.RestoreDatabaseMetadata_BackupInfo{BackupInfo: info},
		Progress:   &databasepb.OperationProgress{StartTime: stamp(r.EnqueuedTime), EndTime: stamp(r.EndTime)}}
	name := w.owner() + operationsEnd + "/" + operationID(op.ID)
	if !op.Done {
		meta.Progress.ProgressPercent = told.of(r.RestoreID)
		return pending(name, meta)
	}
	meta.Progress.ProgressPercent = 100
	if op.Failure != nil {
		return failed(name, meta, op.Failure)
	}
	return succeeded(name, meta, &databasepb.Database{Name: w.owner(), State: databasepb.Database_READY, CreateTime: stamp(r.EnqueuedTime), DatabaseDialect: from.GetDatabaseDialect(),
		RestoreInfo: &databasepb.RestoreInfo{SourceType: databasepb.RestoreSourceType_BACKUP, SourceInfo: &databasepb.RestoreInfo_BackupInfo{BackupInfo: info}}})
}
