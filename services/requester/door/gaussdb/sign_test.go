package gaussdb_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// The keys of gaussdb.md 3.4, which are made up.
const (
	ak        = "BBEXAMPLEACCESSKEY01"
	sk        = "bbExampleSecretKey0123456789abcdefGHIJKL"
	sdkAgent  = "huaweicloud-usdk-go/3.0; backupbus-vector/1"
	vectorDay = "20260102T030405Z"
)

var granted = settings{Access: access.Grants{{AccessKey: ak, SecretKeyRef: "env:SK", Projects: []string{project, "97b026aa9cc4417888c14c84a1ad9861"}, Permissions: []string{"*"}}}}

func locked(t testing.TB) *world { return newWorld(t, granted, map[string]string{"SK": sk}) }

// request is one as it stands on the wire.
type request struct {
	method, path, body string
	header             map[string]string
}

func authorization(signed, signature string) string {
	return "SDK-HMAC-SHA256 Access=" + ak + ", SignedHeaders=" + signed + ", Signature=" + signature
}

// vectors are A, B and C of gaussdb.md 3.4, byte for byte.
func vectors() map[string]request {
	return map[string]request{
		"A": {http.MethodPost, "/v3/" + project + "/backups/create",
			`{"instance_id":"d8e6ca5a624745bcb546a227aa3ae1cfin01","name":"backup-1","description":"manual backup"}` + "\n",
			map[string]string{"User-Agent": sdkAgent, "X-Project-Id": project, "X-Sdk-Date": vectorDay, "Authorization": authorization(
				"user-agent;x-project-id;x-sdk-date", "c63422f604faeda2a1e3abe75f8c2b1a2b9b80abc4f8d878548c2d8d3ccbafd5")}},
		"B": {http.MethodGet, "/v3/" + project + "/backups?backup_type=auto&begin_time=2020-07-06T10%3A41%3A14%2B0800&end_time=2020-07-16T10%3A41%3A14%2B0800&instance_id=43e4feaab48f11e89039fa163ebaa7e4br01&limit=10&name&offset=0", "",
			map[string]string{"User-Agent": sdkAgent, "X-Language": "zh-cn", "X-Project-Id": project, "X-Sdk-Date": vectorDay, "Authorization": authorization(
				"user-agent;x-language;x-project-id;x-sdk-date", "92943225afd3211d5a2c10c7cf9403db44c334fc1e0d63982b072d7fb2ca2665")}},
		"C": {http.MethodPost, "/mysql/v3/" + project + "/backups/create", `{"instance_id":"d8e6ca5a624745bcb546a227aa3ae1cfin01","name":"backup-1"}`,
			map[string]string{"Host": "gaussdb.test:8443", "X-Project-Id": project, "X-Sdk-Date": vectorDay, "Authorization": authorization(
				"host;x-project-id;x-sdk-date", "82549e1ae3ca574da5f1e49f843c5dae8113805c3a8f0cb60ae7489a2b27218b")}},
	}
}

func (w *world) send(r request) *httptest.ResponseRecorder {
	return w.do(r.method, r.path, r.body, r.header)
}

// denied sends a request that has to be refused with 401, and gives the text.
func (w *world) denied(what string, r request) string {
	w.t.Helper()
	rec := w.send(r)
	return asRefusal(w.t.(*testing.T), what, rec.Code, rec.Header(), rec.Body.Bytes(), http.StatusUnauthorized, "APIGW.0301").Message
}

