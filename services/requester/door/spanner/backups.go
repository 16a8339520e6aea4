package spanner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	h, err := d.home(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := checkDatabase(h.Instance, database); err != nil {
		return nil, err
	}
	name := in.backup(r.GetBackupId())
	if _, err := d.intake.BackupBySpanner(ctx, in.project, in.instance, r.GetBackupId()); err == nil {
		return nil, alreadyExists("Backup", backupType, name)
	} else if intake.KindOf(err) != intake.NotFound {
		return nil, about{}.of(err)
	}
	now := d.now()
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
	receipt, err := d.intake.Create(ctx, intake.Create{Caller: caller(), Project: in.project, Instance: in.instance, Database: database,
		SpannerID: r.GetBackupId(), ExpireTime: expire, VersionTime: version, Encryption: encryption})
	if err != nil {
		return nil, about{instance: in.String(), database: of.database(database), backup: name}.of(err)
	}
	return d.creation(ctx, h, receipt.Backup)
}

// checkDatabase refuses what the instance cannot have. One that names no databases leaves the word to its executor.
func checkDatabase(i events.Instance, id string) error {
	if i.Provider == "spanner" && !databaseRule.MatchString(id) {
		return invalid("The database id must have 2 to 30 characters of a-z, 0-9, _ and -, the first a letter, the last a letter or digit.")
	}
	if !hasDatabase(i, id) {
		return notFound("Database", databaseType, nameOf(i).database(id))
	}
	if i.Config.Method == events.MethodPhysical {
		return refuse(codes.FailedPrecondition, "Instance %s is copied physically, all its databases at once: set its method to LOGICAL, or ask for the whole instance at another door.", nameOf(i))
	}
	return nil
}

// expiry checks a wanted expiry of a backup against its creation (spanner.md (b) 3, 4).
func expiry(backup string, want *timestamppb.Timestamp, created, now time.Time) (time.Time, error) {
	at := want.AsTime().Truncate(time.Microsecond)
	if want.IsValid() && !at.Before(created.Add(minKeep)) && !at.After(created.Add(maxKeep)) && at.After(now) {
		return at, nil
	}
	said := "missing"
	if want.IsValid() {
		said = want.AsTime().Format(time.RFC3339Nano)
	}
	return at, invalid("Invalid request for backup %s. `expire_time` is either missing, in the wrong format, or is not within the minimum and maximum expire times supported. "+
		"`expire_time` must be a Unix Epoch Time (UTC time since 1970-01-01 00:00:00) with microseconds granularity, and be at least 6 hours and at most 366 days from the time the CreateBackup request is processed. "+
		"The CreateBackup request was processed at `create_time` (%s), and the input `expire_time` is %s.", backup, created.UTC().Format(time.RFC3339Nano), said)
}

// How far a version time may lie from now.
const (
	oldestVersion = 7 * 24 * time.Hour // the longest version retention period of Spanner
	aboutNow      = time.Minute        // an engine of one's own reads what is there when it runs
	clockSkew     = time.Second
)

// versionTime checks a wanted version time (spanner.md (b) 5, 6). The zero time is none, or about now for an engine
// that cannot choose.
func versionTime(i events.Instance, want *timestamppb.Timestamp, now time.Time) (time.Time, error) {
	if want == nil {
		return time.Time{}, nil
	}
	at := want.AsTime()
	switch {
	case !want.IsValid(), at.After(now.Add(clockSkew)):
		return at, invalid("The version_time of a backup cannot be in the future.")
	case at.Before(now.Add(-oldestVersion)):
		return at, invalid("The version_time of a backup cannot be earlier than the database's earliest_version_time.")
	case i.Provider == "spanner":
		return at.Truncate(time.Microsecond), nil
	case at.Before(now.Add(-aboutNow)):
		return at, refuse(codes.FailedPrecondition, "Databases of provider %s are backed up as they are when the backup runs: leave version_time out.", i.Provider)
	}
	return time.Time{}, nil
}

// encryptionConfig is what the encryption configs of backups and schedules have in common.
type encryptionConfig interface {
	GetEncryptionType() databasepb.CreateBackupEncryptionConfig_EncryptionType
	GetKmsKeyName() string
	GetKmsKeyNames() []string
}

const maxKeys = 16

