package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(t testing.TB) executortest.Harness { return harness(t, "delete") })
}

func TestConformance_WAL(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(t testing.TB) executortest.Harness { return harness(t, "wal") })
}

func harness(t testing.TB, journal string) executortest.Harness {
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 2500, "journal_mode("+journal+")") // enough for more than one report of progress
	targets := 0
	return executortest.Harness{
		New: func(t testing.TB) executor.Executor { return w.executor(t) },
		Job: func(_ testing.TB, backupID string, attempt int) executor.Job {
			j := jobOf(source)
			j.BackupID, j.Attempt = backupID, attempt
			return j
		},
		Kind: "PHYSICAL", Checksums: true,
		Stalled: func(t testing.TB) (executor.Executor, <-chan struct{}) {
			e := w.executor(t)
			return e, stall(e)
		},
		Lose: func(t testing.TB, j executor.Job) { lose(t, w.settings(), j) },
		Left: func(t testing.TB, _ executor.Job) []string { return w.left(t) },
		Flip: func(t testing.TB, r executor.Ref) { flip(t, objectFile(w, r)) },
		Remove: func(t testing.TB, r executor.Ref) {
			if err := os.Remove(objectFile(w, r)); err != nil {
				t.Fatal(err)
			}
		},
		Target: func(testing.TB) events.InstanceConfig {
			targets++
			return events.InstanceConfig{File: w.file("target-" + strconv.Itoa(targets) + ".db")}
		},
		Fill: func(t testing.TB, c events.InstanceConfig) {
			fillDB(t, c.File, 10, "journal_mode("+journal+")")
		},
		Content: func(t testing.TB, c events.InstanceConfig) string { return content(t, c.File) },
	}
}

// stall makes the work of e halt in the middle of the copy until it is cancelled.
func stall(e *running) <-chan struct{} {
	halted := make(chan struct{})
	var once sync.Once
	e.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.BytesDone > 0 && p.BytesDone < p.BytesTotal {
			once.Do(func() { close(halted) })
			<-ctx.Done()
		}
	}
	return halted
}

func objectFile(w world, r executor.Ref) string {
	_, prefix, _ := strings.Cut(r.BackupName, ":")
	return filepath.Join(w.store, filepath.FromSlash(prefix), "data.sqlite.zst")
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

// childEnv tells the test binary to be another process; what it does is in the value.
const childEnv = "BACKUPBUS_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch doc := os.Getenv(childEnv); {
	case doc == "":
		os.Exit(m.Run())
	case strings.HasPrefix(doc, "write "):
		writeForEver(strings.TrimPrefix(doc, "write "))
	default:
		stallForEver(doc)
	}
}

// child starts the test binary as another process and returns when it has said its first line.
func child(t testing.TB, doc string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+doc)
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
	return cmd
}

type lostJob struct {
	Settings settings
	Job      executor.Job
	ToTheEnd bool // nothing halts, and the process tells its peak
}

// lose starts j in another process and kills it in the middle of the copy.
func lose(t testing.TB, c settings, j executor.Job) {
	t.Helper()
	doc, err := json.Marshal(lostJob{Settings: c, Job: j})
	if err != nil {
		t.Fatal(err)
	}
	cmd := child(t, string(doc))
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
	e, err := start(context.Background(), l.Settings)
	if err != nil {
		panic(err)
	}
	if l.ToTheEnd {
		tellPeak(e, l.Job)
		return
	}
	halted := stall(e)
	if _, err := e.Start(context.Background(), l.Job); err != nil {
		panic(err)
	}
	<-halted
	os.Stdout.WriteString("halted\n")
	select {}
}
