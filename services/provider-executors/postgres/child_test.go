package postgres

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// childEnv tells the test binary to be another process; the work is in the value.
const childEnv = "BACKUPBUS_POSTGRES_TEST_CHILD"

func TestMain(m *testing.M) {
	if doc := os.Getenv(childEnv); doc != "" {
		if err := beChild(context.Background(), doc); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(runTests(m))
}

// work is what another process does: a restore if there is one, else a backup that it halts in the middle, or,
// measured, brings to its end.
type work struct {
	Settings settings
	Job      executor.Job
	Restore  *executor.RestoreJob
	Measured bool
}

func beChild(ctx context.Context, doc string) error {
	var w work
	if err := json.Unmarshal([]byte(doc), &w); err != nil {
		return err
	}
	x, err := start(ctx, w.Settings)
	if err != nil {
		return err
	}
	switch {
	case w.Restore != nil:
		_, err := x.Restore(ctx, *w.Restore)
		return err
	case w.Measured:
		return measured(ctx, x, w.Job)
	}
	halted := stall(x)
	if _, err := x.Start(ctx, w.Job); err != nil {
		return err
	}
	<-halted
	if _, err := os.Stdout.WriteString("halted\n"); err != nil {
		return err
	}
	select {}
}

// child starts another process. What it writes to its output can be read from the reader.
func child(t testing.TB, w work) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	doc, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(doc))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func said(t testing.TB, out *bufio.Reader) string {
	t.Helper()
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

func kill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // tells that it was killed
}

// lose starts a backup in another process and kills it in the middle of the copy.
func lose(t testing.TB, w work) {
	t.Helper()
	cmd, out := child(t, w)
	said(t, out)
	kill(t, cmd)
}
