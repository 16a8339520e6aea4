package gaussdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	d := New(in, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
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

// endless is an intake with more backups than anybody sorts.
type endless struct {
	Intake
	reads int
}

func (e *endless) InstanceByGaussDB(context.Context, string, string) (events.Instance, error) {
	return events.Instance{Project: "p", Instance: "orders"}, nil
}

func (e *endless) Backups(_ context.Context, _, _, _ string, limit int) ([]events.Backup, string, error) {
	e.reads++
	return make([]events.Backup, limit), "on", nil
}

func TestFullList_RefusesWhatCostsTooMuch(t *testing.T) { // 4.10
	t.Parallel()
	const at = "/v3/p/instances/d8e6ca5a624745bcb546a227aa3ae1cfin01/backups"
	for _, query := range []string{"?order_field=name", "?order_field=type", "?filter_field=name&filter_content=none"} {
		in := &endless{}
		w := answerOf(t, in, http.MethodGet, at+query)
		if w.Code != 400 || !strings.Contains(w.Body.String(), errParameter.code) || in.reads != maxFull/readAtOnce+1 {
			t.Errorf("%s: %d %s after %d reads", query, w.Code, w.Body, in.reads)
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

// removable is an intake in which every backup can be deleted, as f says.
type removable struct {
	Intake
	f func(ctx context.Context, id string) error
}

func (d removable) BackupByGaussDB(_ context.Context, _, id string) (events.Backup, error) {
	return events.Backup{Project: "p", BackupID: id, Trigger: events.OnDemand, State: lifecycle.Successful}, nil
}

func (d removable) Delete(ctx context.Context, c intake.Change) (intake.Receipt, error) {
	return intake.Receipt{}, d.f(ctx, c.BackupID)
}

// batch deletes 50 backups, and gives the answer with what was logged.
func batch(t *testing.T, ctx context.Context, f func(ctx context.Context, id string) error) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var ids []string
	for n := range maxBatch {
		ids = append(ids, fmt.Sprintf("id-%d", n))
	}
	body, err := json.Marshal(map[string][]string{"backup_ids": ids})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := New(removable{f: f}, nil, time.Now, slog.New(slog.NewJSONHandler(&log, nil)), Config{})
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/v3/p/backups?token=hunter22", bytes.NewReader(body)))
	return w, log.String()
}

// A batch waits for a few at a time and not for each in turn, and not for ever.
func TestDelete_BatchIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		w, _ := batch(t, t.Context(), func(context.Context, string) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(2 * time.Second) // of the bubble: the view is away
			now.Add(-1)
			return nil
		})
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"success_count":50`) || most.Load() != batchAtOnce {
			t.Errorf("%d at once: %d %s", most.Load(), w.Code, w.Body)
		}
		begun := time.Now()
		w, log := batch(t, t.Context(), func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		if took := time.Since(begun); took != batchIn || w.Code != 500 || !strings.Contains(log, "request failed") {
			t.Errorf("%s: %d %s", took, w.Code, w.Body)
		}
	})
}

func TestDelete_BatchThatFailsOrGoes(t *testing.T) { // row 41
	t.Parallel()
	away := &intake.Error{Kind: intake.Unavailable, Reason: intake.BusUnavailable, Message: "away"}
	w, log := batch(t, t.Context(), func(context.Context, string) error { return away })
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"error_code":"DBS.200005"`) || strings.Count(log, `"level":"ERROR"`) != 1 {
		t.Errorf("all failed: %d %s\n%s", w.Code, w.Body, log)
	}
	for _, want := range []string{`"method":"DELETE"`, `"route":"{project}/backups"`, `"request_id":"` + w.Header().Get("X-Request-Id")} {
		if !strings.Contains(log, want) || strings.Contains(log, "hunter22") {
			t.Errorf("the log has no %s, or the query: %s", want, log)
		}
	}
	w, log = batch(t, t.Context(), func(_ context.Context, id string) error {
		if id == "id-7" {
			return nil
		}
		return away
	})
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"success_count":1,"failed_count":49`) || strings.Count(log, `"level":"ERROR"`) != 49 || !strings.Contains(log, "delete id-8:") {
		t.Errorf("one is gone: %d %s\n%s", w.Code, w.Body, log)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, log = batch(t, gone, func(ctx context.Context, _ string) error { return ctx.Err() }); log != "" {
		t.Errorf("a client that has gone is no error: %s", log)
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
