package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events/bustest"
)

var update = flag.Bool("update", false, "write deploy/nats/rights.conf anew")

// The example in deploy/nats is what the program prints, but for the keys; nobody has the seeds of those. A server takes it.
func TestNATSConfig_Example(t *testing.T) {
	t.Parallel()
	keys := t.TempDir()
	run := func() []byte {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs([]string{"nats-config", "--keys", keys, "--outsider", "shop=warehouse,ledger", "--outsider", "example.com:crm"})
		root.SetOut(&out)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	printed := run()
	if again := run(); !bytes.Equal(printed, again) {
		t.Error("printed again it differs")
	}
	files, err := filepath.Glob(filepath.Join(keys, "*.nk"))
	if err != nil || len(files) != 7 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		seed, err := os.ReadFile(f)
		if err != nil || bytes.Contains(printed, bytes.TrimSpace(seed)) {
			t.Errorf("the seed in %s is printed, or %v", f, err)
		}
	}
	folder := filepath.Join("..", "..", "deploy", "nats")
	golden := filepath.Join(folder, "rights.conf")
	if *update {
		if err := os.WriteFile(golden, printed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	public := regexp.MustCompile(`nkey: "U[A-Z2-7]{55}"`)
	same := func(b []byte) string { return string(public.ReplaceAll(b, []byte("nkey"))) }
	if diff := cmp.Diff(same(want), same(printed)); diff != "" {
		t.Errorf("go test -update rewrites it:\n%s", diff)
	}
	bustest.GuardedBy(t, filepath.Join(folder, "nats-server.conf"))
}
