package spanner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// The instances of these tests: one of provider spanner that names no databases, one that names three, and files.
const (
	parent = "projects/acme/instances/orders"
	named  = "projects/acme/instances/named"
	files  = "projects/acme/instances/files"
)

// world is a pipeline with both clients of the door.
type world struct {
	*pipelinetest.Pipeline
	t     *testing.T
	admin databasepb.DatabaseAdminClient
	ops   longrunningpb.OperationsClient
	conn  *grpc.ClientConn
}

func setup(t *testing.T) world {
	t.Helper()
	return setupOver(t, nil)
}

// setupOver is setup over a store of the view.
func setupOver(t *testing.T, s view.Store) world {
	t.Helper()
	return setupWith(t, pipelinetest.Options{Store: s})
}

func setupWith(t *testing.T, o pipelinetest.Options) world {
	t.Helper()
	o.Further = []string{"spanner", "mysql"}
	p := pipelinetest.Start(t, o)
	p.RegisterAs("acme", "orders", "spanner", `{"engine":"spanner"}`)
	p.RegisterAs("acme", "named", "spanner", `{"engine":"spanner","databases":["d1","d2","d3"]}`)
	p.RegisterAs("acme", "files", "sqlite", fmt.Sprintf(`{"engine":"sqlite","file":%q,"files":[%q]}`, p.Dir+"/a.db", p.Dir+"/b.db"))
	conn, err := grpc.NewClient(strings.TrimPrefix(p.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return world{p, t, databasepb.NewDatabaseAdminClient(conn), longrunningpb.NewOperationsClient(conn), conn}
}

func in(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }

// request asks for a backup with an expiry of a day.
func request(of, id, database string) *databasepb.CreateBackupRequest {
	return &databasepb.CreateBackupRequest{Parent: of, BackupId: id, Backup: &databasepb.Backup{Database: of + "/databases/" + database, ExpireTime: in(24 * time.Hour)}}
}

func (w world) create(of, id, database string) *longrunningpb.Operation {
	w.t.Helper()
	op, err := w.admin.CreateBackup(w.t.Context(), request(of, id, database))
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

// id is our id of a backup that was asked for under a name.
func (w world) id(name string) string {
	w.t.Helper()
	all := w.Events("acme")
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Entity() != events.Backups {
			continue
		}
		b, err := events.Decode[events.Backup](all[i].Event)
		if err != nil {
			w.t.Fatal(err)
		}
		if b.IDs.Spanner == name {
			return b.BackupID
		}
	}
	w.t.Fatalf("no backup %s in the log", name)
	return ""
}

// ready makes a backup that is there.
func (w world) ready(of, id, database string) *longrunningpb.Operation {
	w.t.Helper()
	op := w.create(of, id, database)
	w.finish(id, nil)
	return op
}

// finish ends the work on a backup.
func (w world) finish(id string, err error) {
	w.t.Helper()
	bk := w.id(id)
	w.Hand.Finish(bk, err)
	step := events.Succeeded
	if err != nil {
		step = events.Failed
	}
	w.Await("acme", bk, step)
}

func (w world) backup(name string) *databasepb.Backup {
	w.t.Helper()
	b, err := w.admin.GetBackup(w.t.Context(), &databasepb.GetBackupRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w world) operation(name string) *longrunningpb.Operation {
	w.t.Helper()
	op, err := w.ops.GetOperation(w.t.Context(), &longrunningpb.GetOperationRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

func (w world) list(r *databasepb.ListBackupsRequest) (ids []string) {
	w.t.Helper()
	if r.Parent == "" {
		r.Parent = parent
	}
	resp, err := w.admin.ListBackups(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%s: %v", r.GetFilter(), err)
	}
	for _, b := range resp.GetBackups() {
		ids = append(ids, b.GetName()[strings.LastIndexByte(b.GetName(), '/')+1:])
	}
	return ids
}

func metadata(t *testing.T, op *longrunningpb.Operation) *databasepb.CreateBackupMetadata {
	t.Helper()
	var m databasepb.CreateBackupMetadata
	if err := op.GetMetadata().UnmarshalTo(&m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// refused wants a code, and a text if it is not empty.
func refused(t *testing.T, what string, err error, code codes.Code, text string) *status.Status {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code || text != "" && st.Message() != text {
		t.Errorf("%s: %s %q, want %s %q", what, st.Code(), st.Message(), code, text)
	}
	return st
}

// about wants the one ResourceInfo of an error.
func about(t *testing.T, st *status.Status, kind, name, description string) {
	t.Helper()
	for _, d := range st.Details() {
		if r, ok := d.(*errdetails.ResourceInfo); ok {
			want := &errdetails.ResourceInfo{ResourceType: "type.googleapis.com/google.spanner.admin." + kind, ResourceName: name, Description: description}
			if !proto.Equal(want, r) {
				t.Errorf("%s: resource %v, want %v", st.Message(), r, want)
			}
			return
		}
	}
	t.Errorf("%s: no ResourceInfo", st.Message())
}

// answer is a JSON answer, whatever it holds.
type answer map[string]any

// rest calls the REST side; the answer must have the code and the content type of spanner.md 6.
func (w world) rest(method, path, body string, code int) answer {
	w.t.Helper()
	return w.restAs(nil, method, path, body, code)
}

func (w world) restAs(h http.Header, method, path, body string, code int) answer {
	w.t.Helper()
	got, header, raw := w.CallHeaders(method, "/v1/"+path, body, h)
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		w.t.Fatalf("%s %s: %d, no JSON: %s", method, path, got, raw)
	}
	if got != code || header.Get("Content-Type") != "application/json; charset=UTF-8" {
		w.t.Errorf("%s %s: %d %s %s, want %d", method, path, got, header.Get("Content-Type"), raw, code)
	}
	if e, ok := a["error"].(map[string]any); ok && got != http.StatusOK {
		if n, _ := e["code"].(float64); int(n) != got || e["status"] == nil || e["message"] == nil {
			w.t.Errorf("%s %s: body is not in itself right: %s", method, path, raw)
		}
	}
	return a
}

func (a answer) at(path string) any {
	var v any = map[string]any(a)
	for _, k := range strings.Split(path, "/") {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func (w world) ctx() context.Context { return w.t.Context() }

func lastOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// operations are the names of a page of operations.
func (w world) operations(r *databasepb.ListBackupOperationsRequest) (names []string) {
	w.t.Helper()
	if r.Parent == "" {
		r.Parent = parent
	}
	resp, err := w.admin.ListBackupOperations(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%s: %v", r.GetFilter(), err)
	}
	for _, op := range resp.GetOperations() {
		names = append(names, op.GetName())
	}
	return names
}

// schedule is a schedule of a database as the log has it.
func (w world) schedule(t *testing.T, name, database string) events.Schedule {
	t.Helper()
	_, err := w.admin.CreateBackupSchedule(w.t.Context(), &databasepb.CreateBackupScheduleRequest{Parent: parent + "/databases/" + database, BackupScheduleId: name, BackupSchedule: daily()})
	if err != nil {
		t.Fatal(err)
	}
	var last events.Schedule
	for _, e := range w.Events("acme") {
		if e.Entity() == events.Schedules {
			if last, err = events.Decode[events.Schedule](e.Event); err != nil {
				t.Fatal(err)
			}
		}
	}
	return last
}

// daily is a schedule that comes once a day, at an hour that is not near.
func daily() *databasepb.BackupSchedule {
	hour := time.Now().UTC().Add(12 * time.Hour).Hour()
	return &databasepb.BackupSchedule{RetentionDuration: durationpb.New(30 * 24 * time.Hour),
		Spec:           &databasepb.BackupScheduleSpec{ScheduleSpec: &databasepb.BackupScheduleSpec_CronSpec{CronSpec: &databasepb.CrontabSpec{Text: fmt.Sprintf("0 %d * * *", hour)}}},
		BackupTypeSpec: &databasepb.BackupSchedule_FullBackupSpec{FullBackupSpec: &databasepb.FullBackupSpec{}}}
}
