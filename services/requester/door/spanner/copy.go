package spanner

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// CopyBackup implements DatabaseAdmin for engines of one's own (spanner.md 4.2): the objects are stored once more, in
// the storage of the destination's instance, and expire by a time of their own.
func (s *adminServer) CopyBackup(ctx context.Context, r *databasepb.CopyBackupRequest) (*longrunningpb.Operation, error) {
	d := s.door
	into, ok := parseInstance(r.GetParent())
	from, id, named := parseIn(backupForm, r.GetSourceBackup())
	if !ok || !named || r.GetBackupId() == "" {
		return nil, malformed("CopyBackup")
	}
	if !idForm.MatchString(r.GetBackupId()) {
		return nil, invalid("Invalid CopyBackup request. The backup id must have %s.", idRule)
	}
	if err := may(ctx, "spanner.backups.copy", from.backup(id)); err != nil {
		return nil, err
	}
	if err := may(ctx, "spanner.backups.create", into.String()); err != nil {
		return nil, err
	}
	if from.project != into.project {
		return nil, refuse(codes.FailedPrecondition, "Backups are copied within their project: choose an instance of project %s.", from.project)
	}
	h, err := d.home(ctx, into)
	if err != nil {
		return nil, err
	}
	_, source, err := d.find(ctx, from, id)
	if err != nil {
		return nil, err
	}
	name := into.backup(r.GetBackupId())
	if _, err := d.intake.BackupBySpanner(ctx, into.project, into.instance, r.GetBackupId()); err == nil {
		return nil, alreadyExists("Backup", backupType, name)
	} else if intake.KindOf(err) != intake.NotFound {
		return nil, about{}.of(err)
	}
	if lifecycle.PhaseOf(source) == lifecycle.Deleting {
		return nil, beingDeleted(r.GetSourceBackup())
	}
	if !lifecycle.Good(source) {
		return nil, refuse(codes.FailedPrecondition, "Cannot copy source backup %s because the backup is still being created. Please retry the operation once the pending backup is complete.", r.GetSourceBackup())
	}
	if h.Provider == "spanner" {
		return nil, refuse(codes.Unimplemented, "method CopyBackup not implemented for provider spanner")
	}
	expire, err := expiry(name, r.GetExpireTime(), bornOf(source), d.now())
	if err != nil {
		return nil, err
	}
	if c := r.GetEncryptionConfig(); c.GetEncryptionType() > databasepb.CopyBackupEncryptionConfig_USE_CONFIG_DEFAULT_OR_BACKUP_ENCRYPTION || c.GetKmsKeyName() != "" || len(c.GetKmsKeyNames()) > 0 {
		return nil, refuse(codes.FailedPrecondition, "A copy is encrypted as its source is: leave encryption_config out.")
	}
	receipt, err := d.intake.Create(ctx, intake.Create{Caller: caller(ctx), Project: into.project, Instance: into.instance, SpannerID: r.GetBackupId(), ExpireTime: expire, Source: &source})
	if err != nil {
		return nil, about{instance: into.String(), backup: name}.of(err)
	}
	return h.creation(receipt.Backup, nil) // accepted: nothing may make it an error now
}
