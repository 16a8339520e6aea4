package cloudsql_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

func replace(raw []byte, old, with string) string { return strings.ReplaceAll(string(raw), old, with) }

func TestV1beta3_ReadsWhatTheScheduleMade(t *testing.T) { // cases 43, 44; B41, B42
	t.Parallel()
	p := setup(t, "orders")
	at := "/sql/v1beta3/projects/acme/instances/orders"
	type settings struct {
		Instance string
		Settings struct {
			BackupConfiguration []struct {
				Kind, ID, StartTime string
				Enabled             bool
			}
		}
	}
	fresh := pipelinetest.JSON[settings](p, http.MethodGet, at, "")
	if c := fresh.Settings.BackupConfiguration; fresh.Instance != "orders" || len(c) != 1 || c[0].Enabled || c[0].ID == "" {
		t.Fatalf("an instance that was never configured: %+v", fresh)
	}
	id := fresh.Settings.BackupConfiguration[0].ID
	if code, raw := p.Call(http.MethodGet, at+"/backupRuns?prettyPrint=false&backupConfiguration="+id, ""); code != 200 || string(raw) != `{"kind":"sql#backupRunsList"}`+"\n" {
		t.Errorf("its runs: %d %s", code, raw)
	}
	refused(t, p, http.MethodGet, at+"/backupRuns/"+id+"?dueTime=2026-03-26T13:00:00Z", "", 404, "backupRunDoesNotExist")
	s := automated(t, p, "orders")
	if s.ScheduleID != id {
		t.Errorf("the configuration's id was %s and is %s", id, s.ScheduleID)
	}
	i := pipelinetest.JSON[settings](p, http.MethodGet, at, "")
	if c := i.Settings.BackupConfiguration; len(c) != 1 || c[0].ID != s.ScheduleID || !c[0].Enabled || c[0].StartTime != "13:00" || c[0].Kind != "sql#backupConfiguration" {
		t.Fatalf("%+v", i)
	}
	p.Slot(s, window, events.Skipped, &events.Skip{Reason: "NO_CHANGES"})
	bad := p.Slot(s, window.AddDate(0, 0, 1), events.Requested, nil)
	p.Await("acme", bad.BackupID, events.Started)
	p.Hand.Finish(bad.BackupID, &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "broke"})
	p.Await("acme", bad.BackupID, events.Failed)
	insert(t, p, "orders", "") // on demand: not visible here
	code, raw := p.Call(http.MethodGet, at+"/backupRuns?backupConfiguration="+s.ScheduleID, "")
	var list struct {
		Kind  string
		Items []map[string]any
	}
	if err := json.Unmarshal(raw, &list); err != nil || code != 200 || list.Kind != "sql#backupRunsList" || len(list.Items) != 2 {
		t.Fatalf("%d %s: %v", code, raw, err)
	}
	for _, item := range list.Items {
		for _, never := range []string{"id", "type", "description", "selfLink", "location"} {
			if _, there := item[never]; there {
				t.Errorf("a run of v1beta3 has no %s: %v", never, item)
			}
		}
		if item["kind"] != "sql#backupRun" || item["backupConfiguration"] != s.ScheduleID || item["instance"] != "orders" {
			t.Errorf("%v", item)
		}
	}
	if diff := cmp.Diff([]any{"2026-03-27T13:00:00Z", "FAILED", "2026-03-26T13:00:00Z", "SKIPPED"},
		[]any{list.Items[0]["dueTime"], list.Items[0]["status"], list.Items[1]["dueTime"], list.Items[1]["status"]}); diff != "" {
		t.Error(diff)
	}
	for _, due := range []string{"2026-03-27T13:00:00Z", "2026-03-27T15:00:00+02:00", "2026-03-27T13:00:00.400Z", "2026-03-27T13:00:01Z", "2026-03-27T12:59:59Z"} {
		got := pipelinetest.JSON[map[string]any](p, http.MethodGet, at+"/backupRuns/"+s.ScheduleID+"?dueTime="+url.QueryEscape(due), "")
		e, _ := got["error"].(map[string]any)
		if got["status"] != "FAILED" || e["kind"] != "sql#operationError" || e["code"] != "INTERNAL_ERROR" || e["message"] != nil {
			t.Errorf("%s: %v", due, got)
		}
	}
	first := pipelinetest.JSON[map[string]any](p, http.MethodGet, at+"/backupRuns?maxResults=1&backupConfiguration="+s.ScheduleID, "")
	next := pipelinetest.JSON[map[string]any](p, http.MethodGet, at+"/backupRuns?maxResults=1&backupConfiguration="+s.ScheduleID+"&pageToken="+first["nextPageToken"].(string), "")
	if n := next["items"].([]any); len(n) != 1 || n[0].(map[string]any)["status"] != "SKIPPED" {
		t.Errorf("second page: %v", next)
	}
	ops := pipelinetest.JSON[struct {
		Kind  string
		Items []map[string]any
	}](p, http.MethodGet, at+"/operations", "")
	if len(ops.Items) != 3 || ops.Items[0]["kind"] != "sql#instanceOperation" || ops.Items[0]["state"] == nil || ops.Items[0]["operation"] == nil {
		t.Errorf("%+v", ops)
	}
	one := pipelinetest.JSON[map[string]any](p, http.MethodGet, at+"/operations/"+ops.Items[1]["operation"].(string), "")
	if diff := cmp.Diff(ops.Items[1], one); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		name, method, path string
		code               int
		reason             string
	}{
		{"B41 list", "GET", at + "/backupRuns", 400, "required"},
		{"B41 get", "GET", at + "/backupRuns/" + s.ScheduleID, 400, "required"},
		{"dueTime", "GET", at + "/backupRuns/" + s.ScheduleID + "?dueTime=noon", 400, "invalid"},
		{"another time", "GET", at + "/backupRuns/" + s.ScheduleID + "?dueTime=" + window.Add(2*time.Second).Format(time.RFC3339), 404, "backupRunDoesNotExist"},
		{"another configuration", "GET", at + "/backupRuns?backupConfiguration=sc_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404, "backupRunDoesNotExist"},
		{"B42 POST", "POST", at + "/backupRuns", 404, "notFound"},
		{"B42 DELETE", "DELETE", at + "/backupRuns/" + s.ScheduleID, 404, "notFound"},
		{"unknown operation", "GET", at + "/operations/none", 404, "operationDoesNotExist"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, p, c.method, c.path, "", c.code, c.reason) })
	}
}
