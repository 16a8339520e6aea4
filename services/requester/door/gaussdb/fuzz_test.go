package gaussdb_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// FuzzRequest: whatever is sent to a door with keys is refused in JSON, with a status that says why, and nobody comes in.
func FuzzRequest(f *testing.F) {
	w := locked(f)
	for _, r := range vectors() {
		f.Add(r.method, r.path, r.header["Authorization"], vectorDay, r.body) // the other headers are missing
	}
	r := httptest.NewRequest(http.MethodGet, path("backups"), http.NoBody)
	signer{ak: ak, sk: sk + "x", headers: []string{"x-sdk-date"}}.sign(r, "", w.now)
	f.Add(r.Method, r.URL.String(), r.Header.Get("Authorization"), vectorDay, "")
	f.Add("GET", "/v3/p/backups?a=%zz&+=+", "SDK-HMAC-SHA256 Access=,SignedHeaders=;,Signature=", "", "")
	f.Fuzz(func(t *testing.T, method, target, auth, date, body string) {
		rec := fuzzed(t, w, method, target, body, http.Header{"Authorization": {auth}, "X-Sdk-Date": {date}})
		if rec != nil && (rec.Code != http.StatusUnauthorized && rec.Code != http.StatusNotFound || !json.Valid(rec.Body.Bytes())) {
			t.Errorf("%s %s: %d %s", method, target, rec.Code, rec.Body)
		}
	})
}

// fuzzed sends a request whose target is a path; nil if it is none.
func fuzzed(t *testing.T, w *world, method, target, body string, header http.Header) *httptest.ResponseRecorder {
	u, err := url.Parse(target)
	if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
		return nil
	}
	r := (&http.Request{Method: method, URL: u, Host: "h", Header: header, Body: http.NoBody, ContentLength: int64(len(body))}).WithContext(t.Context())
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	return rec
}

// untouched is a log in which nothing is ever stored.
type untouched struct{ intake.Log }

func (untouched) Append(context.Context, events.Draft) (events.Appended, error) {
	return events.Appended{}, &intake.Error{Kind: intake.Conflict, Reason: intake.PendingBackupExists}
}

func (untouched) Last(context.Context, string) (events.Stored, bool, error) {
	return events.Stored{}, false, nil
}

// FuzzOpenRequest: behind the door, whatever comes is answered in JSON, as done or as the client's mistake.
func FuzzOpenRequest(f *testing.F) {
	w := newWorldOver(f, view.NewMemory(time.Now), untouched{}, settings{}, nil)
	i := w.instance(project, "orders")
	b := w.backup(project, "orders", 1, nil)
	w.backup(project, "orders", 2, func(b *events.Backup) { b.State, b.SizeBytes = lifecycle.Running, nil })
	for _, r := range vectors() {
		f.Add(r.method, r.path, r.body)
	}
	at := path("instances", i.IDs.GaussDB)
	f.Add(http.MethodPost, path("backups", "create"), body(f, "orders", "backup-1", "d"))
	f.Add(http.MethodGet, path("backups")+"?name=name-1&backup_type=manual&begin_time=2026-01-02T10:41:14%2B0800&end_time=2026-01-03T02:41:14Z&limit=5&offset=1", "")
	f.Add(http.MethodGet, path("backups")+"?backup_id="+b.IDs.GaussDB+"&instance_id="+i.IDs.GaussDB+"&instance_name=orders", "")
	f.Add(http.MethodDelete, path("backups", b.IDs.GaussDB), "")
	f.Add(http.MethodDelete, path("backups"), `{"backup_ids":["`+b.IDs.GaussDB+`","x"]}`)
	f.Add(http.MethodPut, at+"/backups/policy/update", `{"backup_policy":{"start_time":"19:00-20:00","keep_days":7,"period":"1,2,3","retention_num_backup_level1":1}}`)
	f.Add(http.MethodGet, at+"/backups/policy", "")
	f.Add(http.MethodGet, at+"/backups?order_field=beginTime&order_rule=asc&filter_field=name&filter_content=n&offset=1&limit=2", "")
	f.Add(http.MethodGet, at+"/incremental-backups?limit=20", "")
	f.Add(http.MethodGet, at+"/restore-time?start_time=1767323045000&end_time=1767409445000", "")
	f.Add(http.MethodGet, at+"/restore-time?date=2026-01-02", "")
	f.Add(http.MethodGet, at, "")
	f.Add(http.MethodGet, path("jobs")+"?id="+b.IDs.Operation, "")
	f.Add(http.MethodGet, "/v3/projects?name=cn-north-4", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		rec := fuzzed(t, w, method, target, body, http.Header{})
		if rec != nil && (rec.Code/100 != 2 && rec.Code/100 != 4 || !json.Valid(rec.Body.Bytes())) {
			t.Errorf("%s %s %q: %d %s", method, target, body, rec.Code, rec.Body)
		}
	})
}