func TestSignature_Vectors(t *testing.T) { // case 3
	t.Parallel()
	w := locked(t)
	for name, r := range vectors() {
		want := map[string]int{"A": 404, "B": 200, "C": 404}[name] // that instance is not there
		if rec := w.send(r); rec.Code != want {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

func TestSignature_ClockWindow(t *testing.T) { // case 5, row 6
	t.Parallel()
	w := locked(t)
	begin := w.now
	for minutes, passes := range map[int]bool{-16: false, 16: false, -14: true, 14: true, 15: true, -15: true} {
		w.now = begin.Add(time.Duration(minutes) * time.Minute)
		for name, r := range vectors() {
			if passes {
				if rec := w.send(r); rec.Code == http.StatusUnauthorized {
					t.Errorf("%s after %d minutes: %s", name, minutes, rec.Body)
				}
			} else if m := w.denied(name, r); !strings.HasSuffix(m, "calc ak sk signature fail:signature expired") {
				t.Errorf("%s after %d minutes: %s", name, minutes, m)
			}
		}
	}
}

func TestSignature_AnyByteChanged(t *testing.T) { // case 4, rows 5 and 7
	t.Parallel()
	w := locked(t)
	with := func(r request, header, value string) request {
		h := map[string]string{}
		for k, v := range r.header {
			h[k] = v
		}
		if h[header] = value; value == "" {
			delete(h, header)
		}
		r.header = h
		return r
	}
	v := vectors()
	for what, r := range map[string]request{
		"method":          {http.MethodDelete, strings.TrimSuffix(v["A"].path, "/create") + "/create", v["A"].body, v["A"].header},
		"path":            {v["A"].method, strings.Replace(v["A"].path, project, "97b026aa9cc4417888c14c84a1ad9861", 1), v["A"].body, v["A"].header},
		"prefix":          {v["A"].method, "/mysql" + v["A"].path, v["A"].body, v["A"].header},
		"query":           {v["B"].method, strings.Replace(v["B"].path, "limit=10", "limit=11", 1), "", v["B"].header},
		"more query":      {v["B"].method, v["B"].path + "&x", "", v["B"].header},
		"query on A":      {v["A"].method, v["A"].path + "?x=", v["A"].body, v["A"].header},
		"body":            {v["A"].method, v["A"].path, strings.Replace(v["A"].body, "backup-1", "backup-2", 1), v["A"].header},
		"body's last LF":  {v["A"].method, v["A"].path, strings.TrimSuffix(v["A"].body, "\n"), v["A"].header},
		"body of a GET":   {v["B"].method, v["B"].path, "x", v["B"].header},
		"header":          with(v["A"], "User-Agent", sdkAgent+"1"),
		"date":            with(v["A"], "X-Sdk-Date", "20260102T030406Z"),
		"host":            with(v["C"], "Host", "gaussdb.test"),
		"signature":       with(v["A"], "Authorization", authorization("user-agent;x-project-id;x-sdk-date", "d63422f604faeda2a1e3abe75f8c2b1a2b9b80abc4f8d878548c2d8d3ccbafd5")),
		"signature upper": with(v["A"], "Authorization", authorization("user-agent;x-project-id;x-sdk-date", "C63422F604FAEDA2A1E3ABE75F8C2B1A2B9B80ABC4F8D878548C2D8D3CCBAFD5")),
		"signed headers":  with(v["A"], "Authorization", authorization("x-project-id;x-sdk-date", "c63422f604faeda2a1e3abe75f8c2b1a2b9b80abc4f8d878548c2d8d3ccbafd5")),
	} {
		m := w.denied(what, r)
		if !strings.Contains(m, "verify aksk signature fail, canonicalRequest:"+r.method+"|/") || strings.Contains(m, "\n") || strings.Contains(m, sk) {
			t.Errorf("%s: %s", what, m)
		}
	}
	for what, r := range map[string]request{ // row 7: the same text, and nothing after it
		"no date":            with(v["A"], "X-Sdk-Date", ""),
		"malformed date":     with(v["A"], "X-Sdk-Date", "2026-01-02T03:04:05Z"),
		"date not signed":    with(v["A"], "Authorization", authorization("user-agent;x-project-id", "00")),
		"header not sent":    with(v["A"], "X-Project-Id", ""),
		"SM3":                with(v["A"], "Authorization", "SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=00"),
		"ECDSA":              with(v["A"], "Authorization", "SDK-ECDSA-P256-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=00"),
		"derived":            with(v["A"], "Authorization", "V11-HMAC-SHA256 Credential=a/20260102/x, SignedHeaders=x-sdk-date, Signature=00"),
		"bearer":             with(v["A"], "Authorization", "Bearer x"),
		"no fields":          with(v["A"], "Authorization", "SDK-HMAC-SHA256"),
		"two fields":         with(v["A"], "Authorization", "SDK-HMAC-SHA256 Access=a, Signature=00"),
		"field twice":        with(v["A"], "Authorization", "SDK-HMAC-SHA256 Access=a, Access=b, SignedHeaders=x-sdk-date, Signature=00"),
		"field without =":    with(v["A"], "Authorization", "SDK-HMAC-SHA256 Access=a, SignedHeaders, Signature=00"),
		"unsigned payload":   with(v["A"], "X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD"),
		"hash of other body": with(v["A"], "X-Sdk-Content-Sha256", strings.Repeat("0", 64)),
		"101 headers":        with(v["A"], "Authorization", authorization("x-sdk-date"+strings.Repeat(";host", 100), "00")),
	} {
		if m := w.denied(what, r); !strings.HasSuffix(m, "verify aksk signature fail") {
			t.Errorf("%s: %s", what, m)
		}
	}
	if m := w.denied("unknown key", with(v["A"], "Authorization", strings.Replace(v["A"].header["Authorization"], ak, "NOBODY", 1))); !strings.HasSuffix(m, "Get secretKey failed,ak:NOBODY,err:ak not exist") {
		t.Errorf("row 4: %s", m)
	}
}

// The text of a refusal shows what was to be signed, but no token, and not without end.
func TestSignature_RefusalShowsNoToken(t *testing.T) { // row 5
	t.Parallel()
	w := locked(t)
	const temporary, user = "temporary-token-of-somebody", "user-token-of-somebody"
	r := httptest.NewRequest(http.MethodGet, path("backups"), http.NoBody)
	r.Header.Set("X-Security-Token", temporary)
	r.Header.Set("X-Auth-Token", user)
	r.Header.Set("X-Long", strings.Repeat("x", 100_000))
	signer{ak: ak, sk: sk + "x", headers: []string{"x-auth-token", "x-long", "x-sdk-date", "x-security-token"}}.sign(r, "", w.now)
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	m := asRefusal(t, "wrong", rec.Code, rec.Header(), rec.Body.Bytes(), 401, "APIGW.0301").Message
	if strings.Contains(m, temporary) || strings.Contains(m, user) || !strings.Contains(m, "canonicalRequest:GET|/") || !strings.Contains(m, "|x-auth-token:***|x-long:xx") || len(m) > 5000 {
		t.Errorf("%d bytes: %.300s", len(m), m)
	}
	signer{ak: ak, sk: sk, headers: []string{"x-auth-token", "x-sdk-date", "x-security-token"}}.sign(r, "", w.now) // the hash is over the true ones
	rec = httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// signer makes signatures from the published algorithm, apart from the door's code: which headers it signs tells
// clients apart (3.3).
type signer struct {
	ak, sk  string
	headers []string // all that are there if nil
}

func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

func (s signer) sign(r *http.Request, body string, at time.Time) {
	r.Header.Set("X-Sdk-Date", at.UTC().Format("20060102T150405Z"))
	names := s.headers
	if names == nil {
		names = []string{"host"}
		for k := range r.Header {
			names = append(names, strings.ToLower(k))
		}
	}
	slices.Sort(names)
	var head strings.Builder
	for _, n := range names {
		v := r.Header.Get(n)
		if n == "host" {
			if v = r.Host; v == "" {
				v = r.URL.Host
			}
		}
		fmt.Fprintf(&head, "%s:%s\n", n, strings.TrimSpace(v))
	}
	uri := ""
	for _, seg := range strings.Split(strings.Trim(r.URL.Path, "/"), "/") {
		uri += "/" + escape(seg)
	}
	var query []string
	for k, vs := range r.URL.Query() {
		for _, v := range vs {
			query = append(query, escape(k)+"="+escape(v))
		}
	}
	slices.Sort(query)
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	text := r.Method + "\n" + uri + "/\n" + strings.Join(query, "&") + "\n" + head.String() + "\n" + strings.Join(names, ";") + "\n" + hash(body)
	mac := hmac.New(sha256.New, []byte(s.sk))
	mac.Write([]byte("SDK-HMAC-SHA256\n" + r.Header.Get("X-Sdk-Date") + "\n" + hash(text)))
	r.Header.Set("Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x", s.ak, strings.Join(names, ";"), mac.Sum(nil)))
}

func TestSignature_OfOtherClients(t *testing.T) { // 3.3: Python signs all headers, Java and Terraform some
	t.Parallel()
	w := locked(t)
	w.instance(project, "orders")
	w.backup(project, "orders", 1, nil)
	for name, c := range map[string]struct {
		s      signer
		header map[string]string
		late   map[string]string // added after signing
	}{
		"python": {signer{ak: ak, sk: sk}, map[string]string{"Content-Type": "application/json;charset=utf8", "User-Agent": "huaweicloud-usdk-python/3.0", "X-Project-Id": project}, nil},
		"java":   {signer{ak: ak, sk: sk, headers: []string{"content-type", "host", "x-project-id", "x-sdk-date"}}, map[string]string{"Content-Type": "application/json", "X-Project-Id": project}, nil},
		"terraform": {signer{ak: ak, sk: sk, headers: []string{"accept", "content-type", "user-agent", "x-sdk-date"}},
			map[string]string{"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "HashiCorp Terraform/1.9"}, map[string]string{"X-Project-Id": project, "X-Domain-Id": "d"}},
		"date alone": {signer{ak: ak, sk: sk, headers: []string{"x-sdk-date"}}, nil, nil},
		"spaces":     {signer{ak: ak, sk: sk}, map[string]string{"X-Odd": "  a  b  "}, nil},
	} {
		for _, path := range []string{path("backups"), path("backups") + "?name=a%20b&begin_time=2026-01-02T03:04:05%2B0800&limit=5&limit=6&empty=", path("backups") + "?name=%E5%A4%87%2F%2A~",
			"/mysql" + path("backups") + "?begin_time=2020-07-06T10:41:14+0800"} {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			c.s.sign(r, "", w.now)
			for k, v := range c.late {
				r.Header.Set(k, v)
			}
			rec := httptest.NewRecorder()
			w.door.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				t.Errorf("%s %s: %d %s", name, path, rec.Code, rec.Body)
			}
		}
	}
}

func TestSignature_SeveralValuesOfOneHeader(t *testing.T) { // 3.1, part 4: sorted, one line each
	t.Parallel()
	w := locked(t)
	const path, date = "/v3/" + project + "/backups", vectorDay
	text := "GET\n" + path + "/\n\nx-odd:a\nx-odd:b  c\nx-sdk-date:" + date + "\n\nx-odd;x-sdk-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sum := sha256.Sum256([]byte(text))
	mac := hmac.New(sha256.New, []byte(sk))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%x", date, sum)
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Header = http.Header{"X-Odd": {"b  c", "a"}, "X-Sdk-Date": {date}, "Authorization": {authorization("x-odd;x-sdk-date", hex.EncodeToString(mac.Sum(nil)))}}
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestSignature_BarePlusSignedAsItself(t *testing.T) { // 3.2
	t.Parallel()
	w := locked(t)
	r := httptest.NewRequest(http.MethodGet, path("backups")+"?begin_time=2020-07-06T10:41:14%2B0800", http.NoBody)
	signer{ak: ak, sk: sk, headers: []string{"x-sdk-date"}}.sign(r, "", w.now)
	r.URL.RawQuery = "begin_time=2020-07-06T10:41:14+0800" // what a careless client sends
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestAccess_Tokens(t *testing.T) { // rows 1 to 3; case 7
	t.Parallel()
	c := settings{Access: access.Grants{
		{TokenRef: "env:ONE", Projects: []string{project}, Expires: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC), Permissions: []string{"*"}},
		{TokenRef: "env:TWO", Projects: []string{other}, Permissions: []string{"*"}},
	}}
	w := newWorld(t, c, map[string]string{"ONE": "token-one-of-two", "TWO": "token-two-of-two"})
	w.backup(project, "orders", 1, nil)
	w.backup(other, "orders", 2, nil)
	at := func(token, path string) request {
		r := request{method: http.MethodGet, path: path, header: map[string]string{}}
		if token != "" {
			r.header["X-Auth-Token"] = token
		}
		return r
	}
	if m := w.denied("none", at("", path("backups"))); m != "Incorrect IAM authentication information: x-auth-token not found" {
		t.Error(m)
	}
	for _, token := range []string{"token", "token-one-of-two ", "Token-One-Of-Two", strings.Repeat("x", 20_000)} {
		if m := w.denied("unknown", at(token, path("backups"))); token != "token-one-of-two " && m != "Incorrect IAM authentication information: decrypt token fail" {
			t.Error(m)
		}
	}
	for token, p := range map[string]string{"token-one-of-two": project, "token-two-of-two": other} {
		if rec := w.send(at(token, "/v3/"+p+"/backups")); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"total_count":1`) {
			t.Errorf("%s: %d %s", token, rec.Code, rec.Body)
		}
	}
	w.now = time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)
	if m := w.denied("expired", at("token-one-of-two", path("backups"))); m != "Incorrect IAM authentication information: token expires, expires_at: 2026-01-02T04:00:00Z" {
		t.Error(m)
	}
	rec := w.send(at("", "/v3/nowhere")) // the route is decided first
	asRefusal(t, "unknown path", rec.Code, rec.Header(), rec.Body.Bytes(), 404, "APIGW.0101")
}

// longer is a token of a length that is accepted.
func longer(token string) string { return token + "-0123456789abcdef" }

func TestAccess_Projects(t *testing.T) { // case 10; rows 9 and 10
	t.Parallel()
	c := settings{Access: access.Grants{
		{TokenRef: "env:ONE", Projects: []string{project}, Permissions: []string{"*"}}, {TokenRef: "env:TWO", Projects: []string{other}, Permissions: []string{"*"}},
		{TokenRef: "env:READ", Projects: []string{project}, Permissions: []string{"gaussdb:backup:list", "gaussdbformysql:backup:listPolicy"}},
	}}
	w := newWorld(t, c, map[string]string{"ONE": longer("one"), "TWO": longer("two"), "READ": longer("read")})
	orders := w.instance(project, "orders")
	mine, theirs := w.backup(project, "orders", 1, nil), w.backup(other, "orders", 2, nil)
	call := func(token, method, path string, status int, code string) {
		t.Helper()
		rec := w.do(method, path, "", map[string]string{"X-Auth-Token": longer(token)})
		if code == "" {
			if rec.Code != status {
				t.Errorf("%s %s as %s: %d %s", method, path, token, rec.Code, rec.Body)
			}
			return
		}
		asRefusal(t, path+" as "+token, rec.Code, rec.Header(), rec.Body.Bytes(), status, code)
		if strings.Contains(rec.Body.String(), theirs.IDs.GaussDB) || strings.Contains(rec.Body.String(), mine.IDs.GaussDB) {
			t.Errorf("data in %s", rec.Body)
		}
	}
	call("one", http.MethodGet, path("backups"), 200, "")
	call("one", http.MethodGet, "/v3/"+other+"/backups", 403, "DBS.200010")
	call("two", http.MethodGet, path("backups"), 403, "DBS.200010")
	call("one", http.MethodGet, "/v3/%7Bproject_id%7D/backups", 403, "DBS.200010")
	call("one", http.MethodDelete, "/v3/"+other+"/backups/"+theirs.IDs.GaussDB, 403, "DBS.200010")
	call("one", http.MethodDelete, path("backups", theirs.IDs.GaussDB), 400, "DBS.201203")
	call("one", http.MethodGet, path("jobs")+"?id="+theirs.IDs.Operation, 400, "DBS.200543")
	call("read", http.MethodGet, path("backups"), 200, "")
	call("read", http.MethodGet, path("instances", orders.IDs.GaussDB, "backups", "policy"), 200, "")
	call("read", http.MethodDelete, path("backups", mine.IDs.GaussDB), 403, "DBS.280015")
	call("read", http.MethodPost, path("backups", "create"), 403, "DBS.280015")
	if l := w.do(http.MethodGet, path("backups")+"?backup_id="+theirs.IDs.GaussDB, "", map[string]string{"X-Auth-Token": longer("one")}); !strings.Contains(l.Body.String(), `"total_count":0`) {
		t.Errorf("%s", l.Body)
	}
}

// Neither an answer nor a line of the log holds a key or a token, whatever is refused or fails.
func TestAnswers_HoldNoSecret(t *testing.T) {
	t.Parallel()
	const token, temporary = "token-that-nobody-may-see", "temporary-that-nobody-may-see"
	store := &broken{Store: view.NewMemory(time.Now)}
	w := newWorldOver(t, store, nil, settings{Access: access.Grants{
		{AccessKey: ak, SecretKeyRef: "env:SK", SecurityTokenRef: "env:ST", Projects: []string{project}, Permissions: []string{"*"}}, {TokenRef: "env:TOKEN", Projects: []string{project}, Permissions: []string{"*"}},
	}}, map[string]string{"SK": sk, "ST": temporary, "TOKEN": token})
	var said strings.Builder
	statuses := map[int]int{}
	for _, off := range []bool{false, true} {
		store.off.Store(off)
		for _, c := range []struct{ method, path, body string }{
			{"GET", path("backups"), ""}, {"GET", path("backups") + "?limit=0", ""}, {"GET", "/v3/" + other + "/backups", ""}, {"GET", path("jobs") + "?id=x", ""},
			{"POST", path("backups", "create"), `{"name":"` + token + `","instance_id":"` + sk + `"}`}, {"DELETE", path("backups", "x"), ""}, {"GET", "/v3/nowhere", ""},
			{"DELETE", path("backups"), `{"backup_ids":["x"]}`}, {"GET", path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01"), ""},
		} {
			for _, s := range []signer{{ak: ak, sk: sk}, {ak: ak, sk: "wrong"}, {}} {
				r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				r.Header.Set("X-Auth-Token", token)
				r.Header.Set("X-Security-Token", temporary)
				if s.ak != "" {
					s.headers = []string{"x-auth-token", "x-sdk-date", "x-security-token"}
					s.sign(r, c.body, w.now)
				}
				rec := httptest.NewRecorder()
				w.door.ServeHTTP(rec, r)
				statuses[rec.Code]++
				said.Write(rec.Body.Bytes())
			}
		}
	}
	for _, status := range []int{200, 400, 401, 403, 404, 500} {
		if statuses[status] == 0 {
			t.Errorf("nothing was answered with %d: %v", status, statuses)
		}
	}
	if w.log.Len() == 0 {
		t.Error("nothing was logged")
	}
	for where, text := range map[string]string{"answers": said.String(), "log": w.log.String()} {
		for _, secret := range []string{sk, token, temporary, ak} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in the %s:\n%s", secret, where, text)
			}
		}
	}
}

func TestAccess_OpenDoor(t *testing.T) { // no entry: anybody, but a project there has to be
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	for _, header := range []map[string]string{{}, {"X-Auth-Token": "any"}, {"Authorization": "SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=00"}} {
		if rec := w.do(http.MethodGet, path("backups"), "", header); rec.Code != http.StatusOK {
			t.Errorf("%v: %d %s", header, rec.Code, rec.Body)
		}
	}
	for _, p := range []string{"%7Bproject_id%7D", "%0A", "%FF", strings.Repeat("x", 101)} { // case 9
		w.refused(http.MethodGet, "/v3/"+p+"/backups", "", 403, "DBS.200010")
	}
}

func TestAccess_TemporaryKeys(t *testing.T) { // 3.2 (h)
	t.Parallel()
	c := settings{Access: access.Grants{{AccessKey: ak, SecretKeyRef: "env:SK", SecurityTokenRef: "env:ST", Projects: []string{project}, Permissions: []string{"*"}}}}
	w := newWorld(t, c, map[string]string{"SK": sk, "ST": "temporary"})
	for token, want := range map[string]int{"temporary": 200, "": 401, "other": 401} {
		r := httptest.NewRequest(http.MethodGet, path("backups"), http.NoBody)
		signer{ak: ak, sk: sk, headers: []string{"x-sdk-date"}}.sign(r, "", w.now)
		r.Header.Set("X-Security-Token", token)
		rec := httptest.NewRecorder()
		w.door.ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("%q: %d %s", token, rec.Code, rec.Body)
		}
	}
}

func TestAccess_KeyIsLockedAfterWrongSignatures(t *testing.T) { // row 8
	t.Parallel()
	c := granted
	c.LockKeys = true
	w := newWorld(t, c, map[string]string{"SK": sk})
	wrong, right := vectors()["A"], vectors()["B"]
	wrong.body = "x"
	for range 5 {
		w.denied("wrong", wrong)
	}
	if rec := w.send(right); rec.Code != http.StatusOK {
		t.Fatalf("five wrong ones: %s", rec.Body)
	}
	for range 6 { // in a row
		w.denied("wrong", wrong)
	}
	if m := w.denied("locked", right); !strings.HasSuffix(m, "AK access failed to reach the limit,forbidden.") {
		t.Error(m)
	}
	w.now = w.now.Add(5 * time.Minute)
	if rec := w.send(right); rec.Code != http.StatusOK {
		t.Errorf("after five minutes: %s", rec.Body)
	}
}

func TestProjects_LookUp(t *testing.T) { // 3.6, row 42
	t.Parallel()
	c := settings{Access: access.Grants{
		{TokenRef: "env:ONE", Projects: []string{project}, Region: "cn-north-4", Permissions: []string{"*"}}, {TokenRef: "env:TWO", Projects: []string{other, "cn-south-1"}, Permissions: []string{"*"}},
	}}
	w := newWorld(t, c, map[string]string{"ONE": longer("one"), "TWO": longer("two")})
	for _, c := range []struct{ token, name, want string }{
		{"one", "cn-north-4", project}, {"two", "cn-north-4", ""}, {"two", "cn-south-1", "cn-south-1"}, {"one", "cn-south-1", ""}, {"one", "x", ""},
	} {
		rec := w.do(http.MethodGet, "/v3/projects?name="+c.name, "", map[string]string{"X-Auth-Token": longer(c.token)})
		body := strings.TrimSpace(rec.Body.String())
		if rec.Code != http.StatusOK || c.want == "" && body != `{"links":{},"projects":[]}` ||
			c.want != "" && (strings.Count(body, `"name":`) != 1 || !strings.Contains(body, `"id":"`+c.want+`","name":"`+c.name+`"`)) {
			t.Errorf("%+v: %d %s", c, rec.Code, body)
		}
	}
	if body := w.do(http.MethodGet, "/v3/projects", "", map[string]string{"X-Auth-Token": longer("two")}).Body.String(); strings.Count(body, `"name":`) != 2 {
		t.Errorf("all: %s", body)
	}
	rec := w.do(http.MethodGet, "/mysql/v3/projects?name=x", "", map[string]string{"X-Auth-Token": longer("two")})
	asRefusal(t, "no twin", rec.Code, rec.Header(), rec.Body.Bytes(), 404, "APIGW.0101")
	open := newWorld(t, settings{}, nil)
	if body := open.do(http.MethodGet, "/v3/projects?name=cn-north-4", "", nil).Body.String(); !strings.Contains(body, `"id":"cn-north-4"`) {
		t.Errorf("open: %s", body)
	}
}

// The whole of it over HTTP: signed with the port in the Host, keys from files.
func TestSignature_OverHTTP(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sk")
	if err := os.WriteFile(file, []byte(sk+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(longer("one")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := setup(t, settings{Access: access.Grants{
		{AccessKey: ak, SecretKeyRef: "file:" + file, Projects: []string{project}, Permissions: []string{"*"}}, {TokenRef: "file:" + tokenFile, Projects: []string{project}, Permissions: []string{"*"}},
	}}, "orders", "billing")
	send := func(method, path, body string, at time.Time) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "test")
		signer{ak: ak, sk: sk}.sign(r, body, at)
		code, _, raw := p.CallHeaders(method, path, body, r.Header)
		return code, string(raw)
	}
	before := requests(p)
	if code, raw := send(http.MethodPost, path("backups", "create"), body(t, "orders", "backup-1", ""), time.Now().Add(-20*time.Minute)); code != 401 || !strings.Contains(raw, "signature expired") {
		t.Errorf("replayed outside the window: %d %s", code, raw)
	}
	if n := requests(p); n != before {
		t.Errorf("%d were stored", n-before)
	}
	if code, raw := send(http.MethodPost, path("backups", "create"), body(t, "orders", "backup-1", ""), time.Now()); code != 201 {
		t.Fatalf("%d %s", code, raw)
	}
	if code, raw := send(http.MethodGet, path("backups")+"?name=backup-1&limit=5", "", time.Now()); code != 200 || !strings.Contains(raw, `"total_count":1`) {
		t.Errorf("%d %s", code, raw)
	}
	if code, _, raw := p.CallHeaders(http.MethodPost, path("backups", "create"), body(t, "billing", "backup-1", ""), http.Header{"X-Auth-Token": {longer("one")}}); code != 201 {
		t.Fatalf("%d %s", code, raw)
	}
	callers := map[string]bool{}
	for _, ev := range p.Events(project) {
		for _, secret := range []string{sk, ak, longer("one"), tokenFile} {
			if strings.Contains(string(ev.Data), secret) {
				t.Errorf("%s is in event %s", secret, ev.ID)
			}
		}
		if ev.Entity() == events.Backups && ev.Step() == events.Requested {
			b, err := events.Decode[events.Backup](ev.Event)
			if err != nil || !regexp.MustCompile(`^(ak|bearer):[0-9a-f]{16}$`).MatchString(b.RequestedBy) {
				t.Errorf("asked for by %q, %v", b.RequestedBy, err)
			}
			callers[b.RequestedBy] = true
		}
	}
	if len(callers) != 2 {
		t.Errorf("%v", callers)
	}
}
