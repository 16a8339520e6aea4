package native_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

var update = flag.Bool("update", false, "rewrite golden files")

const base = "/api/v1/projects/shop"

type receipt struct{ RequestID, BackupID, RestoreID, State string }

type backup struct {
	BackupID, RequestID, State, Description, Proof string
	Labels                                         map[string]string
	Attempt                                        int
	SizeBytes                                      int64
	IDs                                            struct{ CloudSQL, GaussDB, Spanner, Operation string }
}

type problem struct {
	Status                                  int
	Reason, Detail, ExistingBackupID, Title string
	Violations                              []struct{ Path, Message string }
}

func setup(t *testing.T, instances ...string) *pipelinetest.Pipeline {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	for _, i := range instances {
		p.Register("shop", i)
	}
	return p
}

func refused(t *testing.T, p *pipelinetest.Pipeline, method, path, body string, code int, reason string) problem {
	t.Helper()
	got, h, raw := p.CallHeaders(method, path, body, nil)
	var e problem
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("%s %s: %d, not JSON: %s", method, path, got, raw)
	}
	if got != code || e.Reason != reason || e.Status != code || h.Get("Content-Type") != "application/problem+json" || e.Detail == "" {
		t.Errorf("%s %s: %d %s %s, want %d %s", method, path, got, h.Get("Content-Type"), raw, code, reason)
	}
	return e
}

func TestBackup_FromRequestToDeletion(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	code, h, raw := p.CallHeaders(http.MethodPost, base+"/backups", `{"instance":"orders","description":"x","labels":{"team":"core"}}`, nil)
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil || code != http.StatusAccepted || h.Get("Location") != base+"/backups/"+r.BackupID || r.State != "ENQUEUED" {
		t.Fatalf("%d %s %s", code, h.Get("Location"), raw)
	}
	refused(t, p, http.MethodDelete, base+"/backups/"+r.BackupID, "", 409, "NOT_DELETABLE")
	e := refused(t, p, http.MethodPost, base+"/backups", `{"instance":"orders"}`, 409, "PENDING_BACKUP_EXISTS")
	if e.ExistingBackupID != r.BackupID {
		t.Errorf("existing %q", e.ExistingBackupID)
	}
	p.Hand.Auto()
	p.Await("shop", r.BackupID, events.Succeeded)
	b := pipelinetest.JSON[backup](p, http.MethodGet, base+"/backups/"+r.BackupID, "")
	if b.State != "SUCCESSFUL" || b.Description != "x" || b.Labels["team"] != "core" || b.RequestID != r.RequestID || b.Proof != "CHECKED" || b.SizeBytes != 4096 || b.IDs.GaussDB == "" {
		t.Errorf("%+v", b)
	}
	refused(t, p, http.MethodPost, base+"/backups/"+r.BackupID+":cancel", "", 409, "NOT_CANCELLABLE")
	if code, body := p.Call(http.MethodDelete, base+"/backups/"+r.BackupID, ""); code != http.StatusAccepted {
		t.Fatalf("delete: %d %s", code, body)
	}
	p.Await("shop", r.BackupID, events.Deleted)
	list := pipelinetest.JSON[struct{ Backups []backup }](p, http.MethodGet, base+"/backups", "")
	if len(list.Backups) != 0 {
		t.Errorf("a deleted backup is listed: %+v", list)
	}
	refused(t, p, http.MethodPost, base+"/backups/"+r.BackupID+":restore", `{"target":{"instance":"orders"}}`, 409, "NOT_RESTORABLE")
	refused(t, p, http.MethodDelete, base+"/backups/"+r.BackupID, "", 409, "NOT_DELETABLE")
}

