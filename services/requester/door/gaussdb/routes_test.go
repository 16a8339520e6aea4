package gaussdb_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
)

func TestRoutes_ArePathsAsTheyCome(t *testing.T) { // 1.2; cases 7, 36; rows 11, 12
	t.Parallel()
	p := setup(t, settings{}, "orders")
	const unknown, method = "The API does not exist or has not been published in the environment", "The API does not exist."
	for _, c := range []struct{ method, path, message string }{
		{"GET", "/v3", unknown}, {"GET", "/v3/", unknown}, {"GET", "/mysql/v3", unknown}, {"GET", "/mysql/v3/", unknown}, {"GET", "/v3/" + project, unknown},
		{"GET", path("backups") + "/", unknown}, {"DELETE", path("backups") + "/", unknown}, {"GET", "/v3//backups", unknown},
		{"POST", path("backups", "create") + "/", unknown}, {"GET", path("instances", "x") + "/", unknown}, {"GET", path("Backups"), unknown},
		{"POST", path("backups", "restore", "x"), unknown}, {"GET", path(".", "backups"), unknown}, {"GET", path("x", "..", "backups"), unknown},
		{"PUT", path("backups", "offsite-policy", "x"), unknown}, {"POST", "/mysql/v3/projects", unknown},
		{"POST", path("backups"), method}, {"GET", path("backups", "create"), method}, {"PUT", path("backups", "create"), method}, {"GET", path("backups", "x"), method},
		{"POST", path("jobs"), method}, {"DELETE", path("instances", "x"), method}, {"GET", path("instances", "x", "backups", "policy", "update"), method}, {"POST", "/v3/projects", method},
		{"OPTIONS", path("backups"), method},
	} {
		if e := refused(t, p, c.method, c.path, "", 404, "APIGW.0101"); e.Message != c.message {
			t.Errorf("%s %s: %s", c.method, c.path, e.Message)
		}
	}
}

func TestAnswers_HaveAnIdAndAreJSON(t *testing.T) { // case 36
	t.Parallel()
	p := setup(t, settings{}, "orders")
	seen := map[string]bool{}
	for _, c := range []struct{ method, path, body string }{
		{"POST", path("backups", "create"), body(t, "orders", "backup-1", "")}, {"GET", path("backups"), ""}, {"GET", path("instances", gaussID(t, project, "orders")), ""},
		{"GET", "/v3/projects?name=x", ""}, {"GET", "/v3/x", ""}, {"POST", path("backups", "create"), "x"}, {"DELETE", path("backups"), `{"backup_ids":["x"]}`},
	} {
		code, header, raw := p.CallHeaders(c.method, c.path, c.body, http.Header{"Content-Type": {"application/json;charset=UTF-8"}})
		id := header.Get("X-Request-Id")
		if len(id) != 32 || seen[id] || header.Get("Content-Type") != "application/json" || !json.Valid(raw) || code >= 300 && code < 400 {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, code, header, raw)
		}
		seen[id] = true
	}
}

func TestBody_Bounds(t *testing.T) { // row 13
	t.Parallel()
	p := setup(t, settings{}, "orders")
	const most = 12 << 20
	before := len(p.Events(project))
	pad := func(n int) string { return `{"name":"` + strings.Repeat("x", n-len(`{"name":""}`)) + `"}` }
	refused(t, p, http.MethodPost, path("backups", "create"), pad(most), 400, "DBS.280001")
	refused(t, p, http.MethodPost, path("backups", "create"), pad(64<<10), 400, "DBS.200006") // decoded: no instance
	refused(t, p, http.MethodPost, path("backups", "create"), pad(64<<10+1), 400, "DBS.280001")
	refused(t, p, http.MethodPost, path("backups", "create"), pad(most+1), 413, "APIGW.0201")
	refused(t, p, http.MethodDelete, path("backups", "x"), pad(most+1), 413, "APIGW.0201")
	if n := len(p.Events(project)); n != before {
		t.Errorf("%d events", n-before)
	}
	w := newWorld(t, settings{}, nil)
	r := w.doUnsized(http.MethodPost, path("backups", "create"), pad(most+1)) // a length nobody said
	asRefusal(t, "chunked", r.Code, r.Header(), r.Body.Bytes(), 413, "APIGW.0201")
}

