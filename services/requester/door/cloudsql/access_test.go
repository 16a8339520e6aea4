package cloudsql_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

const (
	editorToken = "editor-token-0123456789" // everything but the deletion of runs
	otherToken  = "other-token-0123456789"  // everything, in another project
	oldToken    = "old-token-0123456789"    // expired
)

// guarded is a pipeline whose doors ask who is there.
func guarded(t *testing.T) *pipelinetest.Pipeline {
	t.Helper()
	dir := t.TempDir()
	ref := func(name, token string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + file
	}
	p := pipelinetest.Start(t, pipelinetest.Options{Access: access.Grants{
		{Name: "editor", TokenRef: ref("editor", editorToken), Projects: []string{"acme"},
			Permissions: []string{"cloudsql.backupRuns.create", "cloudsql.backupRuns.get", "cloudsql.backupRuns.list", "cloudsql.instances.get"}},
		{TokenRef: ref("other", otherToken), Projects: []string{"other"}, Permissions: []string{"*"}},
		{TokenRef: ref("old", oldToken), Projects: []string{"acme"}, Permissions: []string{"*"}, Expires: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
	}})
	p.Register("acme", "orders")
	return p
}

type denial struct {
	Error struct {
		Code    int
		Message string
		Status  *string
		Errors  []struct{ Reason, LocationType, Location string }
	}
}

// denied wants a refusal of who asks.
func denied(t *testing.T, p *pipelinetest.Pipeline, method, path, authorization string, code int, reason string) denial {
	t.Helper()
	h := http.Header{}
	if authorization != "" {
		h.Set("Authorization", authorization)
	}
	got, _, raw := p.CallHeaders(method, path, "", h)
	var d denial
	if err := json.Unmarshal(raw, &d); err != nil || got != code || d.Error.Code != code || len(d.Error.Errors) != 1 || d.Error.Errors[0].Reason != reason {
		t.Errorf("%s %s as %q: %d %s, want %d %s", method, path, authorization, got, raw, code, reason)
		return denial{}
	}
	if strings.Contains(string(raw), "token-0123") {
		t.Errorf("a token in %s", raw)
	}
	return d
}

func TestAccess_Tokens(t *testing.T) { // B30, B31; C38
	t.Parallel()
	p := guarded(t)
	runs := "projects/acme/instances/orders/backupRuns"
	for _, prefix := range []string{"/sql/v1beta4/", "/v1/", "/sql/v1beta3/"} {
		url := prefix + runs
		if strings.Contains(prefix, "v1beta3") {
			url += "?backupConfiguration=x"
		}
		for _, c := range []struct{ authorization, reason string }{
			{"", "required"}, {"Bearer wrong-token-0123456789", "authError"}, {"Basic " + editorToken, "authError"}, {"Bearer", "authError"}, {"Bearer " + editorToken + "x", "authError"},
			{"Bearer " + oldToken, "authError"},
		} {
			d := denied(t, p, http.MethodGet, url, c.authorization, 401, c.reason)
			if len(d.Error.Errors) == 0 {
				continue
			}
			if e := d.Error.Errors[0]; d.Error.Status == nil || *d.Error.Status != "UNAUTHENTICATED" || e.Location != "Authorization" || e.LocationType != "header" {
				t.Errorf("%q: %+v", c.authorization, d)
			}
			if c.reason == "authError" && d.Error.Message != "Invalid Credentials" {
				t.Error(d.Error.Message)
			}
		}
	}
	denied(t, p, http.MethodPost, path("acme", "instances", "orders", "backupRuns")+"?alt=media", "", 401, "required") // before the syntax
	denied(t, p, http.MethodGet, path("acme", "instances", "none", "backupRuns"), "", 401, "required")
	denied(t, p, http.MethodGet, path("acme", "nothing"), "", 404, "notFound")
	for _, query := range []string{"access_token=", "oauth_token="} {
		if code, raw := p.Call(http.MethodGet, path("acme", "instances", "orders", "backupRuns")+"?"+query+editorToken, ""); code != 200 {
			t.Errorf("%s: %d %s", query, code, raw)
		}
		denied(t, p, http.MethodGet, path("acme", "instances", "orders", "backupRuns")+"?"+query+"wrong-token-0123456789", "", 401, "authError")
	}
}

func TestAccess_Permissions(t *testing.T) { // B32, B33; C39
	t.Parallel()
	p := guarded(t)
	as := func(method, path string, code int) []byte {
		t.Helper()
		got, _, raw := p.CallHeaders(method, path, "", http.Header{"Authorization": {"Bearer " + editorToken}})
		if got != code {
			t.Fatalf("%s %s: %d %s, want %d", method, path, got, raw, code)
		}
		return raw
	}
	var o op
	if err := json.Unmarshal(as(http.MethodPost, path("acme", "instances", "orders", "backupRuns"), 200), &o); err != nil || o.User != "editor" {
		t.Fatalf("%+v, %v", o, err)
	}
	bk := backupID(t, p)
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded)
	for _, ev := range p.Events("acme") {
		if b, err := events.Decode[events.Backup](ev.Event); err == nil && b.BackupID == bk && b.RequestedBy != "editor" {
			t.Errorf("%s: requested by %q", ev.Type, b.RequestedBy)
		}
	}
	run := path("acme", "instances", "orders", "backupRuns", o.BackupContext.BackupId)
	before := len(p.Events("acme"))
	d := denied(t, p, http.MethodDelete, run, "Bearer "+editorToken, 403, "forbidden")
	if m := d.Error.Message; !strings.HasPrefix(m, "boss::NOT_AUTHORIZED:") || !strings.Contains(m, "cloudsql.backupRuns.delete on resource instances/orders") || d.Error.Status != nil {
		t.Errorf("%+v", d)
	}
	var r struct{ Status string }
	if err := json.Unmarshal(as(http.MethodGet, run, 200), &r); err != nil || r.Status != "SUCCESSFUL" || len(p.Events("acme")) != before {
		t.Errorf("after the refusal: %+v, %v", r, err)
	}
	as(http.MethodGet, path("acme", "instances", "none", "backupRuns"), 404) // who may list learns that it is not there
	for _, instance := range []string{"orders", "none"} {                    // and who may not does not
		for _, c := range []struct{ method, path, permission string }{
			{http.MethodGet, path("acme", "instances", instance), "cloudsql.instances.get on resource instances/" + instance},
			{http.MethodGet, path("acme", "instances", instance, "backupRuns"), "cloudsql.backupRuns.list on resource instances/" + instance},
			{http.MethodPost, path("acme", "instances", instance, "backupRuns"), "cloudsql.backupRuns.create on resource instances/" + instance},
			{http.MethodPatch, path("acme", "instances", instance), "cloudsql.instances.update on resource instances/" + instance},
			{http.MethodGet, path("acme", "instances"), "cloudsql.instances.list on resource projects/acme"},
			{http.MethodGet, path("acme", "backups"), "cloudsql.backupRuns.list on resource projects/acme"},
			{http.MethodGet, path("acme", "operations", o.Name), "cloudsql.instances.get on resource projects/acme"},
			{http.MethodGet, path("acme", "instances", "-", "backupRuns"), "cloudsql.backupRuns.list on resource instances/-"},
		} {
			if d := denied(t, p, c.method, c.path, "Bearer "+otherToken, 403, "forbidden"); !strings.Contains(d.Error.Message, c.permission) {
				t.Errorf("%s %s: %s", c.method, c.path, d.Error.Message)
			}
		}
	}
	denied(t, p, http.MethodPatch, path("acme", "backups", "x"), "Bearer "+editorToken, 403, "forbidden")
	denied(t, p, http.MethodPut, path("acme", "instances", "orders"), "Bearer "+editorToken, 403, "forbidden")
}
