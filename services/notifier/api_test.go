package notifier

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/eventstest"
)

func TestAPI_LifeOfASubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "30", 200)
	c := w.serve(r.URL)
	status, header, made := c.do("POST", "", map[string]any{"sink": r.URL + "/in?token=canary-query", "protocol": "HTTP",
		"types": []string{"dev.backupbus.backup.requested.v1"}, "config": map[string]any{"name": "pager", "description": "on call"},
		"protocolsettings": map[string]any{"headers": map[string]any{"Authorization": "canary-header"}}})
	id := made["id"].(string)
	if status != 201 || header.Get("ETag") != `"1"` || header.Get("Location") != "/api/v1/projects/shop/subscriptions/"+id {
		t.Fatalf("%d %v %v", status, header, made)
	}
	secret := made["signingSecret"].(string)
	st := made["status"].(map[string]any)
	if st["state"] != "ACTIVE" || st["allowedRatePerMinute"] != 30.0 || st["circuit"] != "CLOSED" {
		t.Errorf("status %v", st)
	}
	want := w.backup("shop", "orders")
	g := receive(t, "a request", r.requests)
	if !verifies(t, secret, g) || g.Header.Get("webhook-id") != want.ID || g.Header.Get("Authorization") != "canary-header" {
		t.Errorf("got %v", g.Header)
	}
	read := c.must(200, "GET", "/"+id, nil)
	if read["sink"] != r.URL+"/in?…" || read["signingSecret"] != nil {
		t.Errorf("read %v", read)
	}
	// What was read can be sent back with a change: masks stay what they stand for.
	read["config"] = map[string]any{"name": "pager", "description": "by night"}
	patch := map[string]any{"sink": read["sink"], "config": read["config"], "protocolsettings": read["protocolsettings"]}
	if s, _, out := c.do("PATCH", "/"+id, patch, "If-Match", `"7"`); s != 412 {
		t.Errorf("a change of another generation: %d %v", s, out)
	}
	if s, h, out := c.do("PATCH", "/"+id, patch, "If-Match", `"1"`); s != 200 || h.Get("ETag") != `"2"` || out["generation"] != 2.0 {
		t.Errorf("changed: %d %v", s, out)
	}
	c.must(200, "PATCH", "/"+id, patch) // nothing changes: no event
	w.backup("shop", "orders")
	if g := receive(t, "a request after the change", r.requests); g.Header.Get("Authorization") != "canary-header" || !verifies(t, secret, g) {
		t.Errorf("got %v", g.Header)
	}
	if list := c.must(200, "GET", "?status=active", nil)["subscriptions"].([]any); len(list) != 1 {
		t.Errorf("list %v", list)
	}
	c.must(204, "DELETE", "/"+id, nil, "If-Match", `"2"`)
	c.must(404, "GET", "/"+id, nil)
	// W19, and the events: complete, valid, without a secret.
	evs := w.told("subscription")
	var steps []string
	for _, ev := range evs {
		eventstest.Valid(t, ev.Event)
		steps = append(steps, string(ev.Step())+" "+ev.Sequence)
		c.all.Write(ev.Data)
	}
	if diff := cmp.Diff([]string{"created 0000000001", "updated 0000000002", "deleted 0000000003"}, steps); diff != "" {
		t.Error(diff)
	}
	for _, canary := range []string{"canary", secret, strings.TrimPrefix(secret, "whsec_")[:12]} {
		if strings.Contains(c.all.String()+w.log.String(), canary) {
			t.Errorf("a read, an event or the log shows %q", canary)
		}
	}
}

