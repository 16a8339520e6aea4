package mysql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	srv := sharedServer(t)
	executortest.Run(t, func(t testing.TB) executortest.Harness { return harness(t, srv) })
}

func harness(t testing.TB, srv *mysqltest.Server) executortest.Harness {
	w := newWorld(t, srv)
	source := database(t, srv)
	fill(t, srv, source, 4000) // enough for more than one report of progress
	return executortest.Harness{
		New: func(t testing.TB) executor.Executor { return w.executor(t) },
		Job: func(_ testing.TB, backupID string, attempt int) executor.Job {
			j := w.job(source)
			j.BackupID, j.Attempt = backupID, attempt
			return j
		},
		Kind: "LOGICAL", Checksums: true,
		Stalled: func(t testing.TB) (executor.Executor, <-chan struct{}) { return w.stalled(t) },
		Lose:    func(t testing.TB, j executor.Job) { lose(t, w, j) },
		Left:    func(t testing.TB, _ executor.Job) []string { return w.left(t) },
		Flip:    func(t testing.TB, r executor.Ref) { flip(t, w.object(r)) },
		Remove: func(t testing.TB, r executor.Ref) {
			if err := os.Remove(w.object(r)); err != nil {
				t.Fatal(err)
			}
		},
		Target: func(t testing.TB) events.InstanceConfig {
			name := database(t, srv)
			run(t, srv.Root(), "DROP DATABASE "+name)
			return w.config(name)
		},
		Fill: func(t testing.TB, c events.InstanceConfig) {
			run(t, srv.Root(), "CREATE DATABASE IF NOT EXISTS "+c.Databases[0])
			fill(t, srv, c.Databases[0], 10)
		},
		Content: func(t testing.TB, c events.InstanceConfig) string { return content(t, srv, c.Databases[0]) },
	}
}

// object is the file of the stored dump.
func (w *world) object(r executor.Ref) string {
	_, prefix, _ := strings.Cut(r.BackupName, ":")
	return filepath.Join(w.store, filepath.FromSlash(prefix), "dump.sql.zst")
}

func (w *world) manifest(t testing.TB, r executor.Ref) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(filepath.Dir(w.object(r)), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func flip(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// halting makes work halt in the middle of the copy until it is cancelled.
func halting() (func(context.Context, executor.Job, executor.Progress), <-chan struct{}) {
	halted := make(chan struct{})
	var once sync.Once
	return func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.BytesDone > 0 && p.Phase == events.Copying {
			once.Do(func() { close(halted) })
			<-ctx.Done()
		}
	}, halted
}

func (w *world) stalled(t testing.TB) (*engine.Executor, <-chan struct{}) {
	t.Helper()
	report, halted := halting()
	x, done, err := w.open(t.Context(), report)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return x, halted
}

// childEnv tells the test binary to be another process that halts in the middle of a job.
const childEnv = "BACKUPBUS_MYSQL_TEST_CHILD"

type lostJob struct {
	Store, Scratch string
	Job            executor.Job
}

// lose starts j in another process and kills it in the middle of the copy.
func lose(t testing.TB, w *world, j executor.Job) {
	t.Helper()
	doc, err := json.Marshal(lostJob{w.store, w.scratch, j})
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
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // tells that it was killed
}

func stallForEver(doc string) {
	var l lostJob
	if err := json.Unmarshal([]byte(doc), &l); err != nil {
		panic(err)
	}
	report, halted := halting()
	w := &world{store: l.Store, scratch: l.Scratch}
	x, _, err := w.open(context.Background(), report)
	if err != nil {
		panic(err)
	}
	if _, err := x.Start(context.Background(), l.Job); err != nil {
		panic(err)
	}
	<-halted
	os.Stdout.WriteString("halted\n")
	select {}
}