// Cases R3, R10.
func TestCreate_TheSameKeyTwice(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "users")
	key := http.Header{"Idempotency-Key": {"nightly-1"}}
	post := func(body string) (int, receipt) {
		code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", body, key)
		var r receipt
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		return code, r
	}
	_, first := post(`{"instance":"orders","description":"x"}`)
	code, second := post(`{"description":"x","instance":"orders"}`)
	if code != http.StatusAccepted || first.BackupID != second.BackupID || first.RequestID != second.RequestID {
		t.Errorf("%d %+v, first %+v", code, second, first)
	}
	p.Hand.Auto()
	p.Await("shop", first.BackupID, events.Succeeded)
	if _, third := post(`{"instance":"orders","description":"x"}`); third.BackupID != first.BackupID || third.State != "SUCCESSFUL" {
		t.Errorf("later: %+v", third)
	}
	for _, other := range []string{`{"instance":"orders","description":"y"}`, `{"instance":"users","description":"x"}`} {
		code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", other, key)
		var e problem
		if err := json.Unmarshal(raw, &e); err != nil || code != 409 || e.Reason != "IDEMPOTENCY_CONFLICT" || e.ExistingBackupID != first.BackupID {
			t.Errorf("%s: %d %s", other, code, raw)
		}
	}
}

// Case R2: the same request many times at once is one backup.
func TestCreate_TheSameKeyAtOnce(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	ids := make(chan string, 10)
	for range 10 {
		go func() {
			code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", `{"instance":"orders"}`, http.Header{"Idempotency-Key": {"k"}})
			var r receipt
			if err := json.Unmarshal(raw, &r); err != nil || code != http.StatusAccepted {
				t.Errorf("%d %s", code, raw)
			}
			ids <- r.BackupID
		}()
	}
	seen := map[string]bool{}
	for range 10 {
		seen[<-ids] = true
	}
	if len(seen) != 1 || seen[""] {
		t.Errorf("backups %v", seen)
	}
}

// Case E6.
func TestCreate_CarriesTheTraceToTheEnd(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", `{"instance":"orders"}`, http.Header{"Traceparent": {trace}})
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	p.Await("shop", r.BackupID, events.Succeeded)
	for _, ev := range p.Events("shop") {
		if ev.PartitionKey == r.BackupID && (ev.TraceParent != trace || ev.CorrelationID != r.RequestID) {
			t.Errorf("%s: trace %q, correlation %q", ev.ID, ev.TraceParent, ev.CorrelationID)
		}
	}
}