// told are the events of an entity of project shop.
func (w *world) told(entity string) []events.Stored {
	w.t.Helper()
	var out []events.Stored
	_, err := w.bus.Scan(w.t.Context(), events.EventRoot+".shop._._."+entity+".>", 0, false, func(_ string, ev events.Stored) error {
		out = append(out, ev)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// W8 at creation, W16, W17, and everything else that is refused: 4xx with the place, and nothing stored.
func TestAPI_RefusesWithThePlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.AllowCIDRs = nil
	c := w.serve()
	for body, path := range map[string]string{
		`{"sink":"https://127.0.0.1/","protocol":"HTTP"}`:                                             "/sink",
		`{"sink":"https://10.0.0.1/","protocol":"HTTP"}`:                                              "/sink",
		`{"sink":"https://169.254.169.254/","protocol":"HTTP"}`:                                       "/sink",
		`{"sink":"https://[::1]/","protocol":"HTTP"}`:                                                 "/sink",
		`{"sink":"https://[fd00::1]/","protocol":"HTTP"}`:                                             "/sink",
		`{"sink":"https://100.64.0.1/","protocol":"HTTP"}`:                                            "/sink",
		`{"sink":"http://2130706433/","protocol":"HTTP"}`:                                             "/sink",
		`{"sink":"https://a.example/","protocol":"FAX"}`:                                              "/protocol",
		`{"sink":"https://a.example/","protocol":"HTTP","colour":"red"}`:                              "/colour",
		`{"sink":"https://a.example/","protocol":"HTTP","config":{"x":1}}`:                            "/config/x",
		`{"sink":"https://a.example/","protocol":"HTTP","types":"all"}`:                               "/types",
		`{"sink":"https://a.example/","protocol":"HTTP","types":[]}`:                                  "/types",
		`{"sink":"https://a.example/","protocol":"HTTP","filters":[{"regexp":{"type":"x"}}]}`:         "/filters/0/regexp",
		`{"sink":"https://a.example/","protocol":"HTTP","filters":[{"any":[{"sql":"state = 'X"}]}]}`:  "/filters/0/any/0/sql",
		`{"sink":"https://a.example/","protocol":"HTTP","protocolsettings":{"headers":{"Host":"x"}}}`: "/protocolsettings/headers/Host",
		`{"sink":"https://a.example/","protocol":"HTTP","protocolsettings":{"timeoutMs":"5"}}`:        "/protocolsettings/timeoutMs",
		`{"sink":"https://a.example/","protocol":"HTTP","protocolsettings":{"ratePerMinute":60001}}`:  "/protocolsettings/ratePerMinute",
	} {
		status, _, out := c.do("POST", "", body)
		v, _ := out["violations"].([]any)
		if status != 400 || len(v) == 0 || v[0].(map[string]any)["path"] != path {
			t.Errorf("%s: want %s, got %d %v", body, path, status, out)
		}
	}
	for _, body := range []string{``, `[]`, `null`, `{`, `{} {}`, `"x"`} {
		if status, _, out := c.do("POST", "", body); status != 400 {
			t.Errorf("%q: %d %v", body, status, out)
		}
	}
	if status, _, _ := c.do("POST", "", `{"sink":"`+strings.Repeat("x", 70<<10)+`"}`); status != 413 {
		t.Errorf("a large body: %d", status)
	}
	if status, _, _ := c.do("POST", "", `{}`, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("another type: %d", status)
	}
	if status, _, _ := c.do("PUT", "", `{}`); status != 405 {
		t.Errorf("another method: %d", status)
	}
	const id = "/su_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, p := range []string{id, "/x", id + "/x", id + "/deliveries", id + "/deliveries/x"} {
		c.must(404, "GET", p, nil)
	}
	for _, p := range []string{":replay", ":rotateSecret", ":test", ":sing"} {
		if status, _, out := c.do("POST", id+p, `{"eventIds":["bk_aaaaaaaaaaaaaaaaaaaaaaaaaa-requested"]}`); status != 404 && status != 400 {
			t.Errorf("%s: %d %v", p, status, out)
		}
	}
	if n := len(w.told("subscription")); n != 0 {
		t.Errorf("%d events", n)
	}
}

// W2 and W3: both schemes; in an overlap the old secret verifies too, after it not.
func TestAPI_RotatesSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, old := c.make(r.URL, func(b map[string]any) {
		b["protocolsettings"] = map[string]any{"signing": []string{"v1", "v1a"}, "contentMode": "binary"}
	})
	fresh := c.must(200, "POST", "/"+id+":rotateSecret", map[string]any{"overlapSeconds": 600})["signingSecret"].(string)
	c.must(409, "POST", "/"+id+":rotateSecret", nil)
	ev := w.backup("shop", "orders")
	g := receive(t, "a request", r.requests)
	if !verifies(t, old, g) || !verifies(t, fresh, g) {
		t.Error("in the overlap one of the secrets does not verify")
	}
	entries := strings.Split(g.Header.Get("webhook-signature"), " ")
	if len(entries) != 3 || !strings.HasPrefix(entries[2], "v1a,") {
		t.Errorf("entries %v", entries)
	}
	// Binary mode: the body is the data, every attribute a header.
	parsed, err := events.Parse(g.Header, g.Body)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Data, ev.Data = nil, nil
	if diff := cmp.Diff(ev.Event, parsed); diff != "" {
		t.Error(diff)
	}
	for _, body := range []string{`{"overlapSeconds":-1}`, `{"overlapSeconds":604801}`, `{"scheme":"v2"}`, `{"secret":"whsec_AAAA"}`, `{"x":1}`} {
		c.must(400, "POST", "/"+id+":rotateSecret", body)
	}
}

