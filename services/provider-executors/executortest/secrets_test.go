package executortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// recorder is a test that keeps what it was told in place of failing.
type recorder struct {
	testing.TB
	said    []string
	cleanup []func()
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) end() string {
	for _, f := range r.cleanup {
		f()
	}
	return strings.Join(r.said, "\n")
}

// ended is an executor whose work has ended so.
type ended struct {
	executor.Executor
	executor.Progress
}

func (e ended) Poll(context.Context, executor.Ref) (executor.Progress, error) { return e.Progress, nil }

func TestSecrets_AreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	const password = `a'b ` + Canary
	key := Secret("the-key-of-this-test")
	failed := &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "a message"}
	told := func(p executor.Progress) func(*testing.T, *recorder) {
		return func(t *testing.T, r *recorder) {
			r.TB = t
			p.Done = true
			Finish(r, ended{Progress: p}, executor.Ref{})
		}
	}
	file := func(name string, content []byte) func(*testing.T, *recorder) {
		return func(t *testing.T, r *recorder) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
			Guard(r, filepath.Join(dir, "absent"), dir)
		}
	}
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows bytes.Buffer // of many letters, so that none is stored as it is
	fmt.Fprintln(&rows, password)
	for i := range 50_000 {
		fmt.Fprintln(&rows, i*i)
	}
	packed := packer.EncodeAll(rows.Bytes(), nil)
	torn := packed[:len(packed)/2]
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	Secret(identity.String())
	sealed := func(text []byte) []byte {
		var to bytes.Buffer
		w, err := age.Encrypt(&to, identity.Recipient())
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return to.Bytes()
	}
	for name, c := range map[string]struct {
		want string
		do   func(*testing.T, *recorder)
	}{
		"outcome":   {"the outcome", told(executor.Progress{Outcome: lifecycle.Outcome{Ref: &executor.Ref{BackupName: Canary}}})},
		"raw error": {"the error", told(executor.Progress{Err: fmt.Errorf("%w: %w", failed, errors.New(password))})},
		"failure":   {"the failure", told(executor.Progress{Err: &events.Failure{Message: "m", ProviderCode: key}})},
		"of WantCode": {"the error", func(t *testing.T, r *recorder) {
			WantCode(r, fmt.Errorf("%w: %s", failed, key), events.Internal)
		}},
		"log":              {"the log", func(_ *testing.T, r *recorder) { Guard(r).Debug("said", "of", password) }},
		"manifest":         {"the file", file("manifest.json", []byte(`{"x":"`+password+`"}`))},
		"object":           {"the object", file("dump.sql.zst", packed)},
		"sealed":           {"the encrypted object", file("dump.sql.age", sealed(rows.Bytes()))},
		"sealed, packed":   {"the object", file("dump.sql.zst.age", sealed(packed))},
		"sealed by others": {"", file("dump.sql.age", []byte("age-encryption.org/v1\n"))},
		"torn object":      {"the object", file("dump.sql.zst", torn)},
		"nothing told":     {"", told(executor.Progress{Err: failed})},
		"nothing stored":   {"", file("manifest.json", []byte("{}"))},
		"nothing logged":   {"", func(_ *testing.T, r *recorder) { Guard(r).Error("a message") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			c.do(t, r)
			if said := r.end(); (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}

// Not parallel: the others would find what this one starts.
func TestSecrets_AreFoundInProcesses(t *testing.T) {
	for what, start := range map[string]*exec.Cmd{
		"cmdline": exec.CommandContext(t.Context(), "sh", "-c", "echo; cat; :", Secret("argument-of-this-test")),
		"environ": exec.CommandContext(t.Context(), "sh", "-c", "echo; cat; :"),
	} {
		if what == "environ" {
			start.Env = []string{"PW=" + Secret("variable-of-this-test"), "PATH=" + os.Getenv("PATH")}
		}
		in, err := start.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := start.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := start.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // before, it has no environment yet
			t.Fatal(err)
		}
		r := &recorder{}
		look(r)
		_ = in.Close()
		if err := start.Wait(); err != nil {
			t.Error(err)
		}
		if said := r.end(); !strings.Contains(said, "the "+what+" of a program") {
			t.Errorf("%s: said %q", what, said)
		}
	}
}
