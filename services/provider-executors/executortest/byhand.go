package executortest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ByHand runs the line that a manifest has for an object, as a person does who has the folder of the copy, the stock
// tools and a file of the age key. env is added to the environment: it is where a client finds its server.
func ByHand(t testing.TB, dir, line, key string, env ...string) {
	t.Helper()
	for _, name := range []string{"zstd", "age"} {
		if _, err := exec.LookPath(name); err != nil && strings.Contains(line, name+" -d") {
			if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", strings.Replace(line, "KEYFILE", key, 1))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}
