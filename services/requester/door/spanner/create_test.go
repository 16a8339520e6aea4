package spanner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

const pendingText = "Cannot create backup (%s) for database (%s) because the maximum number of pending backups (1) for the database has been reached. Please retry the operation once the pending backups complete."

func TestCreate_Ids(t *testing.T) { // case 13, (b) 1, 2
	t.Parallel()
	w := setup(t)
	for n, id := range []string{"ab", "a" + strings.Repeat("b", 59), "a_b-1"} {
		w.create(parent, id, fmt.Sprintf("db%d", n))
	}
	for _, id := range []string{"a", "a" + strings.Repeat("b", 60), "1ab", "Ab", "ab-", "ab_", "a b", "bk_abcdefghijklmnopqrstuvwxyz"} {
		_, err := w.admin.CreateBackup(w.ctx(), request(parent, id, "other"))
		refused(t, id, err, codes.InvalidArgument, "")
	}
	_, err := w.admin.CreateBackup(w.ctx(), request(parent, "", "other"))
	refused(t, "no id", err, codes.InvalidArgument, "Invalid CreateBackup request.")
}

func TestCreate_Refusals(t *testing.T) { // cases 14 to 20, (b) 3, 5 to 11, 16 to 18, 51
	t.Parallel()
	w := setup(t)
	key := "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
	type change = func(*databasepb.CreateBackupRequest)
	encrypted := func(kind databasepb.CreateBackupEncryptionConfig_EncryptionType, one string, more ...string) change {
		return func(r *databasepb.CreateBackupRequest) {
			r.EncryptionConfig = &databasepb.CreateBackupEncryptionConfig{EncryptionType: kind, KmsKeyName: one, KmsKeyNames: more}
		}
	}
	expiring := func(d time.Duration) change {
		return func(r *databasepb.CreateBackupRequest) { r.Backup.ExpireTime = in(d) }
	}
	of := func(d time.Duration) change {
		return func(r *databasepb.CreateBackupRequest) { r.Backup.VersionTime = in(d) }
	}
	day := 24 * time.Hour
	const (
		unspecified = databasepb.CreateBackupEncryptionConfig_ENCRYPTION_TYPE_UNSPECIFIED
		google      = databasepb.CreateBackupEncryptionConfig_GOOGLE_DEFAULT_ENCRYPTION
		customer    = databasepb.CreateBackupEncryptionConfig_CUSTOMER_MANAGED_ENCRYPTION
	)
	for _, c := range []struct {
		what, in, database string
		code               codes.Code
		change             change
	}{
		{"expiry of 5 h 59 min", parent, "db", codes.InvalidArgument, expiring(6*time.Hour - time.Minute)},
		{"expiry of 366 d and 1 h", parent, "db", codes.InvalidArgument, expiring(366*day + time.Hour)},
		{"expiry in the past", parent, "db", codes.InvalidArgument, expiring(-time.Hour)},
		{"no expiry", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) { r.Backup.ExpireTime = nil }},
		{"expiry that is no time", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) {
			r.Backup.ExpireTime = &timestamppb.Timestamp{Seconds: 1 << 60, Nanos: -5}
		}},
		{"version time tomorrow", parent, "db", codes.InvalidArgument, of(day)},
		{"version time 30 days back", parent, "db", codes.InvalidArgument, of(-30 * day)},
		{"version time an hour back of a file", files, "a.db", codes.FailedPrecondition, of(-time.Hour)},
		{"version time of just now of a file", files, "a.db", codes.FailedPrecondition, of(-time.Second)},
		{"no database", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) { r.Backup.Database = "" }},
		{"malformed database", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) { r.Backup.Database = "db" }},
		{"a database id that cannot be", parent, "Not A Database", codes.InvalidArgument, nil},
		{"a database id with a slash", named, "d1/x", codes.InvalidArgument, nil},
		{"an option of a tool", named, "--all-databases", codes.InvalidArgument, nil},
		{"two dots", named, "..", codes.InvalidArgument, nil},
		{"a line break", named, "d\n1", codes.InvalidArgument, nil},
		{"database elsewhere", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) { r.Backup.Database = named + "/databases/d1" }},
		{"no backup", parent, "db", codes.InvalidArgument, func(r *databasepb.CreateBackupRequest) { r.Backup = nil }},
		{"malformed parent", "projects/acme", "db", codes.InvalidArgument, nil},
		{"key with Google's encryption", parent, "db", codes.InvalidArgument, encrypted(google, key)},
		{"key without a type", parent, "db", codes.InvalidArgument, encrypted(unspecified, key)},
		{"keys without a type", parent, "db", codes.InvalidArgument, encrypted(unspecified, "", key)},
		{"customer's without a key", parent, "db", codes.InvalidArgument, encrypted(customer, "")},
		{"a key and keys", parent, "db", codes.InvalidArgument, encrypted(customer, key, key)},
		{"a key that is none", parent, "db", codes.InvalidArgument, encrypted(customer, "k")},
		{"a type that is none", parent, "db", codes.InvalidArgument, encrypted(9, "")},
		{"a key for a file", files, "a.db", codes.FailedPrecondition, encrypted(customer, key)},
	} {
		r := request(c.in, "b1", c.database)
		if c.change != nil {
			c.change(r)
		}
		_, err := w.admin.CreateBackup(w.ctx(), r)
		refused(t, c.what, err, c.code, "")
	}
	r := request(parent, "b1", "db")
	r.Backup.ExpireTime = nil
	_, err := w.admin.CreateBackup(w.ctx(), r)
	st := refused(t, "no expiry", err, codes.InvalidArgument, "")
	if m := st.Message(); !strings.HasPrefix(m, "Invalid request for backup "+parent+"/backups/b1. `expire_time` is either missing, ") || !strings.HasSuffix(m, "and the input `expire_time` is missing.") {
		t.Error(m)
	}
	before := time.Now().Truncate(time.Millisecond)
	r.Backup.ExpireTime = in(time.Hour)
	_, err = w.admin.CreateBackup(w.ctx(), r)
	created := expiryText(t, refused(t, "an hour", err, codes.InvalidArgument, "").Message(), parent+"/backups/b1", r.Backup.ExpireTime)
	if created.Before(before) || created.After(time.Now()) {
		t.Errorf("processed at %s", created)
	}
	_, err = w.admin.CreateBackup(w.ctx(), request(named, "b1", "none"))
	st = refused(t, "unknown database", err, codes.NotFound, "Database not found: "+named+"/databases/none")
	about(t, st, "database.v1.Database", named+"/databases/none", "Database does not exist.")
	_, err = w.admin.CreateBackup(w.ctx(), request("projects/acme/instances/none", "b1", "db"))
	st = refused(t, "unknown instance", err, codes.NotFound, "Instance not found: projects/acme/instances/none")
	about(t, st, "instance.v1.Instance", "projects/acme/instances/none", "Instance does not exist.")
	for _, e := range w.Events("acme") {
		if e.Entity() == events.Backups {
			t.Errorf("stored: %s", e.ID)
		}
	}
	r = request(parent, "b1", "db")
	encrypted(customer, key)(r)
	if _, err := w.admin.CreateBackup(w.ctx(), r); err != nil {
		t.Fatal(err)
	}
	if e := w.backup(parent + "/backups/b1").GetEncryptionInfo(); e.GetEncryptionType() != databasepb.EncryptionInfo_CUSTOMER_MANAGED_ENCRYPTION || !strings.HasPrefix(e.GetKmsKeyVersion(), key) {
		t.Errorf("encryption %v", e)
	}
	r = request(parent, "b2", "db2")
	encrypted(customer, "", key, key+"2")(r)
	if _, err := w.admin.CreateBackup(w.ctx(), r); err != nil {
		t.Fatal(err)
	}
	if e := w.backup(parent + "/backups/b2").GetEncryptionInformation(); len(e) != 2 || e[1].GetKmsKeyVersion() != key+"2" {
		t.Errorf("encryption %v", e)
	}
	r = request(parent, "b3", "db3")
	encrypted(unspecified, "")(r)
	if _, err := w.admin.CreateBackup(w.ctx(), r); err != nil {
		t.Error(err)
	}
}

