package credential

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
)

const canary = "CANARY-hunter2"

func TestResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	write := func(dir, name, what string, mode os.FileMode) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(what), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write(inside, "good", canary+"\n", 0o600)
	windows := write(inside, "windows", canary+"\r\n", 0o640)
	open := write(inside, "open", canary, 0o604)
	empty := write(inside, "empty", "\n", 0o600)
	lines := write(inside, "lines", canary+"\nmore", 0o600)
	long := write(inside, "long", strings.Repeat("x", 5000), 0o600)
	other := write(outside, "other", canary, 0o600)
	link := filepath.Join(inside, "link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	r := Resolver{Roots: []string{inside}, Variables: []string{"GOOD", "UNSET"}, Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"GOOD": canary, "HOME": "/root"}[name]
		return v, ok
	}}
	for ref, want := range map[string]string{
		"": "", "env:GOOD": canary, "file:" + good: canary, "file:" + windows: canary,
		"env:UNSET": "not set", "env:HOME": "do not allow", "file:" + open: "chmod", "file:" + empty: "empty", "file:" + lines: "one line",
		"file:" + long: "longer", "file:" + other: "below one of", "file:" + link: "below one of", "file:" + inside: "no regular file",
		"file:relative": "absolute", "file:" + inside + "/../out/other": "below one of", "file:" + inside + "/absent": "does not exist", "plain": "neither",
	} {
		s, err := r.Resolve(ref)
		if want == "" || want == canary {
			if err != nil || s.Reveal() != want {
				t.Errorf("%s: %v", ref, err)
			}
			continue
		}
		var f *events.Failure
		if !errors.As(err, &f) || !strings.Contains(f.Message, want) || strings.Contains(f.Message, dir) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: want a failure with %q and no path, got %v", ref, want, err)
		}
	}
	if s, err := (Resolver{}).Resolve("file:" + other); err != nil || s.Reveal() != canary {
		t.Errorf("without roots: %v", err)
	}
}
