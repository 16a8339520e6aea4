package spanner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// restorer is a Hand that can put copies back, when the test says so.
type restorer struct {
	*pipelinetest.Hand
	percents chan int64
	ends     chan error
}

func (r restorer) Restore(ctx context.Context, j executor.RestoreJob) (int64, error) {
	for {
		select {
		case n := <-r.percents:
			j.Report(executor.Progress{Phase: events.Copying, BytesDone: n, BytesTotal: 100})
		case err := <-r.ends:
			return 4096, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Copies implements executor.Copier.
func (restorer) Copies() {}

func restoring(t *testing.T) (world, restorer) {
	t.Helper()
	return restoringOver(t, nil)
}

// restoringOver is restoring over a store of the view.
func restoringOver(t *testing.T, s view.Store) (world, restorer) {
	t.Helper()
	r := restorer{pipelinetest.NewHand(), make(chan int64), make(chan error)}
	p := pipelinetest.Start(t, pipelinetest.Options{Store: s, Providers: []executors.Provider{{Name: "sqlite", Capabilities: executor.Capabilities{PollEvery: 20 * time.Millisecond},
		Open: func(context.Context, executors.Shared) (executors.Opened, error) { return r, nil }}}})
	p.Hand = r.Hand
	p.RegisterAs("acme", "files", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q,"files":[%q]}`, p.Dir+"/a.db", p.Dir+"/b.db"))
	p.RegisterAs("acme", "copy", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q}`, p.Dir+"/c.db"))
	conn, err := grpc.NewClient(strings.TrimPrefix(p.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return world{p, t, databasepb.NewDatabaseAdminClient(conn), longrunningpb.NewOperationsClient(conn), conn}, r
}

func (w world) restore(into, database, backup string) (*longrunningpb.Operation, error) {
	return w.admin.RestoreDatabase(w.ctx(), &databasepb.RestoreDatabaseRequest{Parent: into, DatabaseId: database, Source: &databasepb.RestoreDatabaseRequest_Backup{Backup: backup}})
}

func TestRestore_HoldsItsBackup(t *testing.T) { // case 27, (b) 27
	t.Parallel()
	w, r := restoring(t)
	w.ready(files, "b1", "a.db")
	name := files + "/backups/b1"
	for _, c := range []struct{ into, database string }{{files, "b.db"}, {"projects/acme/instances/copy", "c.db"}} {
		op, err := w.restore(c.into, c.database, name)
		if err != nil {
			t.Fatal(err)
		}
		target := c.into + "/databases/" + c.database
		var m databasepb.RestoreDatabaseMetadata
		if err := op.GetMetadata().UnmarshalTo(&m); err != nil || op.GetDone() || !strings.HasPrefix(op.GetName(), target+"/operations/_auto_op_") ||
			m.GetName() != target || m.GetBackupInfo().GetBackup() != name || m.GetBackupInfo().GetSourceDatabase() != files+"/databases/a.db" {
			t.Errorf("%v, %v, %v", op, &m, err)
		}
		if dbs := w.backup(name).GetReferencingDatabases(); len(dbs) != 1 || dbs[0] != target {
			t.Errorf("referencing %v", dbs)
		}
		_, err = w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: name})
		refused(t, "delete", err, codes.FailedPrecondition, "Backup "+name+" cannot be deleted at the moment because it is still in use by 1 databases for pending restore activity. Please try deleting the backup once the restore or post-restore optimize operations have completed on these databases. The databases using this backup are displayed in the UI in the Backups table `In use by` column, and returned by the GetBackup API.")
		_, err = w.ops.CancelOperation(w.ctx(), &longrunningpb.CancelOperationRequest{Name: op.GetName()})
		refused(t, "cancel", err, codes.Unimplemented, "")
		r.ends <- nil
		got, err := w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()})
		var made databasepb.Database
		if err != nil || got.GetResponse().UnmarshalTo(&made) != nil || made.GetName() != target || made.GetState() != databasepb.Database_READY {
			t.Fatalf("%v, %v", got, err)
		}
		list, err := w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: target + "/operations", Filter: "metadata.@type:RestoreDatabaseMetadata AND done:true"})
		if err != nil || len(list.GetOperations()) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		if dbs := w.backup(name).GetReferencingDatabases(); dbs != nil {
			t.Errorf("after the restore: %v", dbs)
		}
	}
	if names := w.operations(&databasepb.ListBackupOperationsRequest{Parent: files}); len(names) != 1 { // restores are not among them
		t.Errorf("operations %v", names)
	}
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: name}); err != nil {
		t.Error(err)
	}
}

