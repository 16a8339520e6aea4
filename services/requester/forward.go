package requester

import (
	"context"
	"errors"
	"log/slog"
	"net"
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

// newForwarding forwards to the first of the notifiers that can be connected to: all of them answer alike. Nothing was
// sent before, so no request is made twice.
func newForwarding(to []*url.URL, log *slog.Logger) *forwarding {
	target := to[0]
	// A connection for each request: on one that was kept it is not known whether a notifier that has gone did something.
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, ResponseHeaderTimeout: time.Minute,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var errs []error
			for _, u := range to {
				c, err := (&net.Dialer{Timeout: connectTime}).DialContext(ctx, network, u.Host)
				if err == nil {
					return c, nil
				}
				errs = append(errs, err)
			}
			return nil, errors.Join(errs...)
		}}
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
	}}
}

// connectTime is how long a notifier has to take a connection before the next is tried.
const connectTime = 2 * time.Second

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
