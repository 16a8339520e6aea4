package mysql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
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
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		srv := sharedServer(t, kind)
		executortest.Run(t, func(t testing.TB) executortest.Harness { return harness(t, srv) })
	})
}

func harness(t testing.TB, srv *mysqltest.Server) executortest.Harness {
	w := newWorld(t, srv)
	source := database(t, srv)
	fill(t, srv, source, 4000) // enough for more than one report of progress
	// All harnesses have the same job, so a sweep of one would end the sessions of another.
	user := account(t, srv, privileges(srv.Kind)...)
	return executortest.Harness{
		New: func(t testing.TB) executor.Executor { return w.executor(t) },
		Job: func(_ testing.TB, backupID string, attempt int) executor.Job {
			j := w.job(source)
			j.BackupID, j.Attempt, j.Config.User = backupID, attempt, user
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
			c := w.config(name)
			c.User = user
			return c
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

// text is the stored dump.
func (w *world) text(t testing.TB, r executor.Ref) string {
	t.Helper()
	plain, err := exec.Command("zstd", "-dc", w.object(r)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
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
	Programs       tool.Programs
	Job            executor.Job
	Restore        *executor.RestoreJob // in place of Job
	ToTheEnd       bool                 // nothing halts, and the process tells its peak
}

// lose starts j in another process and kills it in the middle of the copy.
func lose(t testing.TB, w *world, j executor.Job) {
	t.Helper()
	loseWhen(t, w, lostJob{Job: j}, func(out io.Reader) {
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("child said %q: %v", line, err)
		}
	})
}

// loseWhen starts work in another process and kills it when until has returned.
func loseWhen(t testing.TB, w *world, l lostJob, until func(out io.Reader)) {
	t.Helper()
	l.Store, l.Scratch, l.Programs = w.store, w.scratch, w.programs
	doc, err := json.Marshal(l)
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
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // tells that it was killed
	}()
	until(out)
}

func stallForEver(doc string) {
	var l lostJob
	if err := json.Unmarshal([]byte(doc), &l); err != nil {
		panic(err)
	}
	report, halted := halting()
	if l.ToTheEnd {
		report = nil
	}
	w := &world{store: l.Store, scratch: l.Scratch, programs: l.Programs, log: slog.New(slog.DiscardHandler)}
	x, _, err := w.open(context.Background(), report)
	if err != nil {
		panic(err)
	}
	if l.Restore != nil {
		_, err = x.Restore(context.Background(), *l.Restore)
		panic(err)
	}
	ref, err := x.Start(context.Background(), l.Job)
	if err != nil {
		panic(err)
	}
	if l.ToTheEnd {
		tellPeak(x, ref)
	}
	<-halted
	os.Stdout.WriteString("halted\n")
	select {}
}