func TestInstances_ChangedInPartAndTakenOut(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	type shown struct {
		Outcome    string
		Generation int
		Config     map[string]any
	}
	const one = base + "/instances/orders"
	before := pipelinetest.JSON[shown](p, http.MethodGet, one, "")
	got := pipelinetest.JSON[shown](p, http.MethodPatch, one, `{"config":{"region":null,"labels":{"team":"core"}}}`)
	if got.Outcome != "updated" || got.Generation != 2 || got.Config["region"] != nil || got.Config["file"] != before.Config["file"] || fmt.Sprint(got.Config["labels"]) != "map[team:core]" {
		t.Errorf("%+v", got)
	}
	if got := pipelinetest.JSON[shown](p, http.MethodPatch, one, `{"config":{"labels":{"team":"core"}}}`); got.Outcome != "unchanged" || got.Generation != 2 {
		t.Errorf("%+v", got)
	}
	for config, named := range map[string]string{`{"flie":"/x"}`: "flie", `{"file":7}`: "file", `{"file":"relative"}`: "file", `{"engine":"` + strings.Repeat("x", 65) + `"}`: "engine",
		`{"databases":["` + strings.Repeat(`a","`, 200) + `b"]}`: "databases"} {
		if e := refused(t, p, http.MethodPatch, one, `{"config":`+config+`}`, 400, "SCHEMA_VIOLATION"); !strings.Contains(e.Detail, named) || strings.Contains(e.Detail, "configBody") {
			t.Errorf("%.40s: %s", config, e.Detail)
		}
	}
	if e := refused(t, p, http.MethodPatch, one, `{"conf":{}}`, 422, "SCHEMA_VIOLATION"); len(e.Violations) == 0 {
		t.Errorf("%+v", e)
	}
	refused(t, p, http.MethodPatch, base+"/instances/none", `{"config":{}}`, 404, "INSTANCE_NOT_FOUND")
	refused(t, p, http.MethodDelete, base+"/instances/none", "", 404, "INSTANCE_NOT_FOUND")
	r := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`)
	refused(t, p, http.MethodDelete, one, "", 409, "PENDING_BACKUP_EXISTS")
	p.Hand.Finish(r.BackupID, nil)
	p.Await("shop", r.BackupID, events.Succeeded)
	if got := pipelinetest.JSON[shown](p, http.MethodDelete, one, ""); got.Outcome != "deregistered" || got.Generation != 3 {
		t.Errorf("%+v", got)
	}
	refused(t, p, http.MethodGet, one, "", 404, "INSTANCE_NOT_FOUND")
	refused(t, p, http.MethodDelete, one, "", 404, "INSTANCE_NOT_FOUND")
	refused(t, p, http.MethodPost, base+"/backups", `{"instance":"orders"}`, 404, "INSTANCE_NOT_FOUND")
	if b := pipelinetest.JSON[backup](p, http.MethodGet, base+"/backups/"+r.BackupID, ""); b.State != "SUCCESSFUL" {
		t.Errorf("its backup is %s", b.State)
	}
	p.Register("shop", "orders")
	if got := pipelinetest.JSON[shown](p, http.MethodGet, one, ""); got.Generation != 4 {
		t.Errorf("registered again: %+v", got)
	}
}

// Changes of different members at once are all there in the end.
func TestInstances_ChangedAtOnce(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	var all sync.WaitGroup
	const many = 8
	for n := range many {
		all.Go(func() {
			if code, raw := p.Call(http.MethodPatch, base+"/instances/orders", fmt.Sprintf(`{"config":{"labels":{"l%d":"x"}}}`, n)); code != 200 {
				t.Errorf("%d %s", code, raw)
			}
		})
	}
	all.Wait()
	got := pipelinetest.JSON[struct {
		Generation int
		Config     struct{ Labels map[string]string }
	}](p, http.MethodGet, base+"/instances/orders", "")
	if len(got.Config.Labels) != many || got.Generation != many+1 {
		t.Errorf("%+v", got)
	}
}

func TestInstances_ApplyIsIdempotent(t *testing.T) {
	t.Parallel()
	p := setup(t)
	apply := func(body string) (out struct {
		Outcome    string
		Generation int
		Config     struct{ File string }
	}) {
		t.Helper()
		code, raw := p.Call(http.MethodPost, base+"/instances", body)
		if err := json.Unmarshal(raw, &out); err != nil || code != 200 {
			t.Fatalf("%d %s", code, raw)
		}
		return out
	}
	if got := apply(`{"provider":"sqlite","instance":"a","config":{"file":"/x/a.db"}}`); got.Outcome != "registered" || got.Generation != 1 {
		t.Errorf("%+v", got)
	}
	if got := apply(`{"provider":"sqlite","instance":"a","config":{"file":"/x/a.db"}}`); got.Outcome != "unchanged" || got.Generation != 1 {
		t.Errorf("%+v", got)
	}
	if got := apply(`{"provider":"sqlite","instance":"a","config":{"file":"/x/b.db"}}`); got.Outcome != "updated" || got.Generation != 2 || got.Config.File != "/x/b.db" {
		t.Errorf("%+v", got)
	}
	var fields []string
	for _, ev := range p.Events("shop") {
		i, err := events.Decode[events.Instance](ev.Event)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, string(ev.Step())+strings.Join(i.ChangedFields, ","))
	}
	if diff := cmp.Diff([]string{"registered", "updatedconfig.file"}, fields); diff != "" {
		t.Error(diff)
	}
	list := pipelinetest.JSON[struct{ Instances []struct{ Instance string } }](p, http.MethodGet, base+"/instances", "")
	if len(list.Instances) != 1 || list.Instances[0].Instance != "a" {
		t.Errorf("%+v", list)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	long := strings.Repeat("x", 101)
	for name, c := range map[string]struct {
		method, path, body string
		code               int
		reason             string
	}{
		"unknown instance":           {"POST", "/backups", `{"instance":"none"}`, 404, "INSTANCE_NOT_FOUND"},
		"malformed JSON":             {"POST", "/backups", `{"instance":`, 400, "SCHEMA_VIOLATION"},
		"no body":                    {"POST", "/backups", ``, 400, "SCHEMA_VIOLATION"},
		"missing field":              {"POST", "/backups", `{}`, 422, "SCHEMA_VIOLATION"},
		"unknown field":              {"POST", "/backups", `{"instance":"orders","instanse":"x"}`, 422, "SCHEMA_VIOLATION"},
		"wrong type":                 {"POST", "/backups", `{"instance":7}`, 422, "SCHEMA_VIOLATION"},
		"name too long":              {"POST", "/backups", `{"instance":"` + long + `"}`, 422, "SCHEMA_VIOLATION"},
		"name of long characters":    {"POST", "/instances", `{"provider":"sqlite","instance":"` + strings.Repeat("é", 60) + `","config":{"file":"/x"}}`, 400, "NAME_INVALID"},
		"control character":          {"POST", "/instances", `{"provider":"sqlite","instance":"a\u0007","config":{"file":"/x"}}`, 400, "NAME_INVALID"},
		"description too long":       {"POST", "/backups", `{"instance":"orders","description":"` + strings.Repeat("x", 1025) + `"}`, 422, "SCHEMA_VIOLATION"},
		"secret":                     {"POST", "/backups", `{"instance":"orders","description":"-----BEGIN RSA PRIVATE KEY-----"}`, 400, "FORBIDDEN_CONTENT"},
		"label key":                  {"POST", "/backups", `{"instance":"orders","labels":{"Team":"x"}}`, 400, "SCHEMA_VIOLATION"},
		"expired":                    {"POST", "/backups", `{"instance":"orders","expireTime":"2001-01-01T00:00:00Z"}`, 400, "SCHEMA_VIOLATION"},
		"too large":                  {"POST", "/backups", `{"instance":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "TOO_LARGE"},
		"unknown backup":             {"GET", "/backups/bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", ``, 404, "BACKUP_NOT_FOUND"},
		"not a backup id":            {"GET", "/backups/x", ``, 422, "SCHEMA_VIOLATION"},
		"cancel unknown":             {"POST", "/backups/bk_aaaaaaaaaaaaaaaaaaaaaaaaaa:cancel", ``, 404, "BACKUP_NOT_FOUND"},
		"delete unknown":             {"DELETE", "/backups/bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", ``, 404, "BACKUP_NOT_FOUND"},
		"restore unknown":            {"POST", "/backups/bk_aaaaaaaaaaaaaaaaaaaaaaaaaa:restore", `{"target":{"instance":"orders"}}`, 404, "BACKUP_NOT_FOUND"},
		"unknown restore":            {"GET", "/restores/rs_aaaaaaaaaaaaaaaaaaaaaaaaaa", ``, 404, "RESTORE_NOT_FOUND"},
		"unknown provider":           {"POST", "/instances", `{"provider":"oracle","instance":"x","config":{}}`, 400, "PROVIDER_UNSUPPORTED"},
		"sqlite without file":        {"POST", "/instances", `{"provider":"sqlite","instance":"x","config":{}}`, 400, "SCHEMA_VIOLATION"},
		"relative file":              {"POST", "/instances", `{"provider":"sqlite","instance":"x","config":{"file":"x.db"}}`, 400, "SCHEMA_VIOLATION"},
		"credential instead of name": {"POST", "/instances", `{"provider":"sqlite","instance":"x","config":{"file":"/x","credentialRef":"hunter2"}}`, 400, "SCHEMA_VIOLATION"},
		"limit":                      {"GET", "/backups?limit=0", ``, 422, "SCHEMA_VIOLATION"},
		"unknown path":               {"GET", "/nothing", ``, 404, "NOT_FOUND"},
		"doubled slash":              {"GET", "//backups", ``, 404, "NOT_FOUND"},
		"wrong verb":                 {"PUT", "/backups", `{}`, 404, "NOT_FOUND"},
		"credential with a secret":   {"POST", "/instances", `{"provider":"sqlite","instance":"x","config":{"file":"/x","credentialRef":"file:/run/token:x"}}`, 400, "FORBIDDEN_CONTENT"},
		"record too large":           {"POST", "/backups", `{"instance":"orders","labels":{` + manyLabels() + `}}`, 400, "SCHEMA_VIOLATION"},
		"stream cursor":              {"GET", "/events?cursor=x", ``, 400, "SCHEMA_VIOLATION"},
		"stream since":               {"GET", "/events?since=yesterday", ``, 400, "SCHEMA_VIOLATION"},
	} {
		t.Run(name, func(t *testing.T) {
			e := refused(t, p, c.method, base+c.path, c.body, c.code, c.reason)
			for _, v := range e.Violations {
				if strings.Contains(v.Message, "hunter2") || len(v.Message) > 300 {
					t.Errorf("the value is sent back: %+v", v)
				}
			}
		})
	}
	if n := len(p.Events("shop")); n != 1 {
		t.Errorf("refused requests left %d events", n-1)
	}
}

