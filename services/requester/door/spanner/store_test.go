package spanner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// spy is a store that counts the records of backups that are read, and that may have lost what is told of progress.
type spy struct {
	view.Store
	records atomic.Int64
	broken  atomic.Bool
}

func (s *spy) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	for _, k := range keys {
		if strings.Contains(k, ":doc:backup:") {
			s.records.Add(1)
		}
		if s.broken.Load() && strings.Contains(k, ":progress:") {
			return nil, errors.New("the store is away")
		}
	}
	return s.Store.Get(ctx, keys...)
}

// read is how many records a call reads.
func (s *spy) read(f func()) int64 {
	before := s.records.Load()
	f()
	return s.records.Load() - before
}

// What ListBackups and the operations of one backup cost does not grow with the backups that are gone.
func TestLists_CostWhatTheyShow(t *testing.T) {
	t.Parallel()
	s := &spy{Store: view.NewMemory(time.Now)}
	w := setupOver(t, s)
	w.ready(parent, "kept", "db")
	lists := map[string]func(){
		"backups": func() { w.list(&databasepb.ListBackupsRequest{}) },
		"operations of a backup": func() {
			resp, err := w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: parent + "/backups/kept/operations"})
			if err != nil || len(resp.GetOperations()) != 1 {
				t.Errorf("%v, %v", resp, err)
			}
		},
	}
	before := map[string]int64{}
	for what, list := range lists {
		before[what] = s.read(list)
	}
	for n := range 8 {
		if err := w.cancel(w.create(parent, fmt.Sprintf("gone%d", n), "db").GetName()); err != nil {
			t.Fatal(err)
		}
	}
	for what, list := range lists {
		if n := s.read(list); n != before[what] {
			t.Errorf("%s: %d records read, %d before", what, n, before[what])
		}
	}
}

// Where the percentage cannot be read nobody is told 0, which would be a step back.
func TestProgress_ThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &spy{Store: view.NewMemory(time.Now)}
	w := setupOver(t, s)
	op := w.create(parent, "b1", "db")
	w.tell(w.id("b1"), 1, 40)
	s.broken.Store(true)
	_, err := w.ops.GetOperation(w.ctx(), &longrunningpb.GetOperationRequest{Name: op.GetName()})
	refused(t, "get", err, codes.Unavailable, "")
	_, err = w.admin.ListBackupOperations(w.ctx(), &databasepb.ListBackupOperationsRequest{Parent: parent})
	refused(t, "list", err, codes.Unavailable, "")
	s.broken.Store(false)
	if p := metadata(t, w.operation(op.GetName())).GetProgress().GetProgressPercent(); p != 40 {
		t.Errorf("afterwards: %d", p)
	}
}

// What was accepted is answered so, whether the percentage can be read or not.
func TestCreate_WhereProgressCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &spy{Store: view.NewMemory(time.Now)}
	w := setupOver(t, s)
	s.broken.Store(true)
	op := w.create(files, "b1", "a.db")
	if op.GetDone() || metadata(t, op).GetProgress().GetProgressPercent() != 0 {
		t.Errorf("%v", op)
	}
	w.finish("b1", nil)
	if op, err := w.copy(files, "c1", files+"/backups/b1", in(24*time.Hour)); err != nil || op.GetDone() {
		t.Errorf("copy: %v, %v", op, err)
	}
}
