package native_test

import (
	"encoding/json"
	"fmt"
	"io"
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

// Tokens of the grants of closed.
const (
	makerToken = "maker-token-0123456789" // creates backups and reads them
	otherToken = "other-token-0123456789" // everything, in another project
	oldToken   = "old-token-0123456789"   // expired
)

// closed is a pipeline whose doors ask who is there.
func closed(t *testing.T) *pipelinetest.Pipeline {
	t.Helper()
	dir := t.TempDir()
	ref := func(token string) string {
		file := filepath.Join(dir, token)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + file
	}
	p := pipelinetest.Start(t, pipelinetest.Options{Access: access.Grants{
		{Name: "maker", TokenRef: ref(makerToken), Projects: []string{"shop"}, Permissions: []string{"backupbus.backups.create", "backupbus.backups.get", "backupbus.events.*"}},
		{TokenRef: ref(otherToken), Projects: []string{"other", "caf\u00e9"}, Permissions: []string{"*"}},
		{TokenRef: ref(oldToken), Projects: []string{"shop"}, Permissions: []string{"*"}, Expires: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
	}})
	p.Register("shop", "orders")
	return p
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// kept wants a refusal of who asks, in the API's form.
func kept(t *testing.T, p *pipelinetest.Pipeline, method, path, body string, h http.Header, code int, reason string) string {
	t.Helper()
	got, answered, raw := p.CallHeaders(method, path, body, h)
	var e problem
	if err := json.Unmarshal(raw, &e); err != nil || got != code || e.Status != code || e.Reason != reason || e.Detail == "" || answered.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: %d %s %s, want %d %s", method, path, got, answered.Get("Content-Type"), raw, code, reason)
	}
	if (code == http.StatusUnauthorized) != (answered.Get("WWW-Authenticate") == "Bearer") {
		t.Errorf("%s %s: WWW-Authenticate %q", method, path, answered.Get("WWW-Authenticate"))
	}
	return e.Detail
}

// Every operation of the document refuses who is nobody, who is of another project, and who lacks its permission; but
// for those of no project, which show nobody's data, and the notifier's, which it refuses itself.
func TestAccess_OfEveryOperation(t *testing.T) { // events.md L5
	t.Parallel()
	p := closed(t)
	code, _, raw := p.CallHeaders(http.MethodGet, "/api/openapi.json", "", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Permission  string `json:"x-backupbus-permission"`
			Tags        []string
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil || code != http.StatusOK {
		t.Fatal(code, err)
	}
	fill := strings.NewReplacer("{project}", "shop", "{", "", "}", "")
	asked, free := 0, 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			method, url := strings.ToUpper(method), "/api"+fill.Replace(path)
			switch {
			case !strings.Contains(path, "{project}"):
				free++
				if got, _, raw := p.CallHeaders(method, url, "", nil); got == 401 || got == 403 {
					t.Errorf("%s: %d %s", op.OperationID, got, raw)
				}
			case op.Tags[0] == "subscriptions":
				if op.Permission == "" {
					t.Errorf("%s needs nothing", op.OperationID)
				}
			default:
				asked++
				for what, h := range map[string]http.Header{"nobody": nil, "unknown": bearer("nobody-token-0123456789"), "old": bearer(oldToken), "in the query": nil} {
					at := url
					if what == "in the query" {
						at += "?access_token=" + makerToken
					}
					kept(t, p, method, at, "{malformed", h, 401, "UNAUTHENTICATED")
				}
				kept(t, p, method, url, "{malformed", bearer(otherToken), 403, "PERMISSION_DENIED")
				if op.OperationID == "postCommand" { // what it needs is said by the command
					continue
				}
				if !strings.HasPrefix(op.Permission, "backupbus.") {
					t.Errorf("%s needs nothing", op.OperationID)
				}
				switch op.Permission {
				case "backupbus.backups.create", "backupbus.backups.get", "backupbus.events.get", "backupbus.events.list":
				default:
					if d := kept(t, p, method, url, "{malformed", bearer(makerToken), 403, "PERMISSION_DENIED"); d != "you do not hold "+op.Permission {
						t.Errorf("%s: %s", op.OperationID, d)
					}
				}
			}
		}
	}
	if asked < 20 || free < 3 {
		t.Errorf("%d operations were asked, %d are free", asked, free)
	}
}

// However its name is composed, a project is one.
func TestAccess_NamesInEveryForm(t *testing.T) {
	t.Parallel()
	p := closed(t)
	for _, name := range []string{"caf%C3%A9", "cafe%CC%81"} {
		if code, _, raw := p.CallHeaders(http.MethodGet, "/api/v1/projects/"+name+"/instances", "", bearer(otherToken)); code != http.StatusOK {
			t.Errorf("%s: %d %s", name, code, raw)
		}
		kept(t, p, http.MethodGet, "/api/v1/projects/"+name+"/instances", "", bearer(makerToken), 403, "PERMISSION_DENIED")
	}
}

// A stream ends with what proves its client, and says so before.
func TestAccess_AStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	const soonToken = "soon-token-0123456789"
	file := filepath.Join(t.TempDir(), "soon")
	if err := os.WriteFile(file, []byte(soonToken), 0o600); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * time.Second)
	p := pipelinetest.Start(t, pipelinetest.Options{Access: access.Grants{{TokenRef: "file:" + file, Projects: []string{"shop"}, Permissions: []string{"backupbus.events.list"}, Expires: end}}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+base+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = bearer(soonToken)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(all), "event: backupbus.goaway") || time.Now().Before(end) {
		t.Errorf("%q, %v", all, err)
	}
	kept(t, p, http.MethodGet, base+"/events", "", bearer(soonToken), 401, "UNAUTHENTICATED")
}

