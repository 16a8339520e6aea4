package spanner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	wire "google.golang.org/grpc/metadata"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/spanner"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Events carry the trace of the request that caused them, whatever its protocol.
func TestTrace_OfBothProtocols(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const overGRPC, overREST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := wire.AppendToOutgoingContext(w.ctx(), "traceparent", overGRPC, "tracestate", "a=1")
	if _, err := w.admin.CreateBackup(ctx, request(parent, "b1", "db")); err != nil {
		t.Fatal(err)
	}
	code, _, raw := w.CallHeaders(http.MethodPost, "/v1/"+parent+"/backups?backupId=b2", `{"database":"`+parent+`/databases/db2","expireTime":"`+in(24*time.Hour).AsTime().Format(time.RFC3339)+`"}`, http.Header{"Traceparent": {overREST}})
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, raw)
	}
	for id, want := range map[string]string{w.id("b1"): overGRPC, w.id("b2"): overREST} {
		if e := w.Await("acme", id, events.Requested); e.TraceParent != want || (want == overGRPC) != (e.TraceState == "a=1") {
			t.Errorf("%s: %q %q, want %q", e.ID, e.TraceParent, e.TraceState, want)
		}
	}
}

// gone is a use case whose callers do not wait for it.
type gone struct{ spanner.Intake }

func (gone) Instance(ctx context.Context, _, _ string) (events.Instance, error) {
	<-ctx.Done()
	return events.Instance{}, errors.Join(errors.New("the log"), ctx.Err())
}

// Whoever goes, or has no time left, gets that said, and our log has no error of it.
func TestErrors_OfCallersWhoGo(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	door, err := spanner.New(gone{}, nil, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for what, c := range map[string]struct {
		ctx    context.Context
		code   int
		status string
	}{"cancelled": {ended, 499, `"CANCELLED"`}, "late": {late, 504, `"DEADLINE_EXCEEDED"`}} {
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, httptest.NewRequestWithContext(c.ctx, http.MethodGet, "/v1/"+parent+"/backups", nil))
		if body := rec.Body.String(); rec.Code != c.code || !strings.Contains(body, c.status) || strings.Contains(body, "Idempotency") {
			t.Errorf("%s: %d %s", what, rec.Code, body)
		}
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// slow is a use case with one backup that is being made, whose cancel takes its time.
type slow struct {
	spanner.Intake
	t     *testing.T
	asked time.Time
}

func (*slow) backup() events.Backup {
	return events.Backup{BackupID: "bk_a", Project: "acme", Provider: "spanner", Instance: "orders", State: lifecycle.Running, MaxAttempts: 1,
		IDs: events.NewBackupIDs("bk_a", "b1", time.Unix(1, 0)), Trigger: events.OnDemand}
}

func (*slow) Instance(context.Context, string, string) (events.Instance, error) {
	return events.Instance{Project: "acme", Provider: "spanner", Instance: "orders"}, nil
}

func (s *slow) BackupBySpanner(context.Context, string, string, string) (events.Backup, error) {
	return s.backup(), nil
}

func (s *slow) Backup(context.Context, string, string) (events.Backup, error) {
	return s.backup(), nil
}

func (s *slow) ShortOperation(context.Context, string, string) (lifecycle.Operation, error) {
	return lifecycle.OperationsOf(s.backup())[0], nil
}

func (s *slow) Cancel(context.Context, intake.Change) (intake.Receipt, error) {
	s.asked = time.Now()
	return intake.Receipt{}, nil
}

func (s *slow) Settled(ctx context.Context, _, _ string) (events.Backup, error) {
	if end, ok := ctx.Deadline(); !ok || end.After(s.asked.Add(8*time.Second)) {
		s.t.Errorf("waits until %s of a cancel that began before %s", end, s.asked)
	}
	return s.backup(), nil
}

// How long a call waits counts from its beginning, not from when the cancel was stored: Google's Go client gives up
// after ten seconds (spanner.md 4.8).
func TestCancel_WaitsFromItsBeginning(t *testing.T) {
	t.Parallel()
	s := &slow{t: t}
	door, err := spanner.New(s, nil, time.Now, pipelinetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	id := strings.ReplaceAll(lifecycle.OperationsOf(s.backup())[0].ID, "-", "")[:16]
	for path, code := range map[string]int{parent + "/backups/b1/operations/_auto_op_" + id + ":cancel": http.StatusOK, parent + "/backups/b1": http.StatusServiceUnavailable} {
		method := http.MethodPost
		if code != http.StatusOK {
			method = http.MethodDelete
		}
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/v1/"+path, nil))
		if rec.Code != code || s.asked.IsZero() {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
