package notifier

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// client speaks to a notifier's API of project shop.
type client struct {
	*world
	base string
	all  strings.Builder // everything that was read of subscriptions
}

// serve starts a notifier with an API. allow are the sinks that may be sent to.
func (w *world) serve(allow ...string) *client {
	w.t.Helper()
	w.withKey(allow...)
	c := &client{world: w}
	c.restart()
	return c
}

func (w *world) withKey(allow ...string) {
	w.t.Helper()
	for _, sink := range allow {
		u, err := url.Parse(sink)
		if err != nil {
			w.t.Fatal(err)
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			w.t.Fatal(err)
		}
		w.config.AllowedPorts = append(w.config.AllowedPorts, port)
	}
	w.config.KeyRef, w.config.Listen = "env:KEY", "127.0.0.1:0"
	w.key = subscription.NewSealKey()
}

// restart runs another notifier on the same bus and returns how to stop it.
func (c *client) restart() (stop func()) {
	c.t.Helper()
	n := c.build()
	c.base = "http://" + n.server.Addr() + "/api/v1/projects/shop/subscriptions"
	return c.run(n)
}

// do makes a call and returns the status, the headers and the body.
func (c *client) do(method, path string, in any, header ...string) (int, http.Header, map[string]any) {
	c.t.Helper()
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		b, err := json.Marshal(in)
		if err != nil {
			c.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if method == http.MethodGet || method == http.MethodPatch {
		c.all.Write(b)
	}
	out := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			c.t.Fatalf("%s: %v", b, err)
		}
	}
	return resp.StatusCode, resp.Header, out
}

// must is do, and wants a status.
func (c *client) must(status int, method, path string, in any, header ...string) map[string]any {
	c.t.Helper()
	got, _, out := c.do(method, path, in, header...)
	if got != status {
		c.t.Fatalf("%s %s: want %d, got %d: %v", method, path, status, got, out)
	}
	return out
}

// make creates a subscription and returns its id and secret.
func (c *client) make(sink string, change ...func(map[string]any)) (id, secret string) {
	c.t.Helper()
	body := map[string]any{"sink": sink, "protocol": "HTTP"}
	for _, f := range change {
		f(body)
	}
	out := c.must(201, "POST", "", body)
	secret, _ = out["signingSecret"].(string)
	return out["id"].(string), secret
}

func (c *client) state(id string) string {
	c.t.Helper()
	return c.must(200, "GET", "/"+id, nil)["status"].(map[string]any)["state"].(string)
}

func verifies(t testing.TB, secret string, g got) bool {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return wh.Verify(g.Body, g.Header) == nil
}

// willing is a receiver that gives permission.
func willing(t testing.TB, rate string, statuses ...int) *receiver {
	t.Helper()
	r := newReceiver(t, statuses...)
	deliver := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodOptions {
			deliver.ServeHTTP(w, req)
			return
		}
		w.Header().Set("WebHook-Allowed-Origin", req.Header.Get("WebHook-Request-Origin"))
		w.Header().Set("WebHook-Allowed-Rate", rate)
	})
	return r
}
