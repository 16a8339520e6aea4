package spanner_test

import (
	"errors"
	"io"
	"testing"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

func (w world) deletion(name string) error {
	_, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: name})
	return err
}

// elsewise deletes a backup through our own API.
func (w world) elsewise(id string) {
	w.t.Helper()
	if code, body := w.Call("DELETE", "/api/v1/projects/acme/backups/"+id, ""); code/100 != 2 {
		w.t.Fatalf("delete through another door: %d %s", code, body)
	}
}

// The row "deletion failed" of spanner.md (a): one that failed through another door leaves the backup READY, and it
// can be deleted here.
func TestDelete_AfterOneFailedThroughAnotherDoor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.ready(parent, "b1", "db")
	id, name := w.id("b1"), parent+"/backups/b1"
	w.Hand.FailDeletions(&events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the bucket is locked"})
	w.elsewise(id)
	w.Await("acme", id, events.DeletionFailed)
	if b := w.backup(name); b.GetState() != databasepb.Backup_READY {
		t.Errorf("backup %v", b)
	}
	if ids := w.list(&databasepb.ListBackupsRequest{}); len(ids) != 1 {
		t.Errorf("listed %v", ids)
	}
	_, err := w.admin.CreateBackup(w.ctx(), request(parent, "b1", "db")) // its name is held
	refused(t, "the same id", err, codes.AlreadyExists, "")
	w.Hand.FailDeletions(nil)
	if err := w.deletion(name); err != nil {
		t.Fatal(err)
	}
	_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: name})
	refused(t, "get", err, codes.NotFound, "")
	w.Await("acme", id, events.Deleted)
	if w.Hand.Copies() != 0 {
		t.Error("the copy is left")
	}
	if op = w.operation(op.GetName()); op.GetResponse() == nil {
		t.Errorf("operation %v", op)
	}
}

// A deletion through another door that is under way may fail yet: who deletes here hears of it only when it has gone,
// and a failure is followed by a deletion that insists.
func TestDelete_WhileAnotherDoorDeletes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(parent, "b1", "db")
	id, name := w.id("b1"), parent+"/backups/b1"
	w.Executors.Stop()
	w.elsewise(id)
	if b := w.backup(name); b.GetState() != databasepb.Backup_READY {
		t.Errorf("backup %v", b)
	}
	_, err := w.admin.UpdateBackup(w.ctx(), &databasepb.UpdateBackupRequest{Backup: &databasepb.Backup{Name: name, ExpireTime: in(48 * 3600e9)}, UpdateMask: mask("expire_time")})
	refused(t, "update", err, codes.FailedPrecondition, "Backup "+name+" is being deleted.")
	w.Hand.FailDeletions(&events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the bucket is locked"})
	answered := make(chan error, 1)
	go func() { answered <- w.deletion(name) }()
	w.Executors.Start()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: name})
	refused(t, "get", err, codes.NotFound, "")
	insists := 0
	for _, e := range w.Events("acme") {
		if e.Step() != events.DeletionRequested {
			continue
		}
		if b, err := events.Decode[events.Backup](e.Event); err == nil && b.Deletion.Insist {
			insists++
		}
	}
	if insists == 0 {
		t.Error("nobody insists on what this door said is gone")
	}
}

// What this door said is gone never stands again under a name that a new backup has, whoever deletes it then.
func TestDelete_ThatFailedLeavesTheNameToTheNextBackup(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(parent, "b1", "db")
	old, name := w.id("b1"), parent+"/backups/b1"
	w.Hand.FailDeletions(&events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the bucket is locked"})
	if err := w.deletion(name); err != nil {
		t.Fatal(err)
	}
	w.Await("acme", old, events.DeletionFailed)
	w.ready(parent, "b1", "db")
	made := w.backup(name)
	w.elsewise(old)
	failures, seq := 0, uint64(0)
	if err := w.Bus.Tail(w.ctx(), events.EventRoot+".acme.>", bus.Start{Seq: 1}, func(_ string, e events.Stored) error {
		if e.Step() == events.DeletionFailed && e.PartitionKey == old {
			failures++
		}
		if seq = e.Seq; failures == 2 {
			return io.EOF
		}
		return nil
	}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := w.View.Passed(w.ctx(), "acme", seq); err != nil {
		t.Fatal(err)
	}
	if found := w.backup(name); !found.GetCreateTime().AsTime().Equal(made.GetCreateTime().AsTime()) || found.GetState() != databasepb.Backup_READY {
		t.Errorf("%v, want %v", found, made)
	}
	if ids := w.list(&databasepb.ListBackupsRequest{}); len(ids) != 1 {
		t.Errorf("listed %v", ids)
	}
}
