package notifier

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// pass lets time pass for the notifiers.
func (w *world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

// about is the last event of a step about a subscription.
func (w *world) about(id string, step events.Step) (ev events.Subscription, there bool) {
	w.t.Helper()
	found, there, err := w.bus.Last(w.t.Context(), events.EventRoot+".shop._._.subscription."+id+"."+string(step))
	if err != nil {
		w.t.Fatal(err)
	}
	if there {
		if ev, err = events.Decode[events.Subscription](found.Event); err != nil {
			w.t.Fatal(err)
		}
	}
	return ev, there
}

// W14 with all that keeps it: a sink that only fails is told of after a day and given up after five, in its document, its
// events and what the API says, over a change of the notifier in between. Then nothing is sent until somebody enables it.
func TestAPI_FailingThenDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.Delays = w.plan.Delays[:1] // two attempts, so that the circuit stays closed
	r := willing(t, "*", 500)
	c := w.serve(r.URL)
	id, _ := c.make(r.URL, func(b map[string]any) { b["types"] = []string{"dev.backupbus.backup.requested.v1"} })
	dead := func(n int) {
		t.Helper()
		w.backup("shop", "orders")
		eventually(t, "its delivery is dead", func() bool { return w.states()[delivery.Dead] == n })
	}
	dead(1)
	w.pass(23 * time.Hour)
	dead(2)
	if got := c.state(id); got != "ACTIVE" {
		t.Errorf("after 23 h it is %s", got)
	}
	w.pass(2 * time.Hour)
	dead(3)
	eventually(t, "it is FAILING", func() bool { return c.state(id) == "FAILING" })
	told := func(step events.Step) (ev events.Subscription) {
		t.Helper()
		eventually(t, string(step), func() (there bool) {
			ev, there = w.about(id, step)
			return there
		})
		return ev
	}
	failing := told(events.Failing)
	if failing.Status != "FAILING" || failing.Reason != "FAILING" || w.now().Sub(failing.FirstFailureTime.Time).Round(time.Hour) != 25*time.Hour {
		t.Errorf("told %+v", failing)
	}
	w.pass(94 * time.Hour)
	dead(4)
	if got := c.state(id); got != "FAILING" {
		t.Errorf("after 119 h it is %s", got)
	}
	w.pass(time.Hour + time.Minute)
	w.backup("shop", "orders")
	eventually(t, "it is DISABLED", func() bool { return c.state(id) == "DISABLED" })
	if disabled := told(events.Disabled); disabled.Reason != "FAILING" || !disabled.FirstFailureTime.Equal(failing.FirstFailureTime.Time) {
		t.Errorf("told %+v", disabled)
	}
	eventually(t, "what was tried last is suppressed", func() bool { return w.states()[delivery.Suppressed] == 1 })
	sent := len(r.requests)
	w.backup("shop", "orders")
	eventually(t, "the next is too", func() bool { return w.states()[delivery.Suppressed] == 2 })
	if len(r.requests) != sent {
		t.Errorf("%d more requests", len(r.requests)-sent)
	}
	c.must(200, http.MethodPatch, "/"+id, map[string]any{"disabled": false})
	eventually(t, "it is ACTIVE again", func() bool { return c.state(id) == "ACTIVE" })
	dead(5)
}

// A sink that has given no permission is asked again after an hour, not before; then it gets what comes.
func TestAPI_AsksAgainAfterAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	deliver := r.Config.Handler
	var asked, willing atomic.Int64
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodOptions {
			deliver.ServeHTTP(w, req)
			return
		}
		asked.Add(1)
		if willing.Load() == 1 {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			w.Header().Set("WebHook-Allowed-Rate", "*")
		}
	})
	w.withKey(r.URL)
	c := &client{world: w}
	stop := c.restart()
	id, _ := c.make(r.URL)
	if got := c.state(id); got != "UNVERIFIED" || asked.Load() != 1 {
		t.Fatalf("it is %s after %d questions", got, asked.Load())
	}
	willing.Store(1)
	stop()
	w.pass(59 * time.Minute)
	stop = c.restart() // which looks at once
	w.backup("shop", "orders")
	receive(t, "a request", r.requests) // of the few that a sink without permission gets
	if got := c.state(id); got != "UNVERIFIED" || asked.Load() != 1 {
		t.Errorf("after 59 min it is %s, and was asked %d times", got, asked.Load())
	}
	stop()
	w.pass(2 * time.Minute)
	c.restart()
	eventually(t, "it has permission", func() bool { return c.state(id) == "ACTIVE" })
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// The key pair is rotated as the secret is: in the overlap both sign, the new one first; after it one.
func TestAPI_RotatesKeyPairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, secret := c.make(r.URL, func(b map[string]any) {
		b["protocolsettings"] = map[string]any{"signing": []string{"v1", "v1a"}}
		b["types"] = []string{"dev.backupbus.backup.requested.v1"}
	})
	keys := func(from map[string]any) (out []string) {
		t.Helper()
		if status, nested := from["status"].(map[string]any); nested {
			from = status
		}
		list, _ := from["publicKeys"].([]any)
		for _, k := range list {
			out = append(out, k.(string))
		}
		return out
	}
	old := keys(c.must(200, http.MethodGet, "/"+id, nil))
	rotated := keys(c.must(200, http.MethodPost, "/"+id+":rotateSecret", map[string]any{"scheme": "v1a", "overlapSeconds": 600}))
	if len(old) != 1 || len(rotated) != 2 || rotated[1] != old[0] || rotated[0] == old[0] {
		t.Fatalf("%v became %v", old, rotated)
	}
	signs := func(want ...string) {
		t.Helper()
		w.backup("shop", "orders")
		g := receive(t, "a request", r.requests)
		if wh, err := standardwebhooks.NewWebhook(secret); err != nil || wh.VerifyIgnoringTimestamp(g.Body, g.Header) != nil {
			t.Errorf("the secret does not verify: %v", err)
		}
		entries := strings.Fields(g.Header.Get("webhook-signature"))[1:]
		if len(entries) != len(want) {
			t.Fatalf("entries %v", entries)
		}
		for n, public := range want {
			if !pairVerifies(t, public, entries[n], g) {
				t.Errorf("entry %d is not of %s", n, public)
			}
		}
	}
	signs(rotated...)
	w.pass(11 * time.Minute)
	signs(rotated[0])
	if left := keys(c.must(200, http.MethodGet, "/"+id, nil)); len(left) != 1 || left[0] != rotated[0] {
		t.Errorf("after the overlap there are %v", left)
	}
}

// pairVerifies checks one entry `v1a,…` with the public key `whpk_…`, as a receiver does (events.md 7.5).
func pairVerifies(t *testing.T, public, entry string, g got) bool {
	t.Helper()
	raw := func(prefix, s string) []byte {
		t.Helper()
		encoded, ok := strings.CutPrefix(s, prefix)
		b, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return b
	}
	signed := g.Header.Get("webhook-id") + "." + g.Header.Get("webhook-timestamp") + "." + string(g.Body)
	return ed25519.Verify(raw("whpk_", public), []byte(signed), raw("v1a,", entry))
}
