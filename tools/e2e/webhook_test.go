package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hook is a receiver that can be told to keep its answers back.
type hook struct {
	*httptest.Server
	t      *testing.T
	secret string // set once the subscription is there

	mu       sync.Mutex
	accepted map[string]int // by webhook-id, how often answered with 2xx
	waiting  int
	gate     chan struct{} // closed: answer
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, accepted: map[string]int{}, gate: make(chan struct{})}
	close(h.gate)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			w.Header().Set("WebHook-Allowed-Rate", "*")
			return
		}
		body, err := io.ReadAll(req.Body)
		h.mu.Lock()
		gate, genuine := h.gate, err == nil && h.verifies(req.Header, body)
		h.waiting++
		h.mu.Unlock()
		<-gate
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting--
		if !genuine {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.accepted[req.Header.Get("webhook-id")]++
	}))
	t.Cleanup(h.Close)
	return h
}

// verifies is what the documentation tells receivers to do; the caller holds the mutex.
func (h *hook) verifies(header http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header.Get("webhook-id") + "." + header.Get("webhook-timestamp") + "."))
	mac.Write(body)
	return header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// hold keeps answers back until what it returns is called.
func (h *hook) hold() (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gate := make(chan struct{})
	h.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (h *hook) has(ids ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if h.accepted[id] == 0 {
			return false
		}
	}
	return true
}

// wantOnce wants each of these events told, once, and no others.
func (h *hook) wantOnce(ids []string) {
	h.t.Helper()
	eventually(h.t, "everything is told", func() bool { return h.has(ids...) })
	h.mu.Lock()
	defer h.mu.Unlock()
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	if diff := cmp.Diff(want, h.accepted); diff != "" {
		h.t.Errorf("events told, and how often:\n%s", diff)
	}
}

// port is what the notifier has to be allowed.
func (h *hook) port() int {
	return int(netip.MustParseAddrPort(strings.TrimPrefix(h.URL, "http://")).Port())
}

const subscriptions = "/api/v1/projects/shop/subscriptions"

// subscribe creates a subscription through the requester and returns its id.
func (a *apart) subscribe(h *hook) string {
	a.t.Helper()
	eventually(a.t, "the notifier serves its API", func() bool {
		_, ok := get[map[string]any](a.program, subscriptions)
		return ok
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	resp, err := http.Post("http://"+a.addr+subscriptions, "application/json",
		strings.NewReader(`{"protocol":"HTTP","sink":"`+h.URL+`","filters":[{"prefix":{"type":"dev.backupbus.backup."}}]}`))
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ ID, SigningSecret string }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusCreated {
		a.t.Fatalf("create a subscription: %s, %v", resp.Status, err)
	}
	h.secret = out.SigningSecret
	return out.ID
}

// toldOf are the ids of the three events of a backup that succeeds at once.
func (a *apart) toldOf(backup string) []string {
	a.t.Helper()
	_, ids := a.told(backup, 3)
	return ids
}

// told are the steps of a backup, as they are named in types, and the ids of their events. It waits for so many.
func (a *apart) told(backup string, n int) (steps, ids []string) {
	a.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(a.must("events", "tail", "--since", "10m", "--backup", backup, "-n", strconv.Itoa(n), "-o", "json")), "\n") {
		var ev struct{ ID, Type string }
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			a.t.Fatal(err)
		}
		steps = append(steps, strings.TrimSuffix(strings.TrimPrefix(ev.Type, "dev.backupbus.backup."), ".v1"))
		ids = append(ids, ev.ID)
	}
	return steps, ids
}

// W18 and W20, apart: a subscription made through the requester is delivered to; the notifier is killed with SIGKILL while
// deliveries are pending, a second one takes over, and all are delivered.
func TestApart_NotifierKilledWithDeliveriesPending(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a := startApart(t, h.port())
	a.apply(map[string]string{"db": newDatabase(t, 1)})
	id := a.subscribe(h)
	first, ok := a.ask("db", "first")
	if !ok || a.await(first).State != "SUCCESSFUL" {
		t.Fatal("the first backup did not succeed")
	}
	eventually(t, "the first backup is told", func() bool { return h.has(a.toldOf(first)...) })

	text, err := os.ReadFile(a.settings)
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(a.data, "second.yaml")
	_, rest, _ := strings.Cut(string(text), "notifier:\n  listen: \"")
	mine, _, _ := strings.Cut(rest, `"`)
	if err := os.WriteFile(second, []byte(strings.ReplaceAll(string(text), mine, freeAddress(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	a.startWith("second notifier", "notifier", second)
	release := h.hold()
	defer release()
	var want []string
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		backup, ok := a.ask("db", key)
		if !ok || a.await(backup).State != "SUCCESSFUL" {
			t.Fatal("a backup did not succeed")
		}
		want = append(want, a.toldOf(backup)...)
	}
	eventually(t, "deliveries are under way", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.waiting > 0
	})
	a.killService("notifier")
	release()
	eventually(t, "all that was pending is told", func() bool { return h.has(want...) })

	a.startService("notifier") // to which the requester forwards
	eventually(t, "every delivery is recorded as delivered", func() bool {
		type list struct {
			Deliveries []struct{ EventID, State string }
		}
		l, ok := get[list](a.program, subscriptions+"/"+id+"/deliveries")
		delivered := 0
		for _, d := range l.Deliveries {
			if d.State == "DELIVERED" {
				delivered++
			}
		}
		return ok && delivered == len(l.Deliveries) && delivered == len(want)+3
	})
}
