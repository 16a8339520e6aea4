package spanner_test

import (
	"regexp"
	"testing"
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
)

var operationForm = regexp.MustCompile(`^projects/acme/instances/orders/backups/b1/operations/_auto_op_[0-9a-f]{16}$`)

func TestLife_OfABackup(t *testing.T) { // cases 1 to 6
	t.Parallel()
	w := setup(t)
	r := request(parent, "b1", "db")
	r.Backup.ExpireTime = timestamppb.New(time.Now().Add(24 * time.Hour).Truncate(time.Second).Add(123456789 * time.Nanosecond))
	r.Backup.Name, r.Backup.State, r.Backup.SizeBytes = parent+"/backups/other", databasepb.Backup_READY, 7 // (b) 19
	op, err := w.admin.CreateBackup(w.ctx(), r)
	if err != nil {
		t.Fatal(err)
	}
	m := metadata(t, op)
	if op.GetDone() || op.GetResult() != nil || !operationForm.MatchString(op.GetName()) {
		t.Errorf("operation %v", op)
	}
	if m.GetName() != parent+"/backups/b1" || m.GetDatabase() != parent+"/databases/db" || m.GetProgress().GetStartTime() == nil || m.GetProgress().GetProgressPercent() != 0 || m.GetProgress().GetEndTime() != nil {
		t.Errorf("metadata %v", m)
	}
	b := w.backup(parent + "/backups/b1")
	if b.GetState() != databasepb.Backup_CREATING || b.GetDatabase() != parent+"/databases/db" || b.GetSizeBytes() != 0 {
		t.Errorf("backup %v", b)
	}
	if want := r.Backup.ExpireTime.AsTime().Truncate(time.Microsecond); !b.GetExpireTime().AsTime().Equal(want) {
		t.Errorf("expire_time %s, want %s", b.GetExpireTime().AsTime(), want)
	}
	if !proto.Equal(b.GetVersionTime(), b.GetCreateTime()) || !proto.Equal(b.GetCreateTime(), m.GetProgress().GetStartTime()) {
		t.Errorf("version_time %v, create_time %v, start_time %v", b.GetVersionTime(), b.GetCreateTime(), m.GetProgress().GetStartTime())
	}
	if got := b.GetMaxExpireTime().AsTime().Sub(b.GetCreateTime().AsTime()); got != 366*24*time.Hour {
		t.Errorf("max_expire_time after %s", got)
	}
	if b.GetEncryptionInfo().GetEncryptionType() != databasepb.EncryptionInfo_GOOGLE_DEFAULT_ENCRYPTION || len(b.GetEncryptionInformation()) != 1 {
		t.Errorf("encryption %v", b)
	}
	w.finish("b1", nil)
	op = w.operation(op.GetName())
	var made databasepb.Backup
	if err := op.GetResponse().UnmarshalTo(&made); err != nil || !op.GetDone() || op.GetError() != nil {
		t.Fatalf("operation %v: %v", op, err)
	}
	after := w.backup(parent + "/backups/b1")
	if !proto.Equal(&made, after) || after.GetState() != databasepb.Backup_READY || after.GetSizeBytes() == 0 {
		t.Errorf("response %v\nbackup   %v", &made, after)
	}
	if after.GetFreeableSizeBytes() != after.GetSizeBytes() || after.GetExclusiveSizeBytes() != after.GetSizeBytes() || !proto.Equal(after.GetOldestVersionTime(), after.GetVersionTime()) || !proto.Equal(after.GetVersionTime(), b.GetVersionTime()) {
		t.Errorf("backup %v", after)
	}
	p := metadata(t, op).GetProgress()
	if p.GetProgressPercent() != 100 || p.GetEndTime().AsTime().Before(p.GetStartTime().AsTime()) || p.GetEndTime() == nil {
		t.Errorf("progress %v", p)
	}
}

func TestLife_VersionTimeIsKept(t *testing.T) { // case 4
	t.Parallel()
	w := setup(t)
	r := request(parent, "b1", "db")
	r.Backup.VersionTime = timestamppb.New(time.Now().Add(-30 * time.Minute).Truncate(time.Millisecond).Add(123 * time.Microsecond))
	if _, err := w.admin.CreateBackup(w.ctx(), r); err != nil {
		t.Fatal(err)
	}
	w.finish("b1", nil)
	if b := w.backup(parent + "/backups/b1"); !proto.Equal(b.GetVersionTime(), r.Backup.VersionTime) {
		t.Errorf("version_time %v, want %v", b.GetVersionTime(), r.Backup.VersionTime)
	}
}

func TestLife_FailureIsInTheOperation(t *testing.T) { // cases 22, 24, (b) 58
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	w.finish("b1", &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: "the database is being dropped"})
	op = w.operation(op.GetName())
	if st := op.GetError(); !op.GetDone() || st.GetCode() != int32(codes.FailedPrecondition) || st.GetMessage() != "the database is being dropped" {
		t.Errorf("operation %v", op)
	}
	if p := metadata(t, op).GetProgress(); p.GetProgressPercent() != 100 || p.GetEndTime() == nil {
		t.Errorf("progress %v", p)
	}
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: parent + "/backups/b1"})
	st := refused(t, "get", err, codes.NotFound, "Backup not found: "+parent+"/backups/b1") // (b) 20
	about(t, st, "database.v1.Backup", parent+"/backups/b1", "Backup does not exist.")
	w.create(parent, "b1", "db") // the name and the database are free
}

func TestLife_DeleteHidesAtOnce(t *testing.T) { // cases 25, 26
	t.Parallel()
	w := setup(t)
	op := w.ready(parent, "b1", "db")
	was := w.operation(op.GetName())
	w.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "not now", Retryable: true}) // it stays hidden
	name := parent + "/backups/b1"
	for range 2 {
		if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
		_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: name})
		refused(t, "get", err, codes.NotFound, "")
	}
	w.Await("acme", w.id("b1"), events.DeletionFailed)
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: name})
	refused(t, "get after a failed deletion", err, codes.NotFound, "")
	if ids := w.list(&databasepb.ListBackupsRequest{}); ids != nil {
		t.Errorf("listed: %v", ids)
	}
	if now := w.operation(op.GetName()); !proto.Equal(was, now) {
		t.Errorf("operation was %v\nis %v", was, now)
	}
	if got := w.rest("DELETE", name, "", 200); len(got) != 0 {
		t.Errorf("delete over REST: %v", got)
	}
	w.rest("DELETE", parent+"/backups/never-there", "", 200)
}
