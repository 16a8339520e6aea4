package up

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/host"
)

// The example in deploy/ names only keys that exist, and what it says is valid.
func TestSettings_TheExampleIsAccepted(t *testing.T) {
	t.Parallel()
	o := Options{Data: t.TempDir(), Settings: filepath.Join("..", "..", "..", "deploy", "settings.example.yaml")}
	s, err := load(&o)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"requester": s.requester.Validate(), "provider-executors": s.executors.Validate(), "notifier": s.notifier.Validate()} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Bus.Name != "bus.local" || s.requester.MaxAttempts != 3 || len(s.executors.Backoff) != 3 {
		t.Errorf("%+v", s)
	}
}

func TestSettings_MistakesNameLineAndKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"requester:\n  lissten: x\n":                  "line 2: unknown key lissten",
		"buss: {}\n":                                  "line 1: unknown key buss",
		"requester: {maxAttempts: many}\n":            "line 1: requester: unexpected !!str `many`",
		"provider-executors:\n  stallAfter: 15 min\n": "line 2: stallAfter: unexpected !!str",
		"requester: {}\nrequester: {}\n":              "already defined",
		"a: [\n":                                      "line",
	} {
		file := filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(&Options{Data: t.TempDir(), Settings: file})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "settings.yaml") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSettings_SayNoPassword(t *testing.T) {
	t.Parallel()
	if _, err := host.OpenRedis("redis://user:hunter2@127.0.0.1:1", ""); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// What access refuses at the doors must not be open beside them.
func TestSettings_NATSListenerIsNoWayAroundAccess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("access: [{tokenRef: \"env:T\", projects: [shop], permissions: [\"*\"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(&Options{Data: t.TempDir(), Settings: file}); err != nil {
		t.Fatal(err)
	}
	if _, err := load(&Options{Data: t.TempDir(), Settings: file, NATS: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "nats-config") {
		t.Errorf("%v", err)
	}
	if _, err := load(&Options{Data: t.TempDir(), NATS: "127.0.0.1:0"}); err != nil {
		t.Error(err)
	}
}