func TestAccess_WhoAskedIsInTheEvents(t *testing.T) {
	t.Parallel()
	p := closed(t)
	code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", `{"instance":"orders"}`, bearer(makerToken))
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil || code != http.StatusAccepted {
		t.Fatalf("%d %s", code, raw)
	}
	kept(t, p, http.MethodPost, base+"/backups/"+r.BackupID+":cancel", "{}", bearer(makerToken), 403, "PERMISSION_DENIED")
	p.Hand.Finish(r.BackupID, nil)
	p.Await("shop", r.BackupID, events.Succeeded)
	for _, ev := range p.Events("shop") {
		if b, err := events.Decode[events.Backup](ev.Event); err == nil && b.BackupID == r.BackupID && b.RequestedBy != "maker" {
			t.Errorf("%s: %q", ev.Type, b.RequestedBy)
		}
		if strings.Contains(string(ev.Data), makerToken) {
			t.Errorf("%s holds a token", ev.Type)
		}
	}
}

func TestAccess_OfCommands(t *testing.T) {
	t.Parallel()
	p := closed(t)
	command := func(verb, id, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"//test","type":"dev.backupbus.command.backup.%s.v1","data":%s}`, id, verb, data)
	}
	post := func(body string) (int, []byte) {
		code, _, raw := p.CallHeaders(http.MethodPost, base+"/events", body, http.Header{"Authorization": {"Bearer " + makerToken}, "Content-Type": {"application/cloudevents+json"}})
		return code, raw
	}
	code, raw := post(command("create", "1", `{"instance":"orders"}`))
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil || code != http.StatusAccepted {
		t.Fatalf("%d %s", code, raw)
	}
	for _, verb := range []string{"cancel", "delete", "verify"} {
		var e problem
		if code, raw := post(command(verb, verb, `{"backupId":"`+r.BackupID+`"}`)); code != http.StatusForbidden || json.Unmarshal(raw, &e) != nil || e.Detail != "you do not hold backupbus.backups."+verb {
			t.Errorf("%s: %d %s", verb, code, raw)
		}
	}
	for _, ev := range p.Events("shop") {
		switch ev.Step() {
		case events.CancelRequested, events.DeletionRequested, events.VerificationRequested:
			t.Errorf("an event of a refused command: %s", ev.Type)
		}
	}
	p.Hand.Finish(r.BackupID, nil)
	if b, err := events.Decode[events.Backup](p.Await("shop", r.BackupID, events.Succeeded).Event); err != nil || b.RequestedBy != "maker" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestAccess_StreamsOfACaller(t *testing.T) { // events.md 6.2
	t.Parallel()
	p := closed(t)
	open := func(token string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+base+"/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = bearer(token)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	for n := range 10 {
		if resp := open(makerToken); resp.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %s", n, resp.Status)
		}
	}
	if resp := open(makerToken); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the eleventh: %s", resp.Status)
	}
	if resp := open(p.Token); resp.StatusCode != http.StatusOK {
		t.Errorf("of another caller: %s", resp.Status)
	}
}
