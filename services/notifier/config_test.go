package notifier

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events/filter"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier/mail"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

func TestConfig_ReadsStrictly(t *testing.T) {
	t.Parallel()
	const doc = `
origin: backup.example.com
allowCidrs: [10.1.2.0/24]
allowedPorts: [8080]
subscriptions:
- name: pager
  project: shop
  sink: https://hooks.example.com/in?key=x
  types: [dev.backupbus.backup.failed.v1]
  filters:
  - prefix: {instance: orders}
  - not: {exact: {provider: sqlite}}
  secretRef: env:PAGER_SECRET
  timeoutMs: 5000
  maxInFlight: 2
`
	want := Config{Origin: "backup.example.com", AllowCIDRs: []string{"10.1.2.0/24"}, AllowedPorts: []int{8080},
		Subscriptions: []subscription.Subscription{{
			Name: "pager", Project: "shop", Sink: "https://hooks.example.com/in?key=x",
			Interest: subscription.Interest{Types: []string{"dev.backupbus.backup.failed.v1"},
				Filters: filters(t, `[{"prefix":{"instance":"orders"}},{"not":{"exact":{"provider":"sqlite"}}}]`)},
			SecretRef: "env:PAGER_SECRET", TimeoutMs: 5000, MaxInFlight: 2,
		}}}
	var got Config
	if err := host.Decode("settings", []byte(doc), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b filter.Filter) bool { return asJSON(t, a) == asJSON(t, b) })); diff != "" {
		t.Error(diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	// W16: a dialect that there is not.
	err := host.Decode("settings", []byte("subscriptions:\n- filters:\n  - {regexp: {type: x}}\n"), new(Config))
	if err == nil || !strings.Contains(err.Error(), "/0/regexp: is no dialect") {
		t.Errorf("got %v", err)
	}
}

func filters(t testing.TB, doc string) filter.Filter {
	t.Helper()
	var f filter.Filter
	if err := json.Unmarshal([]byte(doc), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestValidate_ReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	c := Config{
		Origin: "two words", AllowCIDRs: []string{"127.0.0.1/32", "10.0.0.1/8", "nonsense"}, AllowedPorts: []int{0, 8080},
		Subscriptions: []subscription.Subscription{
			{Name: "a", Project: "shop", Sink: "https://2130706433/?key=canary", SecretRef: "whsec_canary"},
			{Name: "a", Project: "shop", Sink: "https://hooks.example.com:8080", SecretRef: "env:X", Interest: subscription.Interest{Types: []string{"nonsense"}}},
			{Sink: "http://10.0.0.1:8080", TimeoutMs: 1, MaxInFlight: -1},
			{Name: "ok", Project: "shop", Sink: "http://127.0.0.1:8080", SecretRef: "file:/run/secrets/hook"},
			{Name: "b", Project: "shop", Sink: "https://hooks.example.com", SecretRef: "file:hook"},
		},
	}
	want := []string{
		"origin: has to be a name of at most 253 visible ASCII characters, as backup.example.com",
		"allowedPorts[0]: 0 is not between 1 and 65535",
		`allowCidrs[1]: "10.0.0.1/8" has bits behind its mask: write 10.0.0.0/8, or 10.0.0.1/32 for the one address`,
		`allowCidrs[2]: "nonsense" is no CIDR: write it as 127.0.0.1/32 or fd12::/64`,
		"subscriptions[0].sink: host is an address in short, decimal, octal or hexadecimal form: write four decimal numbers",
		"subscriptions[0].secretRef: is neither env:NAME nor file:/path: the secret itself does not belong into the settings",
		`subscriptions[1].types[0]: "nonsense" is no event type: write it as dev.backupbus.backup.succeeded.v1`,
		`subscriptions[1].name: "a" is that of subscriptions[0] too: names are unique in a project`,
		"subscriptions[2].name: is missing",
		"subscriptions[2].project: is missing",
		"subscriptions[2].timeoutMs: 1 is not between 1000 and 30000",
		"subscriptions[2].maxInFlight: -1 is not between 1 and 64",
		"subscriptions[2].sink: address is not allowed: http goes to addresses of allowCidrs only, not to 10.0.0.1",
		"subscriptions[2].secretRef: is missing: name where the secret is, as env:NAME or file:/path",
		"subscriptions[4].secretRef: is no absolute path: write it as file:/path",
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Error("shows a secret")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

func TestValidate_OriginOfMailIsAHost(t *testing.T) {
	t.Parallel()
	with := mail.Config{Address: "smtp.example.com:587", From: "b@example.com", Recipients: []string{"@example.com"}}
	for origin, ok := range map[string]bool{"": true, "bus.local": true, "backup-1.Example.com": true, "bus>": false, "a@b": false, "a..b": false, "a.": false, "https://x": false} {
		if err := (Config{Origin: origin, Mail: with}).Validate(); (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), "origin: has to be a host name") {
			t.Errorf("%q: %v", origin, err)
		}
		if err := (Config{Origin: origin}).Validate(); err != nil {
			t.Errorf("%q without mail: %v", origin, err)
		}
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	good := "whsec_" + base64.StdEncoding.EncodeToString([]byte("canary-canary-canary-canary-0123"))
	file := func(content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	env := func(name string) (string, bool) {
		v, set := map[string]string{"GOOD": good, "BAD": "canary-" + good}[name]
		return v, set
	}
	for _, c := range []struct{ name, ref, want string }{
		{"environment", "env:GOOD", ""},
		{"file", file(good, 0o600), ""},
		{"read-only file with a line end", file(good+"\n", 0o400), ""},
		{"not set", "env:NONE", "environment variable NONE is not set"},
		{"not a secret", "env:BAD", "does not start with whsec_"},
		{"readable by the group", file(good, 0o640), "mode 0640, which is wider than 0600: run chmod 600"},
		{"readable by all", file(good, 0o644), "wider than 0600"},
		{"executable", file(good, 0o700), "wider than 0600"},
		{"no file", "file:" + filepath.Join(t.TempDir(), "none"), "no such file"},
		{"a folder", "file:" + t.TempDir(), "no plain file"},
		{"too large", file(strings.Repeat("canary", 3000), 0o600), "more than 16384 bytes"},
		{"not base64", file("whsec_canary-canary", 0o600), "not standard base64"},
	} {
		_, err := readSecret(c.ref, env)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
}
