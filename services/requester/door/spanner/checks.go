package spanner

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
)

// What is asked for is checked here, in the words of spanner.md (b).

// checkID refuses an id of a database with which no name can be built that is read again, or that a tool or a file
// system would take for something else.
func checkID(id string) error {
	if id == "" || len(id) > 100 || id == "." || id == ".." || strings.HasPrefix(id, "-") || strings.Contains(id, "/") || strings.ContainsFunc(id, unicode.IsControl) {
		return invalid("The database id must have 1 to 100 bytes without / and control characters, and must not begin with - nor be . or .. .")
	}
	return nil
}

// checkDatabase refuses what the instance cannot have. One that names no databases leaves the word to its executor.
func checkDatabase(i events.Instance, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if i.Provider == "spanner" && !databaseRule.MatchString(id) {
		return invalid("The database id must have 2 to 30 characters of a-z, 0-9, _ and -, the first a letter, the last a letter or digit.")
	}
	if !hasDatabase(i, id) {
		return notFound("Database", databaseType, nameOf(i).database(id))
	}
	return nil
}

// checkLogical refuses to back up one database where only all can be.
func checkLogical(i events.Instance) error {
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
	clockSkew     = time.Second
)

// versionTime checks a wanted version time (spanner.md (b) 5, 6); the zero time is none. An engine of one's own reads
// what is there when it runs, so no moment can be promised.
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
	}
	return at, refuse(codes.FailedPrecondition, "Databases of provider %s are backed up as they are when the backup runs: leave version_time out.", i.Provider)
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
