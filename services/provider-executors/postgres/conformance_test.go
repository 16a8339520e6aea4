package postgres

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	server1(t)
	executortest.Run(t, harness)
}

// named1 restores under the name of the target's one database, which the suite's jobs leave out.
type named1 struct{ *running }

func (n named1) Restore(ctx context.Context, j executor.RestoreJob) (int64, error) {
	j.Database = j.Target.Databases[0]
	j.RestoreID = "rs_" + j.Database
	return n.running.Restore(ctx, j)
}

func harness(t testing.TB) executortest.Harness {
	w, s := newWorld(t), server1(t)
	source := freshDB(t, s, bigTable)
	id := unique("bk")
	return executortest.Harness{
		New: func(t testing.TB) executor.Executor { return named1{w.executor(t)} },
		Job: func(_ testing.TB, _ string, attempt int) executor.Job {
			j := jobOf(config(s, source))
			j.BackupID, j.Attempt = id, attempt
			return j
		},
		Kind: "LOGICAL", Checksums: true,
		Stalled: func(t testing.TB) (executor.Executor, <-chan struct{}) {
			x := w.executor(t)
			return x, stall(x)
		},
		Lose: func(t testing.TB, j executor.Job) { lose(t, work{Settings: w.settings(), Job: j}) },
		Left: func(t testing.TB, _ executor.Job) []string { return w.left(t) },
		Flip: func(t testing.TB, r executor.Ref) { flip(t, dumpFile(t, w, r)) },
		Remove: func(t testing.TB, r executor.Ref) {
			if err := os.Remove(dumpFile(t, w, r)); err != nil {
				t.Fatal(err)
			}
		},
		Target: func(testing.TB) events.InstanceConfig { return config(s, unique("target")) },
		Fill: func(t testing.TB, c events.InstanceConfig) {
			s.CreateDatabase(t, c.Databases[0])
			s.Exec(t, c.Databases[0], `CREATE TABLE other AS SELECT 1 AS one`)
		},
		Content: func(t testing.TB, c events.InstanceConfig) string { return content(t, s, c.Databases[0]) },
	}
}

// stall makes the work of x halt in the middle of the copy until it is cancelled.
func stall(x *running) <-chan struct{} {
	halted := make(chan struct{})
	var once sync.Once
	x.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.BytesDone > 0 && p.Phase == events.Copying {
			once.Do(func() { close(halted) })
			<-ctx.Done()
		}
	}
	return halted
}

// dumpFile is the stored dump of a copy of one database.
func dumpFile(t testing.TB, w world, r executor.Ref) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.folder(r), databasePrefix+"*.dump.zst"))
	if err != nil || len(found) != 1 {
		t.Fatalf("dumps %q, %v", found, err)
	}
	return found[0]
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
