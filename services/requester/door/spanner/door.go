// Package spanner is the door that speaks the Cloud Spanner database admin API of backups, over gRPC and REST on one
// port (spanner.md): Google's own clients work against it by changing only the endpoint.
package spanner

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress (spanner.md 7)
	"google.golang.org/grpc/metadata"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Cancel(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Amend(ctx context.Context, c intake.Amend) (intake.Receipt, error)
	Restore(ctx context.Context, c intake.Restore) (intake.RestoreReceipt, error)
	Plan(ctx context.Context, c intake.Plan) (events.Schedule, error)
	DeleteSchedule(ctx context.Context, c intake.Unplan) (events.Schedule, error)

	Backup(ctx context.Context, project, id string) (events.Backup, error)
	// BackupBySpanner is the one that stands under an id: being made, or there to stay.
	BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error)
	// Standing are those that BackupBySpanner finds, in the order of lifecycle.CreationKey.
	Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	// Creations are those asked for since a moment, gone ones too, and older ones that are being made; name may be empty.
	Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error)
	// Restorals are the restores into a database, likewise, in the order of lifecycle.RestoreKey.
	Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error)
	// Settled is a backup as soon as the work on it has ended, or as it stands when ctx ends.
	Settled(ctx context.Context, project, id string) (events.Backup, error)
	// Removed is a backup as soon as no deletion of it is under way, or as it stands when ctx ends.
	Removed(ctx context.Context, project, id string) (events.Backup, error)
	SettledRestore(ctx context.Context, project, id string) (events.Restore, error)
	// Peaks are the highest percentages that were told of backups and restores, so that none goes back (spanner.md 10).
	Peaks(ctx context.Context, project string, ids []string) (map[string]int, error)
	RestoreByID(ctx context.Context, project, id string) (events.Restore, error)
	RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error)
	CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error)
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error)
	Schedules(ctx context.Context, project, instance, cursor string, limit int) ([]events.Schedule, string, error)
	// ShortOperation finds a creation or a restore by the first 16 hex digits of its operation's id.
	ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error)
}

// Door serves both protocols. What a client cannot ask for here is UNIMPLEMENTED.
type Door struct {
	intake Intake
	ring   *access.Ring
	now    func() time.Time
	log    *slog.Logger
	grpc   *grpc.Server
	rest   http.Handler
}

var _ http.Handler = (*Door)(nil)

// New makes the door. ring says who may do what.
func New(in Intake, ring *access.Ring, now func() time.Time, l *slog.Logger) (*Door, error) {
	d := &Door{intake: in, ring: ring, now: now, log: l}
	d.grpc = grpc.NewServer(grpc.UnaryInterceptor(d.intercept), grpc.MaxRecvMsgSize(maxBody))
	admin, operations := &adminServer{door: d}, &operationsServer{door: d}
	databasepb.RegisterDatabaseAdminServer(d.grpc, admin)
	longrunningpb.RegisterOperationsServer(d.grpc, operations)
	var err error
	d.rest, err = newREST(d, admin, operations)
	return d, err
}

// maxBody bounds a request on either protocol.
const maxBody = 1 << 20

type adminServer struct {
	databasepb.UnimplementedDatabaseAdminServer
	door *Door
}

type operationsServer struct {
	longrunningpb.UnimplementedOperationsServer
	door *Door
}

// ServeHTTP gives gRPC to the gRPC server and everything else to the REST routes (spanner.md 9).
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if IsGRPC(r) {
		d.grpc.ServeHTTP(w, r)
		return
	}
	d.rest.ServeHTTP(w, r)
}

// IsGRPC tells a gRPC call from any other request on the port.
func IsGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// Owns tells whether a REST path is of the Spanner API. Cloud SQL's version 1 has the prefix /v1/ too; what is below an
// instance tells them apart:
//
//	/v1/projects/{p}/instances/{i}/backups…             Spanner (Cloud SQL: backupRuns)
//	/v1/projects/{p}/instances/{i}/backupOperations
//	/v1/projects/{p}/instances/{i}/databases…
//	/v1/projects/{p}/instances/{i}/databaseOperations
//	/v1/projects/{p}/instances/{i}/operations…          Spanner (Cloud SQL: of the project)
//	/v1/projects/{p}/instanceConfigs/…
func Owns(path string) bool {
	rest, ok := strings.CutPrefix(path, "/v1/projects/")
	if !ok {
		return false
	}
	s := strings.Split(rest, "/") // project, collection, its id, and what is below
	if len(s) < 4 {
		return false
	}
	if s[1] == "instanceConfigs" {
		return true
	}
	collection, _, _ := strings.Cut(s[3], ":")
	switch collection {
	case "backups", "backupOperations", "databases", "databaseOperations", "operations":
		return s[1] == "instances"
	}
	return false
}

// caller is who asks. Both protocols have their headers in the metadata.
func caller(ctx context.Context) intake.Caller {
	md, _ := metadata.FromIncomingContext(ctx)
	return intake.Caller{Door: "spanner", Name: access.From(ctx).Name(), Trace: events.Trace{Parent: first(md, "traceparent"), State: first(md, "tracestate")}}
}
