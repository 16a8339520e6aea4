package requester

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestForwarding_TakesSubscriptionsOnly(t *testing.T) {
	t.Parallel()
	var host string
	notifier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("ETag", `"3"`)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery+" "+string(b))
	}))
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the other") }))
	to, err := Config{Notifier: notifier.URL + ", " + other.URL}.notifiers()
	if err != nil {
		t.Fatal(err)
	}
	h := newForwarding(to, slog.New(slog.DiscardHandler)).around(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), nil, time.Now)
	for path, want := range map[string]int{
		"/api/v1/projects/shop/subscriptions": 201, "/api/v1/projects/a%2Fb/subscriptions/su_x:replay?limit=1": 201,
		"/api/v1/projects/shop/subscriptions/su_x/deliveries": 201, "/api/v1/projects/shop/subscriptionsx": 418,
		"/api/v1/projects/shop/backups": 418, "/api/openapi.json": 418, "/api/v1/projects/subscriptions": 418,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost:8080"+path, strings.NewReader("body")))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
		if want == 201 && (!strings.HasPrefix(w.Body.String(), "POST "+strings.Split(path, "?")[0]) || !strings.HasSuffix(w.Body.String(), " body") ||
			w.Header().Get("ETag") != `"3"` || !strings.HasPrefix(host, "127.0.0.1:")) {
			t.Errorf("%s: %s as %s", path, w.Body, host)
		}
	}
	list := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost:8080/api/v1/projects/shop/subscriptions", strings.NewReader("body")))
		return w
	}
	notifier.Close()
	if w := list(); w.Code != 200 || w.Body.String() != "the other" {
		t.Errorf("with one notifier of two: %d %s", w.Code, w.Body)
	}
	other.Close()
	w := list()
	if w.Code != 503 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("without a notifier: %d %s", w.Code, w.Body)
	}
}

func TestConfig_NotifierIsALoopbackAddress(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{"": true, "http://127.0.0.1:8082": true, "http://[::1]:1/": true, "http://127.0.0.1:1,http://127.0.0.1:2": true,
		"http://127.0.0.1:1,": false, "http://127.0.0.1:1,http://10.0.0.1:80": false, "https://127.0.0.1:8082": false,
		"http://10.0.0.1:80": false, "http://127.0.0.1": false, "127.0.0.1:8082": false, "http://u:p@127.0.0.1:1": false, "http://127.0.0.1:1/x": false} {
		if err := (Config{Notifier: address}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