func TestRestore_ShowsItsPercentWhichIs100OnlyAtTheEnd(t *testing.T) { // case 7, of a restore
	t.Parallel()
	w, r := restoring(t)
	w.ready(files, "b1", "a.db")
	op, err := w.restore(files, "b.db", files+"/backups/b1")
	if err != nil {
		t.Fatal(err)
	}
	percent := func() int32 {
		var m databasepb.RestoreDatabaseMetadata
		if err := w.operation(op.GetName()).GetMetadata().UnmarshalTo(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetProgress().GetProgressPercent()
	}
	if p := percent(); p != 0 {
		t.Errorf("before it was told of: %d", p)
	}
	for _, told := range []struct {
		percent int64
		want    int32
	}{{40, 40}, {100, 99}} {
		r.percents <- told.percent
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(pipelinetest.Patience); percent() != told.want; <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("%d percent show as %d", told.percent, percent())
			}
		}
	}
	r.ends <- nil
	if _, err := w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil {
		t.Fatal(err)
	}
	if p := percent(); p != 100 {
		t.Errorf("at its end: %d", p)
	}
}

// What was accepted is answered so, whether the percentage can be read or not; who asks later is not told a step back.
func TestRestore_WhereProgressCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &spy{Store: view.NewMemory(time.Now)}
	w, r := restoringOver(t, s)
	w.ready(files, "b1", "a.db")
	s.broken.Store(true)
	op, err := w.restore(files, "b.db", files+"/backups/b1")
	if err != nil || op.GetDone() {
		t.Fatalf("%v, %v", op, err)
	}
	_, err = w.ops.GetOperation(w.ctx(), &longrunningpb.GetOperationRequest{Name: op.GetName()})
	refused(t, "get", err, codes.Unavailable, "")
	_, err = w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: files + "/databases/b.db/operations"})
	refused(t, "list", err, codes.Unavailable, "")
	s.broken.Store(false)
	r.ends <- nil
	if _, err := w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil {
		t.Error(err)
	}
}

func TestRestore_Refusals(t *testing.T) {
	t.Parallel()
	w, r := restoring(t)
	w.ready(files, "b1", "a.db")
	name := files + "/backups/b1"
	w.create(files, "b2", "b.db")
	for _, c := range []struct {
		what, into, database, backup string
		code                         codes.Code
	}{
		{"no id", files, "", name, codes.InvalidArgument}, {"a bad backup", files, "b.db", "b1", codes.InvalidArgument}, {"a bad parent", "files", "b.db", name, codes.InvalidArgument},
		{"no such backup", files, "b.db", files + "/backups/none", codes.NotFound}, {"no such instance", "projects/acme/instances/none", "b.db", name, codes.NotFound},
		{"a file that is not named", files, "z.db", name, codes.FailedPrecondition}, {"one that is being made", files, "b.db", files + "/backups/b2", codes.FailedPrecondition},
		{"another project", "projects/other/instances/files", "b.db", name, codes.FailedPrecondition},
	} {
		_, err := w.restore(c.into, c.database, c.backup)
		refused(t, c.what, err, c.code, "")
	}
	op, err := w.restore(files, "b.db", name)
	if err != nil {
		t.Fatal(err)
	}
	r.ends <- &events.Failure{Code: events.AlreadyExists, Category: events.ByUser, Message: "the target holds data"}
	got, err := w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()})
	if err != nil || got.GetError().GetCode() != int32(codes.AlreadyExists) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRestore_OfSpannerItselfIsNotThere(t *testing.T) { // case 55, (b) 56
	t.Parallel()
	w := setup(t)
	w.ready(parent, "b1", "db")
	_, err := w.restore(parent, "other", parent+"/backups/b1")
	refused(t, "restore", err, codes.Unimplemented, "")
	w.rest("POST", parent+"/databases:restore", `{"databaseId":"other","backup":"`+parent+`/backups/b1"}`, 501)
	w.backup(parent + "/backups/b1")
}

// An id with which no name can be built, or that a tool would take for an option, is no database (finding of (b) 8).
func TestRestore_IdsOfDatabases(t *testing.T) {
	t.Parallel()
	w, _ := restoring(t)
	w.ready(files, "b1", "a.db")
	for _, id := range []string{"a/b", ".", "..", "--all-databases", "a\x00b", "a\nb", strings.Repeat("a", 101)} {
		_, err := w.restore(files, id, files+"/backups/b1")
		refused(t, id, err, codes.InvalidArgument, "")
	}
	for _, e := range w.Events("acme") {
		if e.Entity() == events.Restores {
			t.Errorf("stored: %s", e.ID)
		}
	}
}

// A restore is named by what it was of, also when that instance is no longer registered.
func TestRestore_OfAnInstanceThatIsGone(t *testing.T) {
	t.Parallel()
	w, r := restoring(t)
	w.ready(elsewhere, "b1", "c.db")
	op, err := w.restore(files, "b.db", elsewhere+"/backups/b1")
	if err != nil {
		t.Fatal(err)
	}
	r.ends <- nil
	if op, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil || !op.GetDone() {
		t.Fatalf("%v, %v", op, err)
	}
	in := intake.New(w.Bus, w.View, time.Now, pipelinetest.Logger(t), intake.Config{})
	if _, err := in.Deregister(w.ctx(), intake.Deregister{Project: "acme", Instance: "copy"}); err != nil {
		t.Fatal(err)
	}
	if now := w.operation(op.GetName()); !proto.Equal(op, now) {
		t.Errorf("was %v\nis %v", op, now)
	}
}
