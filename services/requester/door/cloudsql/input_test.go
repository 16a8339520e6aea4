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
