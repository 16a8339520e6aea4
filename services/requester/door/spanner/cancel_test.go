package spanner_test

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/backupbus/backupbus/events"
)

func (w world) cancel(name string) error {
	_, err := w.ops.CancelOperation(w.ctx(), &longrunningpb.CancelOperationRequest{Name: name})
	return err
}

func TestCancel_IsSeenByTheNextRead(t *testing.T) { // cases 21, 22, (b) 33
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	if err := w.Hand.Started(w.ctx(), w.id("b1")); err != nil {
		t.Fatal(err)
	}
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	op = w.operation(op.GetName())
	m := metadata(t, op)
	if !op.GetDone() || op.GetError().GetCode() != int32(codes.Canceled) || m.GetCancelTime() == nil || m.GetProgress().GetEndTime() == nil {
		t.Fatalf("operation %v %v", op, m)
	}
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: parent + "/backups/b1"})
	refused(t, "get", err, codes.NotFound, "")
	if ids := w.list(&databasepb.ListBackupsRequest{}); ids != nil {
		t.Errorf("listed: %v", ids)
	}
	if names := w.operations(&databasepb.ListBackupOperationsRequest{}); len(names) != 1 || names[0] != op.GetName() {
		t.Errorf("operations %v", names)
	}
	if err := w.cancel(op.GetName()); err != nil { // a retry is harmless
		t.Error(err)
	}
	if now := w.operation(op.GetName()); !proto.Equal(op, now) {
		t.Errorf("was %v\nis %v", op, now)
	}
	again := w.create(parent, "b1", "db") // the id and the database are free
	if again.GetName() == op.GetName() {
		t.Error("the operation of the first came back")
	}
	if w.Hand.Copies() != 0 {
		t.Error("a copy is left")
	}
}

// One that nobody has begun ends at once as well.
func TestCancel_BeforeItBegins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Executors.Stop()
	op := w.create(parent, "b1", "db")
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(op.GetName()); op.GetError().GetCode() != int32(codes.Canceled) {
		t.Errorf("operation %v", op)
	}
	w.Executors.Start()
}

func TestCancel_OfWhatHasEnded(t *testing.T) { // case 23, (b) 34, 35, 36
	t.Parallel()
	w := setup(t)
	op := w.ready(parent, "b1", "db")
	was := w.operation(op.GetName())
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if now := w.operation(op.GetName()); !proto.Equal(was, now) {
		t.Errorf("was %v\nis %v", was, now)
	}
	for _, name := range []string{parent + "/backups/b1/operations/_auto_op_0123456789abcdef", parent + "/backups/b1/operations/x", parent + "/operations/x",
		parent + "/databases/db/operations/x", "projects/acme/instanceConfigs/c/operations/x", parent + "/backups/other/operations/" + lastOf(op.GetName())} {
		refused(t, name, w.cancel(name), codes.NotFound, "Operation not found: "+name)
		_, err := w.ops.GetOperation(w.ctx(), &longrunningpb.GetOperationRequest{Name: name})
		refused(t, name, err, codes.NotFound, "Operation not found: "+name)
		w.rest("GET", name, "", 404)
	}
	_, err := w.ops.GetOperation(w.ctx(), &longrunningpb.GetOperationRequest{Name: "some/thing"})
	refused(t, "malformed", err, codes.InvalidArgument, "Invalid operation uri: some/thing")
}

// (b) 29: a backup that is being made is cancelled when it is deleted, and its place is free.
func TestCancel_ByDeletion(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	if err := w.Hand.Started(w.ctx(), w.id("b1")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: parent + "/backups/b1"}); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(op.GetName()); op.GetError().GetCode() != int32(codes.Canceled) {
		t.Errorf("operation %v", op)
	}
	w.create(parent, "b1", "db")
}

// A creation that was faster than its cancel stays, and one that is being deleted goes.
func TestCancel_LosesTheRace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	if err := w.Hand.Started(w.ctx(), w.id("b1")); err != nil {
		t.Fatal(err)
	}
	w.Hand.Finish(w.id("b1"), nil) // done before the cancel comes
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(op.GetName()); op.GetResponse() == nil || metadata(t, op).GetProgress().GetProgressPercent() != 100 {
		t.Errorf("operation %v", op)
	}
	if b := w.backup(parent + "/backups/b1"); b.GetState() != databasepb.Backup_READY {
		t.Errorf("backup %v", b)
	}
}

