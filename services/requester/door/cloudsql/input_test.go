package cloudsql_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
)

func TestInput_WhatCannotBeReadIsRefusedAndNothingIsStored(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	runs := path("acme", "instances", "orders", "backupRuns")
	before := len(p.Events("acme"))
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		reason                   string
	}{
		{"10 MB", "POST", runs, `{"description":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "requestTooLarge"},
		{"deep objects", "POST", runs, strings.Repeat(`{"a":`, 50_000) + "1" + strings.Repeat("}", 50_000), 400, "parseError"},
		{"deep lists", "POST", runs, `{"a":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + "}", 400, "parseError"},
		{"no UTF-8", "POST", runs, "{\"description\":\"\xff\xfe\"}", 400, "parseError"},
		{"trailing garbage", "POST", runs, `{} x`, 400, "parseError"},
		{"twice", "POST", runs, `{"description":"a","description":"b"}`, 400, "invalid"},
		{"slash in the instance", "GET", path("acme", "instances", "a%2Fb", "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"dots", "GET", path("acme", "instances", "..", "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"encoded dots", "GET", path("acme", "instances", "%2E%2E", "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"control character", "POST", path("acme", "instances", "a%0Ab", "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"no UTF-8 in a name", "POST", path("acme", "instances", "%FF", "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"empty name", "POST", path("acme", "instances", "", "backupRuns"), "", 404, "notFound"},
		{"long name", "POST", path("acme", "instances", strings.Repeat("x", 5000), "backupRuns"), "", 404, "instanceDoesNotExist"},
		{"id over int64", "DELETE", runs + "/9223372036854775808", "", 400, "invalid"},
		{"negative id", "GET", runs + "/-5", "", 400, "invalid"},
		{"maxResults over int32", "GET", runs + "?maxResults=2147483648", "", 400, "invalid"},
		{"semicolons", "GET", runs + "?a;b=c", "", 400, "invalid"},
		{"long fields", "GET", runs + "?fields=" + strings.Repeat("a", 5000), "", 400, "invalidParameter"},
		{"alt media", "GET", runs + "?alt=media", "", 400, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, p, c.method, c.path, c.body, c.code, c.reason) })
	}
	if n := len(p.Events("acme")); n != before {
		t.Errorf("refused requests left %d events", n-before)
	}
}

func TestInput_SyntaxIsSaidFirstThenWhatIsNotThereThenWhatIsInTheWay(t *testing.T) { // cloudsql.md 3
	t.Parallel()
	p := setup(t, "orders", "busy")
	insert(t, p, "busy", "")
	p.Await("acme", backupID(t, p), events.Started)
	facts(t, p, "maintained", "sqlite", "eu", `"state":"MAINTENANCE"`)
	none, busy := path("acme", "instances", "none"), path("acme", "instances", "busy")
	legacy := "/sql/v1beta3/projects/acme/instances/none"
	long := `{"description":"` + strings.Repeat("x", 1025) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		reason                   string
	}{
		{"v1beta3 get", "GET", legacy + "/backupRuns/sc_x", "", 400, "required"},
		{"v1beta3 get, dueTime", "GET", legacy + "/backupRuns/sc_x?dueTime=noon", "", 400, "invalid"},
		{"v1beta3 list", "GET", legacy + "/backupRuns", "", 400, "required"},
		{"v1beta3 list, page", "GET", legacy + "/backupRuns?backupConfiguration=x&maxResults=-1", "", 400, "invalid"},
		{"v1beta3 get, not there", "GET", legacy + "/backupRuns/sc_x?dueTime=2026-03-26T13:00:00Z", "", 404, "instanceDoesNotExist"},
		{"updateBackup", "PATCH", path("acme", "backups", "none"), `{"description":`, 400, "parseError"},
		{"updateBackup, value", "PATCH", path("acme", "backups", "none"), `{"ttlDays":0}`, 400, "invalid"},
		{"updateBackup, mask", "PATCH", path("acme", "backups", "none") + "?updateMask=state", `{}`, 400, "invalid"},
		{"updateBackup, not there", "PATCH", path("acme", "backups", "none"), `{"ttlDays":1}`, 404, "backupRunDoesNotExist"},
		{"insert", "POST", none + "/backupRuns", `{"location":"Nowhere!"}`, 400, "invalid"},
		{"insert, length", "POST", none + "/backupRuns", long, 400, "invalid"},
		{"insert in maintenance, length", "POST", path("acme", "instances", "maintained", "backupRuns"), long, 400, "invalid"},
		{"insert in maintenance, location", "POST", path("acme", "instances", "maintained", "backupRuns"), `{"location":"atlantis"}`, 400, "invalid"},
		{"insert in maintenance", "POST", path("acme", "instances", "maintained", "backupRuns"), `{"location":"us"}`, 409, "invalidState"},
		{"list", "GET", none + "/backupRuns?pageToken=x", "", 400, "invalid"},
		{"id", "GET", none + "/backupRuns/007", "", 400, "invalid"},
		{"patch", "PATCH", none, `{"settings":{"backupConfiguration":{"startTime":"25:00"}}}`, 400, "invalid"},
		{"patch while busy, time", "PATCH", busy, `{"settings":{"backupConfiguration":{"startTime":"25:00"}}}`, 400, "invalid"},
		{"patch while busy, B35", "PATCH", busy, `{"settings":{"backupConfiguration":{"transactionLogRetentionDays":8}}}`, 400, "invalid"},
		{"patch while busy", "PATCH", busy, `{"settings":{"backupConfiguration":{"startTime":"23:00"}}}`, 409, "operationInProgress"},
		{"update without a version", "PUT", none, `{"settings":{}}`, 400, "invalid"},
		{"signed id", "GET", path("acme", "instances", "orders", "backupRuns") + "/+5", "", 400, "invalid"},
		{"encoded sign", "GET", path("acme", "instances", "orders", "backupRuns") + "/%2B5", "", 400, "invalid"},
		{"padded id", "DELETE", path("acme", "instances", "orders", "backupRuns") + "/007", "", 400, "invalid"},
		{"fields with a space", "GET", path("acme", "instances") + "?fields=kind,%20items", "", 400, "invalidParameter"},
		{"uint32", "GET", path("acme", "operations") + "?maxResults=4294967296", "", 400, "invalid"},
		{"uint32, negative", "GET", path("acme", "instances") + "?maxResults=-1", "", 400, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, p, c.method, c.path, c.body, c.code, c.reason) })
	}
	for _, list := range []string{"instances", "operations"} { // a uint32 that is cut to 1000
		if code, raw := p.Call(http.MethodGet, path("acme", list)+"?maxResults=3000000000", ""); code != 200 {
			t.Errorf("%s: %d %s", list, code, raw)
		}
	}
}

