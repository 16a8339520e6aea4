package gaussdb

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// failing is an intake that answers with one error, or in which a backup moves on between two reads.
type failing struct {
	Intake
	err    error
	states []events.State
	reads  int
}

func (f *failing) Listed(context.Context, string, lifecycle.Listing, int, int) ([]events.Backup, int, error) {
	return nil, 0, f.err
}

func (f *failing) BackupByGaussDB(context.Context, string, string) (events.Backup, error) {
	f.reads++
	return events.Backup{Project: "p", Instance: "orders", Trigger: events.OnDemand, State: f.states[min(f.reads, len(f.states))-1]}, nil
}

func (f *failing) Delete(context.Context, intake.Change) (intake.Receipt, error) {
	return intake.Receipt{}, f.err
}

func answerOf(t *testing.T, in Intake, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	d, err := New(in, time.Now, slog.New(slog.DiscardHandler), Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w
}

func TestErrors_OfIntake(t *testing.T) { // gaussdb.md 8, rows 14 and 41
	t.Parallel()
	for _, c := range []struct {
		err   error
		want  *apiError
		after string
	}{
		{&intake.Error{Kind: intake.Exhausted, Reason: intake.QuotaExceeded}, errThrottled, "1"},
		{&intake.Error{Kind: intake.Unavailable, Reason: intake.BusUnavailable}, errServer, ""},
		{&intake.Error{Kind: intake.Internal, Reason: intake.Fault}, errServer, ""},
		{errors.New("the view is at 10.0.0.1"), errServer, ""},
		{context.Canceled, errServer, ""},
		{&intake.Error{Kind: intake.Conflict, Reason: intake.NameTaken}, errBusy, ""},
		{&intake.Error{Kind: intake.Invalid, Reason: intake.SchemaViolation}, errParameter, ""},
	} {
		w := answerOf(t, &failing{err: c.err}, http.MethodGet, "/v3/p/backups")
		if w.Code != c.want.status || !strings.Contains(w.Body.String(), c.want.code) || w.Header().Get("Retry-After") != c.after || strings.Contains(w.Body.String(), "10.0.0.1") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestDelete_ThatLostToAnotherOne(t *testing.T) { // rows 31 and 33
	t.Parallel()
	lost := &intake.Error{Kind: intake.Conflict, Reason: intake.NotDeletable}
	for then, want := range map[events.State]*apiError{lifecycle.DeletionPending: errNoBackup, lifecycle.Deleted: errNoBackup, lifecycle.Successful: errBackupState} {
		w := answerOf(t, &failing{err: lost, states: []events.State{lifecycle.Successful, then}}, http.MethodDelete, "/v3/p/backups/x")
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.code) {
			t.Errorf("%s: %d %s", then, w.Code, w.Body)
		}
	}
}

// Every code of the service has a Chinese text, and none of the gateway.
func TestErrors_HaveBothLanguages(t *testing.T) { // 5.4
	t.Parallel()
	for _, e := range []*apiError{errPath, errMethod, errRequest, errTooLarge, errThrottled, errProject, errAction, errNull, errParameter, errInstanceID, errName, errDescription,
		errLimit, errTime, errStart, errKeepDays, errPeriod, errLevel1, errNoInstance, errNoBackup, errNoJob, errBackupState, errFrozen, errBackingUp, errBusy, errType, errServer} {
		chinese := strings.ContainsFunc(e.envelope(zhCN, "id").Message, func(r rune) bool { return unicode.Is(unicode.Han, r) })
		if chinese == strings.HasPrefix(e.code, "APIGW.") || e.message == "" || e.envelope("", "id").Message != e.message {
			t.Errorf("%s: %+v", e.code, e.envelope(zhCN, "id"))
		}
	}
}