// encryptionOf checks a wanted encryption (spanner.md (b) 16 to 18, 51); nil: that of the database.
func encryptionOf(i events.Instance, c encryptionConfig) (*events.Encryption, error) {
	keys := c.GetKmsKeyNames()
	if one := c.GetKmsKeyName(); one != "" {
		if len(keys) > 0 {
			return nil, invalid("encryption_config: set one of kms_key_name and kms_key_names, not both.")
		}
		keys = []string{one}
	}
	kind := c.GetEncryptionType()
	switch {
	case kind != databasepb.CreateBackupEncryptionConfig_CUSTOMER_MANAGED_ENCRYPTION && len(keys) > 0:
		return nil, invalid("encryption_config: a KMS key can only be given with encryption_type CUSTOMER_MANAGED_ENCRYPTION.")
	case kind == databasepb.CreateBackupEncryptionConfig_ENCRYPTION_TYPE_UNSPECIFIED, kind == databasepb.CreateBackupEncryptionConfig_USE_DATABASE_ENCRYPTION:
		return nil, nil //nolint:nilnil // nothing was asked for
	case kind == databasepb.CreateBackupEncryptionConfig_GOOGLE_DEFAULT_ENCRYPTION:
		return &events.Encryption{Type: providerManaged}, nil
	case kind != databasepb.CreateBackupEncryptionConfig_CUSTOMER_MANAGED_ENCRYPTION:
		return nil, invalid("encryption_config: encryption_type %d is not known.", kind)
	case len(keys) == 0:
		return nil, invalid("encryption_config: encryption_type CUSTOMER_MANAGED_ENCRYPTION needs kms_key_name or kms_key_names.")
	case len(keys) > maxKeys:
		return nil, invalid("encryption_config: at most %d keys can be given.", maxKeys)
	}
	for _, k := range keys {
		if len(k) > 512 || !keyForm.MatchString(k) {
			return nil, invalid("encryption_config: a key is projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>.")
		}
	}
	if i.Provider != "spanner" {
		return nil, refuse(codes.FailedPrecondition, "Backups of provider %s are encrypted to the recipients of their instance: leave encryption_config out.", i.Provider)
	}
	e := &events.Encryption{Type: customerManaged, KeyName: keys[0]}
	if len(keys) > 1 {
		e.KeyNames = keys
	}
	return e, nil
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
	h, b, err := s.door.find(ctx, in, id)
	if err != nil {
		return nil, err
	}
	return h.backup(b), nil
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
	h, b, err := d.find(ctx, in, id)
	if err != nil {
		return nil, err
	}
	expire, err := expiry(backupName(b), r.GetBackup().GetExpireTime(), bornOf(b), d.now())
	if err != nil {
		return nil, err
	}
	receipt, err := d.intake.Amend(ctx, intake.Amend{Caller: caller(), Project: in.project, BackupID: b.BackupID, ExpireTime: &expire})
	if err != nil {
		return nil, about{backup: backupName(b)}.of(err)
	}
	return h.backup(receipt.Backup), nil
}

// checkMask holds an update mask against what can be changed. REST hands the JSON spelling on as it is (spanner.md 9).
func checkMask(m *fieldmaskpb.FieldMask, allowed ...string) error {
	if len(m.GetPaths()) == 0 || len(m.GetPaths()) > 20 {
		return invalid("update_mask is required: it names the fields to change, of %s.", fmt.Sprint(allowed))
	}
	for _, p := range m.GetPaths() {
		if !slices.Contains(allowed, snakePath(p)) {
			return invalid("update_mask names %q, which cannot be changed: the fields to change are %s.", shorten(p), fmt.Sprint(allowed))
		}
	}
	return nil
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
	if _, err := d.intake.Instance(ctx, in.project, in.instance); err != nil {
		return nil, a.of(err)
	}
	for range maxTurns {
		b, err := d.intake.BackupBySpanner(ctx, in.project, in.instance, id)
		if intake.KindOf(err) == intake.NotFound {
			return &emptypb.Empty{}, nil
		}
		if err != nil {
			return nil, a.of(err)
		}
		if !lifecycle.Good(b) {
			if b, err = d.cancel(ctx, b); err != nil {
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
		_, err = d.intake.Delete(ctx, intake.Change{Caller: caller(), Project: in.project, BackupID: b.BackupID, Insist: true})
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
