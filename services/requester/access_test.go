package requester

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/access"
)

// Where something is granted, figures and the notifier's part ask too; whether the process lives and is ready does not.
func TestAccess_BesideTheDoors(t *testing.T) {
	t.Parallel()
	tokens := map[string]string{"ALL": "all-token-0123456789", "SHOP": "shop-token-0123456789", "READ": "read-token-0123456789"}
	ring, err := access.Open(access.Grants{
		{TokenRef: "env:ALL", Projects: []string{"*"}, Permissions: []string{"backupbus.*"}},
		{TokenRef: "env:SHOP", Projects: []string{"shop"}, Permissions: []string{"*"}},
		{TokenRef: "env:READ", Projects: []string{"*"}, Permissions: []string{"backupbus.subscriptions.list"}},
	}, func(name string) (string, bool) { v, ok := tokens[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	notifier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer notifier.Close()
	to, err := Config{Notifier: notifier.URL}.notifiers()
	if err != nil {
		t.Fatal(err)
	}
	f := newForwarding(to, slog.New(slog.DiscardHandler))
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	ops, own := fallback(ok, ring, time.Now), f.around(ok, ring, time.Now)
	for _, c := range []struct {
		h           http.Handler
		path, token string
		want        int
	}{
		{ops, "/metrics", "", 401}, {ops, "/metrics", tokens["SHOP"], 401}, {ops, "/metrics", tokens["READ"], 401}, {ops, "/metrics", tokens["ALL"], 200},
		{ops, "/livez", "", 200}, {ops, "/readyz", "", 200}, {fallback(ok, nil, time.Now), "/metrics", "", 200},
		{own, "/api/v1/projects/shop/subscriptions", "", 401}, {own, "/api/v1/projects/shop/subscriptions", "nobody-0123456789", 401},
		{own, "/api/v1/projects/other/subscriptions", tokens["SHOP"], 403}, {own, "/api/v1/projects/shop/subscriptions", tokens["READ"], 418},
		{own, "/api/v1/projects/shop/subscriptions/su_x", tokens["READ"], 403}, {own, "/api/v1/projects/shop/subscriptions/su_x", tokens["SHOP"], 418},
		{own, "/api/v1/projects/shop%2Fx/subscriptions", tokens["SHOP"], 403},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, http.NoBody)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s as %q: %d, want %d", c.path, c.token, w.Code, c.want)
		}
	}
}
