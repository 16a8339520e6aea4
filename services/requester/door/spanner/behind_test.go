package spanner_test

import (
	"testing"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events"
)

// While nobody keeps the view, everything is answered from the log: what was accepted is seen, and what is gone is not
// (spanner.md 10).
func TestBehind_TheViewStandsStill(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(parent, "old", "db")
	w.Tracker.Stop()
	op := w.create(parent, "new", "db")
	name := parent + "/backups/new"
	if b := w.backup(name); b.GetState() != databasepb.Backup_CREATING {
		t.Errorf("%v", b)
	}
	_, err := w.admin.CreateBackup(w.ctx(), request(parent, "new", "db2"))
	refused(t, "the same id", err, codes.AlreadyExists, "")
	_, err = w.admin.CreateBackup(w.ctx(), request(parent, "other", "db"))
	refused(t, "the same database", err, codes.FailedPrecondition, "")
	if ids := w.list(&databasepb.ListBackupsRequest{}); len(ids) != 2 || ids[0] != "new" {
		t.Errorf("listed %v", ids)
	}
	if names := w.operations(&databasepb.ListBackupOperationsRequest{Filter: "done:false"}); len(names) != 1 || names[0] != op.GetName() {
		t.Errorf("operations %v", names)
	}
	if err := w.Hand.Started(w.ctx(), w.id("new")); err != nil {
		t.Fatal(err)
	}
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(op.GetName()); op.GetError().GetCode() != int32(codes.Canceled) {
		t.Errorf("operation %v", op)
	}
	if err := w.deletion(parent + "/backups/old"); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{name, parent + "/backups/old"} {
		_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: gone})
		refused(t, gone, err, codes.NotFound, "")
	}
	if ids := w.list(&databasepb.ListBackupsRequest{}); ids != nil {
		t.Errorf("listed %v", ids)
	}
	w.Tracker.Start()
	w.Await("acme", w.id("old"), events.Deleted)
	if ids := w.list(&databasepb.ListBackupsRequest{}); ids != nil {
		t.Errorf("listed when the view is back: %v", ids)
	}
}