func TestCreate_NameThenLimit(t *testing.T) { // cases 8, 9, 10, 12, (b) 12 to 14
	t.Parallel()
	w := setup(t)
	w.create(parent, "b1", "d1")
	for _, database := range []string{"d1", "d2"} {
		_, err := w.admin.CreateBackup(w.ctx(), request(parent, "b1", database))
		st := refused(t, "same id of "+database, err, codes.AlreadyExists, "Backup already exists: "+parent+"/backups/b1")
		about(t, st, "database.v1.Backup", parent+"/backups/b1", "Backup already exists.")
	}
	_, err := w.admin.CreateBackup(w.ctx(), request(parent, "b2", "d1"))
	refused(t, "same database", err, codes.FailedPrecondition, fmt.Sprintf(pendingText, parent+"/backups/b2", parent+"/databases/d1"))
	if ids := w.list(&databasepb.ListBackupsRequest{}); len(ids) != 1 {
		t.Errorf("listed %v", ids)
	}
	w.create(parent, "b3", "d2")
	w.finish("b3", nil)
	w.finish("b1", nil)
	w.create(parent, "b2", "d1")
	e := w.rest("POST", parent+"/backups?backupId=b1", `{"database":"`+parent+`/databases/d9","expireTime":"`+time.Now().Add(24*time.Hour).Format(time.RFC3339)+`"}`, 409)
	details, _ := e.at("error/details").([]any)
	if len(details) != 1 || answer(details[0].(map[string]any)).at("resourceName") != parent+"/backups/b1" || e.at("error/status") != "ALREADY_EXISTS" {
		t.Errorf("over REST: %v", e)
	}
}

