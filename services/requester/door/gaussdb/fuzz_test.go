package gaussdb_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest: whatever is sent to a door with keys is refused in JSON, with a status that says why, and nobody comes in.
func FuzzRequest(f *testing.F) {
	for _, r := range vectors() {
		f.Add(r.method, r.path+"x", r.header["Authorization"], vectorDay, r.body)
	}
	f.Add("GET", "/v3/p/backups?a=%zz&+=+", "SDK-HMAC-SHA256 Access=,SignedHeaders=;,Signature=", "", "")
	w := locked(f)
	f.Fuzz(func(t *testing.T, method, target, auth, date, body string) {
		u, err := url.Parse(target)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "h", Header: http.Header{"Authorization": {auth}, "X-Sdk-Date": {date}}}
		r = r.WithContext(t.Context())
		r.Body = http.NoBody
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).WithContext(t.Context())
			r.Method, r.URL, r.Header = method, u, http.Header{"Authorization": {auth}, "X-Sdk-Date": {date}}
		}
		rec := httptest.NewRecorder()
		w.door.ServeHTTP(rec, r)
		if rec.Code != http.StatusUnauthorized && rec.Code != http.StatusNotFound || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s %s: %d %s", method, target, rec.Code, rec.Body)
		}
	})
}
