package spanner_test

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
)

const elsewhere = "projects/acme/instances/copy"

func (w world) copy(into, id, source string, expire *timestamppb.Timestamp) (*longrunningpb.Operation, error) {
	return w.admin.CopyBackup(w.ctx(), &databasepb.CopyBackupRequest{Parent: into, BackupId: id, SourceBackup: source, ExpireTime: expire})
}

func TestCopy_HoldsItsSource(t *testing.T) { // cases 53, 54, (b) 28, 30
	t.Parallel()
	w, _ := restoring(t)
	source := files + "/backups/b1"
	w.create(files, "b1", "a.db")
	_, err := w.copy(elsewhere, "c1", source, in(24*time.Hour))
	refused(t, "of one that is being made", err, codes.FailedPrecondition, "Cannot copy source backup "+source+" because the backup is still being created. Please retry the operation once the pending backup is complete.")
	w.finish("b1", nil)
	op, err := w.copy(elsewhere, "c1", source, in(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.copy(files, "c2", source, in(24*time.Hour)) // several at once, beside a backup of the database
	if err != nil {
		t.Fatal(err)
	}
	w.create(files, "b2", "a.db")
	var m databasepb.CopyBackupMetadata
	if err := op.GetMetadata().UnmarshalTo(&m); err != nil || m.GetName() != elsewhere+"/backups/c1" || m.GetSourceBackup() != source || m.GetProgress().GetStartTime() == nil || op.GetDone() {
		t.Errorf("%v, %v, %v", op, &m, err)
	}
	if refs := w.backup(source).GetReferencingBackups(); len(refs) != 2 {
		t.Errorf("referencing %v", refs)
	}
	_, err = w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: source})
	refused(t, "delete of the source", err, codes.FailedPrecondition, "")
	if err := w.cancel(second.GetName()); err != nil {
		t.Fatal(err)
	}
	_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: files + "/backups/c2"})
	refused(t, "a cancelled copy", err, codes.NotFound, "")
	w.finish("c1", nil)
	op = w.operation(op.GetName())
	var made databasepb.Backup
	if err := op.GetResponse().UnmarshalTo(&made); err != nil || made.GetName() != elsewhere+"/backups/c1" || made.GetDatabase() != files+"/databases/a.db" || made.GetState() != databasepb.Backup_READY {
		t.Errorf("%v, %v", op, err)
	}
	was := w.backup(source)
	if refs := was.GetReferencingBackups(); refs != nil {
		t.Errorf("after the copy: %v", refs)
	}
	if !proto.Equal(made.GetMaxExpireTime(), was.GetMaxExpireTime()) { // counted from the source's creation
		t.Errorf("max_expire_time %v, of the source %v", made.GetMaxExpireTime(), was.GetMaxExpireTime())
	}
	if names := w.operations(&databasepb.ListBackupOperationsRequest{Parent: elsewhere, Filter: "(metadata.@type:CopyBackupMetadata) AND (metadata.source_backup:b1)"}); len(names) != 1 || names[0] != op.GetName() {
		t.Errorf("operations %v", names)
	}
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: source}); err != nil {
		t.Error(err)
	}
}