// What schedules ask for is outside the limit of provider spanner, in both directions (b) 15.
func TestCreate_WhileAScheduledOneIsMade(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.schedule(t, "nightly", "db")
	b := w.Slot(s, time.Now().Truncate(time.Second), events.Requested, nil)
	if err := w.Hand.Started(w.ctx(), b.BackupID); err != nil {
		t.Fatal(err)
	}
	w.create(parent, "b1", "db")
}

// Databases of an instance of one's own run at once too; the whole instance excludes each of them.
func TestCreate_DatabasesOfAFileServer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(files, "one", "a.db")
	w.create(files, "two", "b.db")
	_, err := w.admin.CreateBackup(w.ctx(), request(files, "three", "a.db"))
	refused(t, "same file", err, codes.FailedPrecondition, fmt.Sprintf(pendingText, files+"/backups/three", files+"/databases/a.db"))
	code, body := w.Call("POST", "/api/v1/projects/acme/backups", `{"instance":"files"}`)
	if code != 409 {
		t.Errorf("the whole instance meanwhile: %d %s", code, body)
	}
	w.finish("one", nil)
	w.finish("two", nil)
	whole := pipelinetest.JSON[struct{ BackupID string }](w.Pipeline, "POST", "/api/v1/projects/acme/backups", `{"instance":"files"}`)
	_, err = w.admin.CreateBackup(w.ctx(), request(files, "three", "a.db"))
	st := refused(t, "a file of the whole", err, codes.FailedPrecondition, "") // the limit is not what stands in the way
	if strings.Contains(st.Message(), "maximum number") || !strings.Contains(st.Message(), whole.BackupID) {
		t.Error(st.Message())
	}
	w.Hand.Finish(whole.BackupID, nil)
}

// expiryText holds a refusal against (b) 3, word for word, and gives its create_time.
func expiryText(t *testing.T, message, backup string, asked *timestamppb.Timestamp) time.Time {
	t.Helper()
	head := "Invalid request for backup " + backup + ". `expire_time` is either missing, in the wrong format, or is not within the minimum and maximum expire times supported. " +
		"`expire_time` must be a Unix Epoch Time (UTC time since 1970-01-01 00:00:00) with microseconds granularity, and be at least 6 hours and at most 366 days from the time the CreateBackup request is processed. " +
		"The CreateBackup request was processed at `create_time` ("
	tail := "), and the input `expire_time` is " + asked.AsTime().Format(time.RFC3339Nano) + "."
	text, begins := strings.CutPrefix(message, head)
	text, ends := strings.CutSuffix(text, tail)
	at, err := time.Parse(time.RFC3339Nano, text)
	if !begins || !ends || err != nil {
		t.Errorf("%s: %v", message, err)
	}
	return at
}
