package cloudsql

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// moving is an intake in which a backup has gone since it was read first.
type moving struct {
	Intake
	first, then events.Backup
}

func (m moving) Instance(context.Context, string, string) (events.Instance, error) {
	return events.Instance{Project: "acme", Instance: "orders", Provider: "sqlite"}, nil
}

func (m moving) BackupByCloudSQL(context.Context, string, string, string) (events.Backup, error) {
	return m.first, nil
}

func (m moving) Backup(context.Context, string, string) (events.Backup, error) { return m.then, nil }

func (m moving) Backups(context.Context, string, string, string, int) ([]events.Backup, string, error) {
	return []events.Backup{m.first, m.then}, "", nil
}

func (m moving) Delete(context.Context, intake.Change) (intake.Receipt, error) {
	return intake.Receipt{}, &intake.Error{Kind: intake.Conflict, Reason: intake.NotDeletable, Message: "it moved on"}
}

func race(t *testing.T, then events.State, method, path string, into any) int {
	t.Helper()
	first := events.Backup{Project: "acme", Instance: "orders", BackupID: "bk_a", State: lifecycle.Successful, IDs: events.BackupIDs{CloudSQL: "5"}}
	now := first
	now.State, now.IDs.CloudSQL = then, "4"
	d := New(moving{first: first, then: now}, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/sql/v1beta4/projects/acme/instances/orders/backupRuns"+path, http.NoBody))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code
}

func TestDelete_ThatLostToAnotherOne(t *testing.T) { // B9, B10
	t.Parallel()
	for then, want := range map[events.State]*apiError{lifecycle.Deleted: errGone, lifecycle.DeletionPending: errInProgress} {
		var e envelope
		if code := race(t, then, http.MethodDelete, "/5", &e); code != want.code || e.Error.Errors[0].Reason != want.reason {
			t.Errorf("%s: %d %+v, want %d %s", then, code, e, want.code, want.reason)
		}
	}
}

func TestList_LeavesOutWhatWentWhileItWasRead(t *testing.T) { // PD-3
	t.Parallel()
	for then, want := range map[events.State]int{lifecycle.Deleted: 1, lifecycle.DeletionPending: 2} {
		var l backupRunsList
		if race(t, then, http.MethodGet, "", &l); len(l.Items) != want || l.Items[0].ID != "5" {
			t.Errorf("%s: %+v", then, l.Items)
		}
	}
}

func TestLinks_HaveTheSchemeThatTheClientCalled(t *testing.T) { // cloudsql.md 2.2
	t.Parallel()
	for _, c := range []struct {
		trust        bool
		header, want string
	}{
		{false, "", "http"}, {false, "https", "http"}, {true, "", "http"}, {true, "https", "https"}, {true, "HTTPS, http", "https"}, {true, "gopher", "http"},
	} {
		d := New(moving{}, nil, time.Now, slog.New(slog.DiscardHandler), Config{TrustForwarded: c.trust})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/x", http.NoBody)
		r.Header.Set("X-Forwarded-Proto", c.header)
		if got := d.base(r, v1); got != c.want+"://example.com/v1/" {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
