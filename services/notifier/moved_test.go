package notifier

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// heard is a receiver that gives permission, and the values of X-Key and X-Other in every request of any method.
func heard(t testing.TB) (*receiver, func() []string) {
	t.Helper()
	r := willing(t, "*", 200)
	inner := r.Config.Handler
	var mu sync.Mutex
	var all []string
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		all = append(all, req.Method+" "+req.Header.Get("X-Key")+" "+req.Header.Get("X-Other"))
		mu.Unlock()
		inner.ServeHTTP(w, req)
	})
	return r, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// Headers are a sink's credentials: a sink at another origin gets those only that the change itself gives.
func TestAPI_HeadersStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]any // of the change; nil: it has none
		header   string         // at the new sink
	}{
		"the change names no header":  {nil, " "},
		"the change has other things": {map[string]any{"timeoutMs": 5000}, " "},
		"the change gives one of two": {map[string]any{"headers": map[string]any{"X-Other": "fresh"}}, " fresh"},
		"the change gives both anew":  {map[string]any{"headers": map[string]any{"X-Key": "new", "X-Other": "fresh"}}, "new fresh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			from, _ := heard(t)
			to, atNew := heard(t)
			api := w.serve(from.URL, to.URL)
			id, _ := api.make(from.URL, func(b map[string]any) {
				b["protocolsettings"] = map[string]any{"headers": map[string]any{"X-Key": "canary", "X-Other": "canary"}}
			})
			change := map[string]any{"sink": to.URL + "/in"}
			if c.settings != nil {
				change["protocolsettings"] = c.settings
			}
			api.must(200, "PATCH", "/"+id, change)
			w.backup("shop", "orders")
			receive(t, "the request at the new sink", to.requests)
			if diff := cmp.Diff([]string{"OPTIONS " + c.header, "POST " + c.header}, atNew()[:2]); diff != "" {
				t.Error(diff)
			}
			ev := w.told("subscription")[1]
			d, err := events.Decode[events.Subscription](ev.Event)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"sink", "protocolsettings", "protocolsettings.headers"}, d.ChangedFields); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPI_HeadersOfTheSameOriginStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, at := heard(t)
	to, atOther := heard(t)
	api := w.serve(r.URL, to.URL)
	id, _ := api.make(r.URL, func(b map[string]any) {
		b["protocolsettings"] = map[string]any{"headers": map[string]any{"X-Key": "canary"}}
	})
	api.must(200, "PATCH", "/"+id, map[string]any{"sink": r.URL + "/another?path=1"})
	if diff := cmp.Diff([]string{"OPTIONS canary ", "OPTIONS canary "}, at()); diff != "" {
		t.Error(diff)
	}
	// A mask stands for nothing elsewhere.
	read := api.must(200, "GET", "/"+id, nil)
	out := api.must(400, "PATCH", "/"+id, map[string]any{"sink": to.URL, "protocolsettings": read["protocolsettings"]})
	if v := out["violations"].([]any)[0].(map[string]any)["path"].(string); !strings.HasSuffix(v, "/headers/X-Key") {
		t.Errorf("got %v", out)
	}
	if n := len(atOther()); n != 0 {
		t.Errorf("the other sink was asked %d times", n)
	}
}
