package spanner

import (
	"context"
	"slices"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// CreateBackup implements DatabaseAdmin (spanner.md 4.1), with the checks in the order of 6.1.
func (s *adminServer) CreateBackup(ctx context.Context, r *databasepb.CreateBackupRequest) (*longrunningpb.Operation, error) {
	d := s.door
	in, ok := parseInstance(r.GetParent())
	if !ok || r.GetBackupId() == "" || r.GetBackup() == nil {
		return nil, malformed("CreateBackup")
	}
	if !idForm.MatchString(r.GetBackupId()) {
		return nil, invalid("Invalid CreateBackup request. The backup id must have %s.", idRule)
	}
	of, database, ok := parseIn(databaseForm, r.GetBackup().GetDatabase())
	if !ok {
		return nil, invalid("Invalid CreateBackup request. backup.database must be projects/<project>/instances/<instance>/databases/<database>.")
	}
	if of != in {
		return nil, invalid("Invalid CreateBackup request. The database must be in the instance in which the backup is created, %s.", in)
	}
	if err := may(ctx, "spanner.backups.create", in.String()); err != nil {
		return nil, err
	}
	if err := may(ctx, "spanner.databases.createBackup", of.database(database)); err != nil {
		return nil, err
	}
	h, err := d.home(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := checkDatabase(h.Instance, database); err != nil {
		return nil, err
	}
	if err := checkLogical(h.Instance); err != nil {
		return nil, err
	}
	name := in.backup(r.GetBackupId())
	if _, err := d.intake.BackupBySpanner(ctx, in.project, in.instance, r.GetBackupId()); err == nil {
		return nil, alreadyExists("Backup", backupType, name)
	} else if intake.KindOf(err) != intake.NotFound {
		return nil, about{}.of(err)
	}
	now := d.now().Truncate(time.Millisecond) // as create_time is recorded
	expire, err := expiry(name, r.GetBackup().GetExpireTime(), now, now)
	if err != nil {
		return nil, err
	}
	version, err := versionTime(h.Instance, r.GetBackup().GetVersionTime(), now)
	if err != nil {
		return nil, err
	}
	encryption, err := encryptionOf(h.Instance, r.GetEncryptionConfig())
	if err != nil {
		return nil, err
	}
	receipt, err := d.intake.Create(ctx, intake.Create{Caller: caller(ctx), Project: in.project, Instance: in.instance, Database: database,
		SpannerID: r.GetBackupId(), ExpireTime: expire, VersionTime: version, Encryption: encryption})
	if err != nil {
		return nil, about{instance: in.String(), database: of.database(database), backup: name, home: h.Instance}.of(err)
	}
	return h.creation(receipt.Backup, nil) // accepted: nothing may make it an error now
}

// find is the backup that stands under a name, with its instance.
func (d *Door) find(ctx context.Context, in instanceName, id string) (home, events.Backup, error) {
	a := about{instance: in.String(), backup: in.backup(id)}
	h, err := d.home(ctx, in)
	if err != nil {
		if intake.KindOf(err) == intake.NotFound { // it has no backups either
			return h, events.Backup{}, notFound("Backup", backupType, a.backup)
		}
		return h, events.Backup{}, err
	}
	b, err := d.intake.BackupBySpanner(ctx, in.project, in.instance, id)
	return h, b, a.of(err)
}

// GetBackup implements DatabaseAdmin.
func (s *adminServer) GetBackup(ctx context.Context, r *databasepb.GetBackupRequest) (*databasepb.Backup, error) {
	in, id, ok := parseIn(backupForm, r.GetName())
	if !ok {
		return nil, malformed("GetBackup")
	}
	if err := may(ctx, "spanner.backups.get", in.backup(id)); err != nil {
		return nil, err
	}
	h, b, err := s.door.find(ctx, in, id)
	if err != nil {
		return nil, err
	}
	return s.door.shown(ctx, h, b)
}

// UpdateBackup implements DatabaseAdmin (spanner.md 4.4): of a backup, only the expiry can be changed.
func (s *adminServer) UpdateBackup(ctx context.Context, r *databasepb.UpdateBackupRequest) (*databasepb.Backup, error) {
	d := s.door
	in, id, ok := parseIn(backupForm, r.GetBackup().GetName())
	if !ok {
		return nil, malformed("UpdateBackup")
	}
	if err := checkMask(r.GetUpdateMask(), "expire_time"); err != nil {
		return nil, err
	}
	if err := may(ctx, "spanner.backups.update", in.backup(id)); err != nil {
		return nil, err
	}
	h, b, err := d.find(ctx, in, id)
	if err != nil {
		return nil, err
	}
	if lifecycle.PhaseOf(b) == lifecycle.Deleting {
		return nil, beingDeleted(backupName(b))
	}
	expire, err := expiry(backupName(b), r.GetBackup().GetExpireTime(), bornOf(b), d.now())
	if err != nil {
		return nil, err
	}
	receipt, err := d.intake.Amend(ctx, intake.Amend{Caller: caller(ctx), Project: in.project, BackupID: b.BackupID, ExpireTime: &expire})
	if err != nil {
		return nil, about{backup: backupName(b)}.of(err)
	}
	return d.shown(ctx, h, receipt.Backup)
}

// DeleteBackup implements DatabaseAdmin (spanner.md 4.5). One that is not there is deleted; one that is being made is
// cancelled, and deleted if it was faster.
func (s *adminServer) DeleteBackup(ctx context.Context, r *databasepb.DeleteBackupRequest) (*emptypb.Empty, error) {
	d := s.door
	in, id, ok := parseIn(backupForm, r.GetName())
	if !ok {
		return nil, malformed("DeleteBackup")
	}
	a := about{instance: in.String(), backup: in.backup(id)}
	if err := may(ctx, "spanner.backups.delete", a.backup); err != nil {
		return nil, err
	}
	if _, err := d.intake.Instance(ctx, in.project, in.instance); err != nil {
		return nil, a.of(err)
	}
	wait, stop := context.WithTimeout(ctx, cancelWithin)
	defer stop()
	for range maxTurns {
		b, err := d.intake.BackupBySpanner(ctx, in.project, in.instance, id)
		if intake.KindOf(err) == intake.NotFound {
			return &emptypb.Empty{}, nil
		}
		if err != nil {
			return nil, a.of(err)
		}
		if lifecycle.PhaseOf(b) == lifecycle.Deleting { // through another door: if it fails, it is asked for here
			if b, err = d.intake.Removed(wait, b.Project, b.BackupID); err != nil {
				return nil, a.of(err)
			}
			if lifecycle.PhaseOf(b) == lifecycle.Deleting {
				return nil, refuse(codes.Unavailable, "The deletion of %s has not ended yet. Please try again.", a.backup)
			}
			continue
		}
		if !lifecycle.Good(b) {
			if b, err = d.cancel(ctx, wait, b); err != nil {
				return nil, a.of(err)
			}
			if lifecycle.Occupies(b, false) {
				return nil, refuse(codes.Unavailable, "The creation of %s has not stopped yet. Please try again.", a.backup)
			}
			continue
		}
		if n, err := d.readers(ctx, b); err != nil || n > 0 {
			if err == nil {
				err = stillInUse(a.backup, n)
			}
			return nil, a.of(err)
		}
		if copies, err := d.intake.CopyingFrom(ctx, in.project, in.instance); err != nil {
			return nil, a.of(err)
		} else if i := slices.IndexFunc(copies, func(c events.Backup) bool { return c.SourceBackupID == b.BackupID }); i >= 0 {
			return nil, refuse(codes.FailedPrecondition, "Backup %s cannot be deleted because %s is being copied from it. Please retry once that copy is complete.", a.backup, backupName(copies[i]))
		}
		_, err = d.intake.Delete(ctx, intake.Change{Caller: caller(ctx), Project: in.project, BackupID: b.BackupID, Insist: true})
		if intake.KindOf(err) == intake.Conflict && !d.standing(ctx, b) {
			continue // somebody else was faster
		}
		if err != nil {
			return nil, a.of(err)
		}
		return &emptypb.Empty{}, nil
	}
	return nil, refuse(codes.Unavailable, "Others keep changing %s. Please try again.", a.backup)
}

// maxTurns bounds how often a backup is looked at anew for one call.
const maxTurns = 4

// readers is how many restores read a backup.
func (d *Door) readers(ctx context.Context, b events.Backup) (n int, err error) {
	list, err := d.intake.RestoringFrom(ctx, b.Project, b.Instance)
	for _, r := range list {
		if r.BackupID == b.BackupID {
			n++
		}
	}
	return n, err
}

func (d *Door) standing(ctx context.Context, b events.Backup) bool {
	now, err := d.intake.Backup(ctx, b.Project, b.BackupID)
	return err == nil && lifecycle.Standing(now)
}