func TestLanguage(t *testing.T) { // case 35, 5.4
	t.Parallel()
	p := setup(t, settings{}, "orders")
	say := func(lang, method, path, body string) (int, refusal) {
		code, _, raw := p.CallHeaders(method, path, body, http.Header{"X-Language": {lang}})
		var e refusal
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		return code, e
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", path("backups", "create"), ""}, {"POST", path("backups", "create"), body(t, "orders", "1", "")}, {"POST", path("backups", "create"), body(t, "orders", "name", "<")},
		{"GET", path("backups") + "?limit=0", ""}, {"GET", path("backups") + "?offset=x", ""}, {"GET", path("backups") + "?begin_time=x", ""}, {"DELETE", path("backups", "x"), ""},
		{"GET", path("jobs") + "?id=x", ""}, {"GET", path("instances", "x"), ""}, {"GET", path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01"), ""}, {"GET", "/v3/%7Bproject_id%7D/backups", ""},
	} {
		code, english := say("en-us", c.method, c.path, c.body)
		for _, lang := range []string{"zh-cn", "fr-fr", "", "ZH-CN"} {
			got, e := say(lang, c.method, c.path, c.body)
			chinese := strings.ContainsFunc(e.Message, func(r rune) bool { return unicode.Is(unicode.Han, r) })
			if got != code || e.Code != english.Code || chinese != strings.EqualFold(lang, "zh-cn") || !chinese && e.Message != english.Message {
				t.Errorf("%s %s in %q: %d %+v", c.method, c.path, lang, got, e)
			}
		}
	}
	if _, e := say("zh-cn", "GET", "/v3/x", ""); e.Message != "The API does not exist or has not been published in the environment" {
		t.Errorf("the gateway speaks English: %+v", e)
	}
	_, raw := p.Call(http.MethodDelete, path("backups"), `{"backup_ids":["x"]}`)
	if !strings.Contains(string(raw), `"error_msg":"The backup file does not exist."`) {
		t.Errorf("%s", raw)
	}
	_, _, raw = p.CallHeaders(http.MethodDelete, path("backups"), `{"backup_ids":["x"]}`, http.Header{"X-Language": {"zh-cn"}})
	if !strings.Contains(string(raw), `"error_msg":"备份文件不存在。"`) {
		t.Errorf("%s", raw)
	}
}

func TestNames_ChineseWhereTheyAreAllowed(t *testing.T) { // 4.1
	t.Parallel()
	instances := []string{"a", "b"}
	p := setup(t, settings{Config: gaussdb.Config{ChineseNames: true}}, instances...)
	for i, name := range []string{"备份备份", "备" + strings.Repeat("x", 61)} {
		if c := create(t, p, instances[i], name); c.Backup.Name != name {
			t.Errorf("%+v", c)
		}
		if l := list(p, fmt.Sprintf("name=%s", name)); l.TotalCount != 1 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for _, name := range []string{"备份备", strings.Repeat("备", 22), "备" + strings.Repeat("x", 62), "1备份备", "备份 备", "бэкап"} {
		refused(t, p, http.MethodPost, path("backups", "create"), body(t, "a", name, ""), 400, "DBS.280277")
	}
}

// The example requests of the two seed documents, as they stand there.
func TestSeeds_Examples(t *testing.T) { // 4.11
	t.Parallel()
	const seedProject, seedInstance = "0483b6b16e954cb88930a360d2c4e663", "d8e6ca5a624745bcb546a227aa3ae1cfin01"
	p := setup(t, settings{}, "orders")
	create := `{ "instance_id": "` + seedInstance + `", "name": "backup-1", "description": "manual backup" }`
	refused(t, p, http.MethodPost, "/mysql/v3/"+seedProject+"/backups/create", create, 404, "DBS.201028") // not here
	code, raw := p.Call(http.MethodPost, "/mysql/v3/"+seedProject+"/backups/create", strings.Replace(create, seedInstance, gaussID(t, project, "orders"), 1))
	var got struct{ Backup map[string]any }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	for member, want := range map[string]any{"name": "backup-1", "status": "BUILDING", "type": "manual", "description": "manual backup", "instance_id": gaussID(t, project, "orders")} {
		if got.Backup[member] != want {
			t.Errorf("%s is %v", member, got.Backup[member])
		}
	}
	if code != http.StatusCreated || len(got.Backup) != 7 {
		t.Errorf("%d %s", code, raw)
	}
	query := "?instance_id=43e4feaab48f11e89039fa163ebaa7e4br01&backup_id=c0c9f155c7b7423a9d30f0175998b63bbr01&backup_type=auto&offset=0&limit=10&begin_time=2020-07-06T10:41:14+0800&end_time=2020-07-16T10:41:14+0800"
	for _, prefix := range []string{"/v3/", "/mysql/v3/"} {
		code, raw := p.Call(http.MethodGet, prefix+"97b026aa9cc4417888c14c84a1ad9860/backups"+query, "")
		if code != http.StatusOK || strings.TrimSpace(string(raw)) != `{"backups":[],"total_count":0}` {
			t.Errorf("%d %s", code, raw)
		}
	}
}