// Whoever wins, completion or cancel: the operation has one end, and the backup is there or not as it says.
func TestCancel_RacesTheEnd(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for n := range 6 {
		id := fmt.Sprintf("b%d", n)
		op := w.create(parent, id, id)
		bk := w.id(id)
		if err := w.Hand.Started(w.ctx(), bk); err != nil {
			t.Fatal(err)
		}
		atOnce(2, func(i int) {
			if i == 0 {
				w.Hand.Finish(bk, nil)
			} else if err := w.cancel(op.GetName()); err != nil {
				t.Error(err)
			}
		})
		op = w.operation(op.GetName())
		_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: parent + "/backups/" + id})
		if !op.GetDone() || (op.GetResponse() != nil) != (err == nil) || op.GetResponse() == nil && op.GetError().GetCode() != int32(codes.Canceled) {
			t.Errorf("%v, %v", op, err)
		}
		if again := w.operation(op.GetName()); !proto.Equal(op, again) {
			t.Errorf("was %v\nis %v", op, again)
		}
	}
}

func TestOperations_WaitAndWhatIsNotThere(t *testing.T) { // (b) 37, 38, 39
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	got, err := w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName(), Timeout: durationpb.New(0)})
	if err != nil || got.GetDone() {
		t.Errorf("not done yet: %v, %v", got, err)
	}
	w.Hand.Finish(w.id("b1"), nil)
	got, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName(), Timeout: durationpb.New(time.Minute)})
	if err != nil || got.GetResponse() == nil {
		t.Errorf("done: %v, %v", got, err)
	}
	_, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName(), Timeout: durationpb.New(-time.Second)})
	refused(t, "a negative timeout", err, codes.InvalidArgument, "")
	_, err = w.ops.DeleteOperation(w.ctx(), &longrunningpb.DeleteOperationRequest{Name: op.GetName()})
	refused(t, "delete", err, codes.Unimplemented, "")
	w.rest("DELETE", op.GetName(), "", 501)
	_, err = w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: parent + "/backups/b1/operations", ReturnPartialSuccess: true})
	refused(t, "partial success", err, codes.Unimplemented, "")
	w.rest("GET", parent+"/backups/b1/operations?returnPartialSuccess=true", "", 501)
}

func TestProgress_NeverGoesBack(t *testing.T) { // case 7
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	id := w.id("b1")
	if err := w.Hand.Started(w.ctx(), id); err != nil {
		t.Fatal(err)
	}
	last := int32(0)
	for _, told := range []struct{ attempt, percent, want int }{{1, 10, 10}, {1, 40, 40}, {2, 5, 40}, {2, 90, 90}, {2, 100, 99}} {
		w.tell(id, told.attempt, told.percent)
		p := metadata(t, w.operation(op.GetName())).GetProgress().GetProgressPercent()
		if p != int32(told.want) || p < last {
			t.Errorf("%d after %d, want %d", p, last, told.want)
		}
		last = p
	}
	w.finish("b1", nil)
	if p := metadata(t, w.operation(op.GetName())).GetProgress().GetProgressPercent(); p != 100 {
		t.Errorf("at the end: %d", p)
	}
}

func TestProgress_IsFrozenByACancel(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.create(parent, "b1", "db")
	id := w.id("b1")
	if err := w.Hand.Started(w.ctx(), id); err != nil {
		t.Fatal(err)
	}
	w.tell(id, 1, 40)
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if p := metadata(t, w.operation(op.GetName())).GetProgress().GetProgressPercent(); p != 40 {
		t.Errorf("%d", p)
	}
}

// tell stores a progress as the tracker does.
func (w world) tell(id string, attempt, percent int) {
	w.t.Helper()
	p := events.Progress{BackupID: id, Project: "acme", Provider: "spanner", Instance: "orders", Attempt: attempt, Ordinal: percent, Phase: events.Copying, Percent: &percent}
	if err := w.View.SaveProgress(w.ctx(), p); err != nil {
		w.t.Fatal(err)
	}
}