func TestInput_CommonParametersAreAccepted(t *testing.T) { // 2.1, PD-10
	t.Parallel()
	p := setup(t, "orders")
	query := "?alt=json&prettyPrint=false&key=k&access_token=t&oauth_token=t&quotaUser=u&callback=f&uploadType=x&upload_protocol=y&$.xgafv=2&unheard=of"
	if code, raw := p.Call(http.MethodGet, path("acme", "instances", "orders")+query, ""); code != 200 || strings.Contains(string(raw), "\n ") {
		t.Errorf("%d %s", code, raw)
	}
	code, h, _ := p.CallHeaders(http.MethodPost, path("acme", "instances", "orders", "backupRuns"), "{}", http.Header{
		"X-Goog-User-Project": {"other"}, "If-Match": {`"x"`}, "X-Goog-Api-Client": {"gl-go"}, "Content-Type": {"application/json"}})
	if code != 200 || h.Get("Location") != "" {
		t.Errorf("%d %v", code, h)
	}
}

func TestAnswers_AreCompressedForWhoAsks(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	for range 10 {
		insert(t, p, "orders", `{"description":"`+strings.Repeat("long ", 100)+`"}`)
		p.Await("acme", backupID(t, p), events.Succeeded)
	}
	runs := path("acme", "instances", "orders", "backupRuns")
	_, plain := p.Call(http.MethodGet, runs, "")
	code, h, packed := p.CallHeaders(http.MethodGet, runs, "", http.Header{"Accept-Encoding": {"gzip"}})
	if code != 200 || h.Get("Content-Encoding") != "gzip" || len(packed)*4 > len(plain) {
		t.Fatalf("%d %v, %d bytes of %d", code, h, len(packed), len(plain))
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("another answer than without: %v", err)
	}
}

func TestOperations_AreForgotten(t *testing.T) { // PD-19, B45; PD-3
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{Requester: requester.Config{CloudSQL: cloudsql.Config{KeepOperations: time.Nanosecond, Tombstone: time.Nanosecond}}})
	p.Register("acme", "orders")
	o := insert(t, p, "orders", "")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started)
	if o = getOp(p, o.Name); o.Status != "RUNNING" {
		t.Errorf("one that has not ended is kept: %+v", o)
	}
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded)
	refused(t, p, http.MethodGet, path("acme", "operations", o.Name), "", 404, "operationDoesNotExist")
	_, raw := p.Call(http.MethodGet, path("acme", "operations"), "")
	var list struct{ Items []op }
	if err := json.Unmarshal(raw, &list); err != nil || len(list.Items) != 0 {
		t.Errorf("%s: %v", raw, err)
	}
	one := path("acme", "instances", "orders", "backupRuns", o.BackupContext.BackupId)
	pipelinetest.JSON[op](p, http.MethodDelete, one, "")
	p.Await("acme", bk, events.Deleted)
	refused(t, p, http.MethodGet, one, "", 404, "backupRunDoesNotExist") // its tombstone has gone too
}