func TestOneProjectDoesNotSeeAnother(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	r := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`)
	refused(t, p, http.MethodGet, "/api/v1/projects/other/backups/"+r.BackupID, "", 404, "BACKUP_NOT_FOUND")
	refused(t, p, http.MethodDelete, "/api/v1/projects/other/backups/"+r.BackupID, "", 404, "BACKUP_NOT_FOUND")
	refused(t, p, http.MethodPost, "/api/v1/projects/other/backups", `{"instance":"orders"}`, 404, "INSTANCE_NOT_FOUND")
	p.Await("shop", r.BackupID, events.Succeeded)
}

func TestOpenAPI_IsTheGoldenDocument(t *testing.T) {
	t.Parallel()
	p := setup(t)
	code, raw := p.Call(http.MethodGet, "/api/openapi.json", "")
	if code != 200 {
		t.Fatalf("%d %s", code, raw)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1") {
		t.Errorf("openapi %q", v)
	}
	got, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("the API changed (go test -update rewrites the document):\n%s", diff)
	}
}

// manyLabels are labels that grow sixfold when they are encoded.
func manyLabels() string {
	var l []string
	for n := range 32 {
		l = append(l, fmt.Sprintf(`"l%d":"%s"`, n, strings.Repeat("<", 255)))
	}
	return strings.Join(l, ",")
}

// A repeat of a cancel or a deletion with its key gets the same answer, whatever has become of it.
func TestChange_TheSameKeyTwice(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	key := http.Header{"Idempotency-Key": {"k"}}
	p.Executors.Stop()
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`).BackupID
	for range 2 {
		if code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups/"+id+":cancel", "", key); code != http.StatusAccepted {
			t.Errorf("cancel: %d %s", code, raw)
		}
	}
	p.Executors.Start()
	p.Hand.Auto()
	id = pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`).BackupID
	p.Await("shop", id, events.Succeeded)
	for range 2 {
		code, _, raw := p.CallHeaders(http.MethodDelete, base+"/backups/"+id, "", key)
		if code != http.StatusAccepted {
			t.Errorf("delete: %d %s", code, raw)
		}
		p.Await("shop", id, events.Deleted)
	}
}

// A page that a browser shows may neither send requests nor read answers.
func TestServer_AnswersNoWebPage(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	if code, _, raw := p.CallHeaders(http.MethodPost, base+"/backups", `{"instance":"orders"}`, http.Header{"Origin": {"https://evil.example"}}); code != http.StatusForbidden {
		t.Errorf("foreign origin: %d %s", code, raw)
	}
	req, err := http.NewRequest(http.MethodGet, p.URL+base+"/backups", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("foreign host: %d", resp.StatusCode)
	}
}