func TestCopy_Refusals(t *testing.T) { // (b) 31, 32
	t.Parallel()
	w, _ := restoring(t)
	source := files + "/backups/b1"
	w.ready(files, "b1", "a.db")
	w.ready(files, "b2", "b.db")
	most := w.backup(source).GetMaxExpireTime()
	for _, c := range []struct {
		what, into, id, source string
		expire                 *timestamppb.Timestamp
		code                   codes.Code
	}{
		{"no id", files, "", source, in(24 * time.Hour), codes.InvalidArgument}, {"a bad id", files, "X", source, in(24 * time.Hour), codes.InvalidArgument},
		{"a bad source", files, "c1", "b1", in(24 * time.Hour), codes.InvalidArgument}, {"a bad parent", "files", "c1", source, in(24 * time.Hour), codes.InvalidArgument},
		{"no such source", files, "c1", files + "/backups/none", in(24 * time.Hour), codes.NotFound}, {"no such instance", "projects/acme/instances/none", "c1", source, in(24 * time.Hour), codes.NotFound},
		{"a name that is taken", files, "b2", source, in(24 * time.Hour), codes.AlreadyExists}, {"another project", "projects/other/instances/files", "c1", source, in(24 * time.Hour), codes.FailedPrecondition},
		{"no expiry", files, "c1", source, nil, codes.InvalidArgument}, {"past the source's latest", files, "c1", source, timestamppb.New(most.AsTime().Add(time.Second)), codes.InvalidArgument},
		{"an hour", files, "c1", source, in(time.Hour), codes.InvalidArgument},
	} {
		_, err := w.copy(c.into, c.id, c.source, c.expire)
		refused(t, c.what, err, c.code, "")
	}
	_, err := w.copy(files, "c1", files+"/backups/none", in(24*time.Hour))
	about(t, refused(t, "no such source", err, codes.NotFound, ""), "database.v1.Backup", files+"/backups/none", "Backup does not exist.")
	_, err = w.admin.CopyBackup(w.ctx(), &databasepb.CopyBackupRequest{Parent: files, BackupId: "c1", SourceBackup: source, ExpireTime: in(24 * time.Hour),
		EncryptionConfig: &databasepb.CopyBackupEncryptionConfig{EncryptionType: databasepb.CopyBackupEncryptionConfig_GOOGLE_DEFAULT_ENCRYPTION}})
	refused(t, "another encryption", err, codes.FailedPrecondition, "")
	if got := w.list(&databasepb.ListBackupsRequest{Parent: files}); len(got) != 2 {
		t.Errorf("listed %v", got)
	}
	if _, err := w.copy(files, "c1", source, most); err != nil { // the bound itself
		t.Error(err)
	}
}

// An executor that cannot copy says so, and does not back up the database instead.
func TestCopy_OfAProviderThatCannot(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(files, "b1", "a.db")
	op, err := w.copy(files, "c1", files+"/backups/b1", in(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	starts := w.Hand.Starts()
	w.Await("acme", w.id("c1"), events.Failed)
	if op = w.operation(op.GetName()); op.GetError().GetCode() != int32(codes.FailedPrecondition) || w.Hand.Starts() != starts {
		t.Errorf("%v, %d starts", op, w.Hand.Starts())
	}
	w.ready(parent, "b1", "db")
	_, err = w.copy(parent, "c1", parent+"/backups/b1", in(24*time.Hour))
	refused(t, "of provider spanner", err, codes.Unimplemented, "method CopyBackup not implemented for provider spanner")
}

// With the engine of files a copy is whole by itself: its source may go.
func TestCopy_OutlivesItsSource(t *testing.T) {
	t.Parallel()
	w := engineOf(t, 0)
	w.create(files, "b1", "b.db")
	w.Await("acme", w.id("b1"), events.Succeeded)
	source := w.backup(files + "/backups/b1")
	w.RegisterAs("acme", "copy", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q}`, w.Dir+"/new.db"))
	op, err := w.copy(elsewhere, "c1", source.GetName(), in(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if op, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil || op.GetResponse() == nil {
		t.Fatalf("%v, %v", op, err)
	}
	made := w.backup(elsewhere + "/backups/c1")
	if made.GetSizeBytes() != source.GetSizeBytes() || !proto.Equal(made.GetVersionTime(), source.GetVersionTime()) || made.GetDatabase() != source.GetDatabase() {
		t.Errorf("copy   %v\nsource %v", made, source)
	}
	if got := w.objects(); len(got) != 4 { // an object and a manifest each
		t.Errorf("stored %v", got)
	}
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: source.GetName()}); err != nil {
		t.Fatal(err)
	}
	w.Await("acme", w.id("b1"), events.Deleted)
	if op, err = w.restore(elsewhere, "new.db", made.GetName()); err != nil {
		t.Fatal(err)
	}
	if op, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil || op.GetResponse() == nil {
		t.Errorf("restore of the copy: %v, %v", op, err)
	}
}
