package notifier

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/access"
)

// Every method refuses who is nobody, who is of another project, and who lacks its permission, before it looks at
// anything else.
func TestAPI_AsksWhoIsThere(t *testing.T) {
	t.Parallel()
	const owner, reader, stranger = "owner-token-0123456789", "reader-token-0123456789", "stranger-token-0123456789"
	w := newWorld(t)
	dir := t.TempDir()
	for _, g := range []struct {
		token, project string
		permissions    []string
	}{{owner, "shop", []string{"*"}}, {reader, "shop", []string{"backupbus.backups.get"}}, {stranger, "other", []string{"*"}}} {
		file := filepath.Join(dir, g.token)
		if err := os.WriteFile(file, []byte(g.token), 0o600); err != nil {
			t.Fatal(err)
		}
		w.access = append(w.access, access.Grant{TokenRef: "file:" + file, Projects: []string{g.project}, Permissions: g.permissions})
	}
	r := willing(t, "30", 200)
	c := w.serve(r.URL)
	status, _, made := c.do("POST", "", map[string]any{"sink": r.URL, "protocol": "HTTP"}, "Authorization", "Bearer "+owner)
	if status != 201 {
		t.Fatal(status, made)
	}
	one := "/" + made["id"].(string)
	for _, call := range []struct{ method, path, permission string }{
		{"POST", "", "subscriptions.create"}, {"GET", "", "subscriptions.list"}, {"GET", one, "subscriptions.get"}, {"PATCH", one, "subscriptions.update"},
		{"DELETE", one, "subscriptions.delete"}, {"POST", one + ":rotateSecret", "subscriptions.rotateSecret"}, {"POST", one + ":replay", "subscriptions.replay"},
		{"POST", one + ":test", "subscriptions.test"}, {"GET", one + "/deliveries", "deliveries.list"},
	} {
		for authorization, want := range map[string]string{
			"": "send a token", "Bearer nobody-token-0123456789": "the token is not known here", "Basic " + owner: "send a token",
		} {
			status, header, out := c.do(call.method, call.path, "{malformed", "Authorization", authorization)
			if detail, _ := out["detail"].(string); status != 401 || out["reason"] != "UNAUTHENTICATED" || !strings.HasPrefix(detail, want) || header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s as %q: %d %v", call.method, call.path, authorization, status, out)
			}
		}
		for token, want := range map[string]string{stranger: "you may not speak for this project", reader: "you do not hold backupbus." + call.permission} {
			if status, _, out := c.do(call.method, call.path, "{malformed", "Authorization", "Bearer "+token); status != 403 || out["reason"] != "PERMISSION_DENIED" || out["detail"] != want {
				t.Errorf("%s %s as %s: %d %v", call.method, call.path, token, status, out)
			}
		}
	}
	if out := c.must(200, "GET", one, nil, "Authorization", "Bearer "+owner); out["generation"] != 1.0 {
		t.Errorf("somebody changed it: %v", out)
	}
	if log := w.log.String(); strings.Contains(log, "-token-0123456789") {
		t.Error("a token in the log")
	}
}
