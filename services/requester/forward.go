package requester

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/door/native"
)

// forwarding sends what is about subscriptions to the notifier, whose part of our API they are.
type forwarding struct{ proxy *httputil.ReverseProxy }

func newForwarding(to string, log *slog.Logger) (*forwarding, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("requester: notifier: %w", err)
	}
	transport := &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute}
	return &forwarding{&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target) // sets Host too: the notifier answers to loopback names only
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.ErrorContext(r.Context(), "notifier cannot be reached", "error", err.Error())
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"title":"Service Unavailable","status":503,"reason":"UNAVAILABLE","detail":"the notifier cannot be reached now: try again"}` + "\n"))
		},
	}}, nil
}

// around is the native door with the notifier's part taken out.
func (f *forwarding) around(door http.Handler, ring *access.Ring, now func() time.Time) http.Handler {
	subscriptions := native.AdmitSubscriptions(ring, now, f.proxy)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if aboutSubscriptions(r.URL.EscapedPath()) {
			subscriptions.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	})
}

// aboutSubscriptions tells /api/v1/projects/{project}/subscriptions and what is below it.
func aboutSubscriptions(path string) bool {
	rest, ok := strings.CutPrefix(path, native.Prefix+"v1/projects/")
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, "/")
	return ok && (rest == "subscriptions" || strings.HasPrefix(rest, "subscriptions/"))
}
