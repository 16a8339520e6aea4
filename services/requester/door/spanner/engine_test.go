package spanner_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/sqlite"
)

// engineOf is a pipeline with the real engine of files, which stores so many bytes a second, and two files.
func engineOf(t *testing.T, pace int64) world {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Options{Executors: executors.Config{BytesPerSecond: pace},
		Providers: []executors.Provider{{Name: "sqlite", Capabilities: engine.Capabilities(), Open: func(_ context.Context, s executors.Shared) (executors.Opened, error) {
			e, err := sqlite.New(sqlite.Deps{Now: s.Engine.Now}, sqlite.Config{})
			if err != nil {
				return nil, err
			}
			return engine.New("sqlite", e, s.Engine)
		}}}})
	for _, name := range []string{"a.db", "b.db"} {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 4<<20) // it does not shrink
		_, _ = rand.Read(noise)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (name, noise)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (?, ?)", name, noise); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.RegisterAs("acme", "files", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q,"files":[%q]}`, p.Dir+"/a.db", p.Dir+"/b.db"))
	conn, err := grpc.NewClient(strings.TrimPrefix(p.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return world{p, t, databasepb.NewDatabaseAdminClient(conn), longrunningpb.NewOperationsClient(conn), conn}
}

// objects are the files below the storage.
func (w world) objects() (all []string) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.Dir, "backups"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// A cancel leaves nothing behind, and the same id can be taken at once.
func TestEngine_CancelLeavesNothing(t *testing.T) {
	t.Parallel()
	w := engineOf(t, 256<<10)
	op := w.create(files, "b1", "a.db")
	w.Await("acme", w.id("b1"), events.Started)
	if err := w.cancel(op.GetName()); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(op.GetName()); op.GetError().GetCode() != int32(codes.Canceled) {
		t.Fatalf("operation %v", op)
	}
	if left := w.objects(); left != nil {
		t.Errorf("left in the storage: %v", left)
	}
	again := w.create(files, "b1", "a.db")
	w.Await("acme", w.id("b1"), events.Started)
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: files + "/backups/b1"}); err != nil {
		t.Fatal(err)
	}
	if op = w.operation(again.GetName()); op.GetError().GetCode() != int32(codes.Canceled) {
		t.Errorf("operation %v", op)
	}
	if left := w.objects(); left != nil {
		t.Errorf("left in the storage: %v", left)
	}
}

// The backup of one file does not hold the others, and goes back into a file of its own.
func TestEngine_OneDatabaseAlone(t *testing.T) {
	t.Parallel()
	w := engineOf(t, 0)
	before := time.Now()
	op := w.create(files, "b1", "b.db")
	if metadata(t, op).GetDatabase() != files+"/databases/b.db" {
		t.Errorf("%v", op)
	}
	w.Await("acme", w.id("b1"), events.Succeeded)
	b := w.backup(files + "/backups/b1")
	if v := b.GetVersionTime().AsTime(); b.GetState() != databasepb.Backup_READY || b.GetSizeBytes() < 4<<20 || b.GetSizeBytes() > 6<<20 || v.Before(before.Truncate(time.Millisecond)) || v.Before(b.GetCreateTime().AsTime()) {
		t.Errorf("%v", b)
	}
	if !proto.Equal(b.GetVersionTime(), b.GetCreateTime()) { // none was asked for (case 3)
		t.Errorf("version_time %v, create_time %v", b.GetVersionTime(), b.GetCreateTime())
	}
	if got := w.objects(); len(got) != 2 { // one object and the manifest
		t.Errorf("stored %v", got)
	}
	w.RegisterAs("acme", "copy", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q}`, w.Dir+"/new.db"))
	op, err := w.restore("projects/acme/instances/copy", "new.db", b.GetName())
	if err != nil {
		t.Fatal(err)
	}
	if op, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil || op.GetResponse() == nil {
		t.Fatalf("%v, %v", op, err)
	}
	db, err := sql.Open("sqlite", "file:"+w.Dir+"/new.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var name string
	if err := db.QueryRowContext(w.ctx(), "SELECT name FROM t").Scan(&name); err != nil || name != "b.db" {
		t.Errorf("restored %q, %v", name, err)
	}
	if op, err = w.restore(files, "a.db", b.GetName()); err != nil {
		t.Fatal(err)
	}
	if op, err = w.ops.WaitOperation(w.ctx(), &longrunningpb.WaitOperationRequest{Name: op.GetName()}); err != nil || op.GetError().GetCode() != int32(codes.AlreadyExists) {
		t.Errorf("into one that holds data: %v, %v", op, err)
	}
}
