package sink

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// W11: events.md 7.6, row by row.
func TestAsk_Permission(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		origin, rate string
		status       int
		want         Permission
	}{
		{"bus.test", "30", 200, Permission{true, 30}}, {"*", "*", 200, Permission{true, 0}}, {"BUS.test", " 7 ", 405, Permission{true, 7}},
		{"bus.test", "120", 500, Permission{true, 120}}, {"", "", 200, Permission{}}, {"bus.test", "", 200, Permission{}},
		{"bus.test", "0", 200, Permission{}}, {"bus.test", "-1", 200, Permission{}}, {"bus.test", "many", 200, Permission{}},
		{"other.example", "30", 200, Permission{}}, {"", "30", 200, Permission{}},
	} {
		var got http.Header
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got = r.Header.Clone(); r.Method != http.MethodOptions {
				t.Errorf("asked by %s", r.Method)
			}
			if c.origin != "" {
				w.Header().Set("WebHook-Allowed-Origin", c.origin)
			}
			if c.rate != "" {
				w.Header().Set("WebHook-Allowed-Rate", c.rate)
			}
			w.WriteHeader(c.status)
		}))
		w := webhook(t, local(t, s.URL), s.URL)
		if diff := cmp.Diff(c.want, w.Ask(t.Context(), 600)); diff != "" {
			t.Errorf("%s %s: %s", c.origin, c.rate, diff)
		}
		if got.Get("WebHook-Request-Origin") != "bus.test" || got.Get("WebHook-Request-Rate") != "600" {
			t.Errorf("asked with %v", got)
		}
		s.Close()
		if w.Close(); w.Ask(t.Context(), 600) != (Permission{}) {
			t.Error("who does not answer permits")
		}
	}
}
