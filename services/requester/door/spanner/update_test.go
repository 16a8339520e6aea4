package spanner_test

import (
	"testing"
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

func TestUpdate_TheExpiry(t *testing.T) { // cases 28, 29, 30, (b) 4, 22 to 25
	t.Parallel()
	w := setup(t)
	name := parent + "/backups/b1"
	op := w.create(parent, "b1", "db")
	update := func(to *timestamppb.Timestamp, m *fieldmaskpb.FieldMask) (*databasepb.Backup, error) {
		return w.admin.UpdateBackup(w.ctx(), &databasepb.UpdateBackupRequest{Backup: &databasepb.Backup{Name: name, ExpireTime: to, SizeBytes: 7, State: databasepb.Backup_READY}, UpdateMask: m})
	}
	to := timestamppb.New(in(7 * 24 * time.Hour).AsTime().Truncate(time.Microsecond))
	got, err := update(to, mask("expire_time")) // of one that is being made
	if err != nil || !proto.Equal(got.GetExpireTime(), to) || got.GetState() != databasepb.Backup_CREATING {
		t.Fatalf("%v, %v", got, err)
	}
	w.finish("b1", nil)
	done := w.operation(op.GetName())
	latest := timestamppb.New(got.GetMaxExpireTime().AsTime())
	if got, err = update(latest, mask("expireTime")); err != nil || !proto.Equal(got.GetExpireTime(), latest) { // the bound itself
		t.Fatalf("%v, %v", got, err)
	}
	for what, c := range map[string]struct {
		to *timestamppb.Timestamp
		m  *fieldmaskpb.FieldMask
	}{
		"5 minutes ahead": {in(5 * time.Minute), mask("expire_time")}, "367 days": {in(367 * 24 * time.Hour), mask("expire_time")}, "past": {in(-time.Hour), mask("expire_time")},
		"no time": {nil, mask("expire_time")}, "no mask": {to, nil}, "an empty mask": {to, mask()}, "version_time": {to, mask("version_time")},
		"more than the expiry": {to, mask("expire_time", "database")}, "a star": {to, mask("*")},
	} {
		_, err := update(c.to, c.m)
		refused(t, what, err, codes.InvalidArgument, "")
	}
	soon := in(5 * time.Minute)
	_, err = update(soon, mask("expire_time"))
	if at := expiryText(t, refused(t, "5 minutes ahead", err, codes.InvalidArgument, "").Message(), name, soon); !at.Equal(got.GetCreateTime().AsTime()) {
		t.Errorf("processed at %s, want %s", at, got.GetCreateTime().AsTime())
	}
	if b := w.backup(name); !proto.Equal(b.GetExpireTime(), latest) {
		t.Errorf("after refusals: %v", b.GetExpireTime())
	}
	if now := w.operation(op.GetName()); !proto.Equal(done, now) { // a response never changes
		t.Errorf("operation was %v\nis %v", done, now)
	}
	name = parent + "/backups/none"
	_, err = update(to, mask("expire_time"))
	st := refused(t, "a backup that is not there", err, codes.NotFound, "Backup not found: "+name)
	about(t, st, "database.v1.Backup", name, "Backup does not exist.")
	name = "b1"
	_, err = update(to, mask("expire_time"))
	refused(t, "a malformed name", err, codes.InvalidArgument, "Invalid UpdateBackup request.")
	_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: "b1"}) // (b) 21
	refused(t, "get of a malformed name", err, codes.InvalidArgument, "Invalid GetBackup request.")
	_, err = w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: "b1"})
	refused(t, "delete of a malformed name", err, codes.InvalidArgument, "Invalid DeleteBackup request.")
}

// An expiry that has come deletes a backup on demand. Through this door it lies six hours ahead at least, so it is
// brought forward through another.
func TestUpdate_AnExpiryDeletes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.ready(parent, "b1", "db")
	id := w.id("b1")
	pipelinetest.JSON[map[string]any](w.Pipeline, "PATCH", "/api/v1/projects/acme/backups/"+id, `{"expireTime":"`+time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339Nano)+`"}`)
	w.Await("acme", id, events.Deleted)
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: parent + "/backups/b1"})
	refused(t, "get", err, codes.NotFound, "")
	if op = w.operation(op.GetName()); op.GetResponse() == nil {
		t.Errorf("operation %v", op)
	}
}
