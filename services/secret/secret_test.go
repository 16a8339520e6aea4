package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/secret"
)

func TestValue_CannotBePrinted(t *testing.T) {
	t.Parallel()
	const text = "CANARY-hunter2"
	v := secret.Of(text)
	held := struct {
		V secret.Value
		v secret.Value
	}{v, v}
	doc, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", v, "held", held, "pointer", &v)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", v, "held", held, "pointer", &v)
	all := string(doc) + log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, v) + fmt.Sprintf(verb, held) + fmt.Sprintf(verb, &held)
	}
	if strings.Contains(all, text) || strings.Contains(all, fmt.Sprintf("%x", text)) {
		t.Errorf("it was printed: %s", all)
	}
	if v.Reveal() != text || v.None() || !v.Is(text) || v.Is(text+"x") || (secret.Value{}).Is("") || !(secret.Value{}).None() || held.v.None() {
		t.Error("it is not what it was made of")
	}
}

func TestRead_FollowsReferences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	env := func(name string) (string, bool) {
		if name == "LONG" {
			return strings.Repeat("x", 16<<10+1), true
		}
		return " of the environment\n", name == "THERE"
	}
	for ref, want := range map[string]string{
		"env:THERE": "of the environment", file("good", 0o600, "of a file\n"): "of a file",
		"env:NOT_THERE": "", file("wide", 0o644, "x"): "", "env:LONG": "", file("long", 0o600, strings.Repeat("x", 16<<10+1)): "",
		file("token", 0o600, strings.Repeat("x", 16<<10)): strings.Repeat("x", 16<<10), "file:" + dir: "", "file:" + dir + "/none": "",
	} {
		if err := secret.Check(ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		got, err := secret.Read(ref, env)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "env:", "env:A=B", "file:relative", "hunter22hunter22"} {
		if err := secret.Check(ref); err == nil || ref != "" && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%q: %v", ref, err)
		}
	}
}
