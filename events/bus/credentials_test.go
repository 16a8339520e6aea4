package bus_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

func TestUserKey_IsMadeOnceForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	first := must[string](t)(bus.UserKey(dir, "requester"))
	path := bus.KeyFile(dir, "requester")
	before := must[[]byte](t)(os.ReadFile(path))
	info := must[os.FileInfo](t)(os.Stat(path))
	if info.Mode().Perm() != 0o600 || !bytes.HasPrefix(before, []byte("SU")) || !strings.HasPrefix(first, "U") {
		t.Errorf("mode %o, %s", info.Mode().Perm(), first)
	}
	if again := must[string](t)(bus.UserKey(dir, "requester")); again != first || !bytes.Equal(must[[]byte](t)(os.ReadFile(path)), before) {
		t.Error("the key was made anew")
	}
	if other := must[string](t)(bus.UserKey(dir, "notifier")); other == first {
		t.Error("two users have one key")
	}
	if list := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(list) != 2 {
		t.Errorf("%d files for two keys", len(list))
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.UserKey(dir, "requester"); err == nil || strings.Contains(err.Error(), "SU") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.WriteFile(bus.KeyFile(dir, "tracker"), []byte("SUNONSENSE"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.UserKey(dir, "tracker"); err == nil || strings.Contains(err.Error(), "NONSENSE") {
		t.Errorf("no seed: %v", err)
	}
}

// Both forms are taken; what others may read, or is neither, is refused before anything is sent.
func TestConnect_Credentials(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	seed := must[[]byte](t)(os.ReadFile(s.Key(bus.RequesterUser)))
	creds := "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + string(seed) + "------END USER NKEY SEED------\n"
	open := bustest.Run(t)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // of the error; empty: it connects
		url  string
	}{
		"seed":         {string(seed), 0o600, "", s.URL()},
		"seed to read": {string(seed), 0o400, "", s.URL()},
		"creds":        {creds, 0o600, "", open.URL()}, // this server asks for no proof
		"wide seed":    {string(seed), 0o640, "wider than 0600", s.URL()},
		"wide creds":   {creds, 0o604, "wider than 0600", s.URL()},
		"nonsense":     {"SUNONSENSE", 0o600, "neither", s.URL()},
		"empty":        {"", 0o600, "neither", s.URL()},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		b, err := bus.Connect(t.Context(), bus.Config{URL: c.url, CredentialsFile: path, InboxPrefix: bus.InboxPrefix(bus.RequesterUser)})
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "NONSENSE")) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			b.Close()
		}
	}
	if _, err := bus.Connect(t.Context(), bus.Config{URL: nats.DefaultURL, CredentialsFile: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a file that is not there was taken")
	}
}