// W6 and W15 against a real receiver: 410 disables, later events are listed as SUPPRESSED, a replay sends exactly those.
func TestAPI_GoneThenEnabledThenReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 410, 200)
	c := w.serve(r.URL)
	id, secret := c.make(r.URL, func(b map[string]any) { b["types"] = []string{"dev.backupbus.backup.requested.v1"} })
	first := w.backup("shop", "orders")
	receive(t, "the request that is answered 410", r.requests)
	eventually(t, "the subscription is disabled", func() bool { return c.state(id) == "DISABLED" })
	var missed []string
	for range 3 {
		missed = append(missed, w.backup("shop", "orders").ID)
	}
	listed := func(state string) []any {
		return c.must(200, "GET", "/"+id+"/deliveries?state="+state, nil)["deliveries"].([]any)
	}
	eventually(t, "three are suppressed", func() bool { return len(listed("SUPPRESSED")) == 3 })
	c.must(409, "POST", "/"+id+":replay", map[string]any{"eventIds": missed})
	c.must(200, "PATCH", "/"+id, map[string]any{"disabled": false})
	c.must(202, "POST", "/"+id+":replay", map[string]any{"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "states": []string{"SUPPRESSED"}})
	got := map[string]bool{}
	for range 3 {
		g := receive(t, "a replay", r.requests)
		if g.Header.Get("Backupbus-Replay") != "true" || !verifies(t, secret, g) {
			t.Errorf("got %v", g.Header)
		}
		got[g.Header.Get("webhook-id")] = true
	}
	for _, id := range missed {
		if !got[id] {
			t.Errorf("%s was not replayed", id)
		}
	}
	w.allEnded()
	aggregate, _, _ := strings.Cut(first.ID, "-")
	for _, wrong := range []string{"", "x", "*-requested", aggregate + "-" + strings.Repeat("a", 41), first.ID + "-" + strings.Repeat("1", 21)} {
		c.must(400, "POST", "/"+id+":replay", map[string]any{"eventIds": []string{wrong}}) // no filter of the log can be made of it
	}
	c.must(202, "POST", "/"+id+":replay", map[string]any{"eventIds": []string{first.ID}})
	if g := receive(t, "the replay by id", r.requests); g.Header.Get("webhook-id") != first.ID {
		t.Errorf("got %s", g.Header.Get("webhook-id"))
	}
	w.allEnded()
	if diff := cmp.Diff(1, len(listed("DEAD"))); diff != "" || len(r.requests) != 0 {
		t.Errorf("%v, %d more requests", diff, len(r.requests))
	}
	var steps []string
	for _, ev := range w.told("subscription") {
		steps = append(steps, string(ev.Step()))
	}
	if diff := cmp.Diff([]string{"created", "disabled", "updated"}, steps); diff != "" {
		t.Error(diff)
	}
}

func TestAPI_TestSendsOnceAndSaysWhatCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 503)
	c := w.serve(r.URL)
	id, secret := c.make(r.URL, func(b map[string]any) { b["disabled"] = true })
	out := c.must(200, "POST", "/"+id+":test", nil)
	if out["outcome"] != "THROTTLED" || out["statusCode"] != 503.0 {
		t.Errorf("got %v", out)
	}
	g := receive(t, "the test", r.requests)
	ev, err := events.Parse(map[string][]string{"content-type": g.Header["Content-Type"]}, g.Body)
	if err != nil || !verifies(t, secret, g) || ev.Sequence != "0000000000" || ev.Step() != events.Test {
		t.Errorf("%v, %+v", err, ev)
	}
	eventstest.Valid(t, ev)
	for range 9 {
		c.must(200, "POST", "/"+id+":test", nil)
	}
	c.must(429, "POST", "/"+id+":test", nil)
	if n := len(w.deliveries()); n != 0 {
		t.Errorf("%d records of tests", n)
	}
}

// W11: a sink that does not answer the handshake stays UNVERIFIED.
func TestAPI_NoPermissionIsUnverified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent, refusing := newReceiver(t, 200), willing(t, "0", 200)
	c := w.serve(silent.URL, refusing.URL)
	for _, r := range []*receiver{silent, refusing} {
		id, _ := c.make(r.URL)
		st := c.must(200, "GET", "/"+id, nil)["status"].(map[string]any)
		if st["state"] != "UNVERIFIED" || st["allowedRatePerMinute"] != 6.0 {
			t.Errorf("status %v", st)
		}
	}
	w.config.Handshake = "off"
	c.restart()
}

// Subscriptions and what is known of them outlive the process; another replica's API shows them too.
func TestAPI_RestartKeepsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	w.withKey(r.URL)
	c := &client{world: w}
	stop := c.restart()
	id, secret := c.make(r.URL)
	stop()
	ev := w.backup("shop", "orders")
	c.restart()
	g := receive(t, "a request", r.requests)
	for g.Header.Get("webhook-id") != ev.ID {
		g = receive(t, "a request", r.requests)
	}
	if !verifies(t, secret, g) || c.state(id) != "ACTIVE" {
		t.Errorf("got %v", g.Header)
	}
}
