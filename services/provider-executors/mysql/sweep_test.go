package mysql_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// locked holds a lock on a table until the test ends, or free is called.
func (w *world) locked(t *testing.T, table string) (free func()) {
	t.Helper()
	holder, err := w.srv.Root().Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close() })
	run(t, holder, "LOCK TABLES "+table+" WRITE")
	free = func() { run(t, holder, "UNLOCK TABLES") }
	t.Cleanup(free)
	return free
}

// waiting counts the sessions of a user that wait for a lock on a table, or on all: MySQL's tool does so for the
// position in the log.
func (w *world) waiting(t *testing.T, user string) (n int) {
	t.Helper()
	for _, s := range sessions(t, w.srv, user) {
		if s[2] == "Waiting for table metadata lock" || s[2] == "Waiting for global read lock" || s[2] == "Waiting for table flush" {
			n++
		}
	}
	return n
}

// ownBackup is the id of no other test's backup on the shared server: sessions are found by it.
func ownBackup() string { return fmt.Sprintf("bk_%026d", 1000+databases.Add(1)) }

func TestSweep_EndsTheSessionOfTheAttemptAndNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, 10)
		j.BackupID = ownBackup()
		free := w.locked(t, name+".t")
		x, other, next := w.executor(t), j, j
		other.BackupID, next.Attempt = ownBackup(), 2
		ref, otherRef := start(t, x, j), start(t, x, other)
		eventually(t, "both tools to wait for the lock", func() bool { return w.waiting(t, user) == 2 })

		e, err := w.engine()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Sweep(t.Context(), next); err != nil || w.waiting(t, user) != 2 {
			t.Errorf("an attempt that has no session: %v, %d left", err, w.waiting(t, user))
		}
		for range 2 { // the second finds nothing
			if err := e.Sweep(t.Context(), j); err != nil || w.waiting(t, user) != 1 {
				t.Errorf("%v, %d left", err, w.waiting(t, user))
			}
		}
		executortest.WantCode(t, executortest.Finish(t, x, ref).Err, events.ProviderUnavailable)
		free()
		if p := executortest.Finish(t, x, otherRef); p.Err != nil {
			t.Errorf("the other backup: %v", p.Err)
		}
		w.wantNoSession(t, user)
	})
}

func TestRecover_OfAKilledProcessEndsTheSessionThatWaits(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, 10)
		j.BackupID = ownBackup()
		_ = w.locked(t, name+".t")
		loseWhen(t, w, lostJob{Job: j}, func(io.Reader) {
			eventually(t, "the tool to wait for the lock", func() bool { return w.waiting(t, user) == 1 })
		})
		x := w.executor(t)
		if _, found, err := x.Recover(t.Context(), j); err != nil || found {
			t.Fatalf("found %v, %v", found, err)
		}
		if n := w.waiting(t, user); n != 0 { // at once, and the lock is still held
			t.Errorf("%d sessions still wait", n)
		}
		w.wantNothingLeft(t)
	})
}

// halfway is a client that loads the beginning of a dump and then waits for the test's end.
func (w *world) halfway(t *testing.T, bytes int) {
	t.Helper()
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(gate, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	w.replace(t, w.srv.Kind.Client(), fmt.Sprintf(`{ head -c %d; cat %s >/dev/null; } | $tool "$@"`, bytes, gate))
}

func TestRecoverRestore_OfAKilledProcessLeavesAnEmptyOrAWholeTarget(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target, absent := database(t, w.srv), database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, manyRows)
		run(t, w.srv.Root(), "ALTER DATABASE "+target+" CHARACTER SET latin2 COLLATE latin2_czech_cs")
		run(t, w.srv.Root(), "DROP DATABASE "+absent)
		before := fmt.Sprint(shape(t, w, target), shape(t, w, absent))
		o := executortest.Take(t, w.executor(t), w.job(source))
		e, err := w.engine()
		if err != nil {
			t.Fatal(err)
		}
		whole := maps.Clone(w.programs)
		w.halfway(t, 8<<20) // the first statement of a newer tool is of 6 MiB
		var jobs []executor.RestoreJob
		for _, name := range []string{target, absent} {
			c := w.config(name)
			c.User = account(t, w.srv, privileges(kind)...)
			j := executor.RestoreJob{RestoreID: testRestore + fmt.Sprint(databases.Add(1)), BackupID: testBackup, Source: *o.Ref, Checksum: o.Checksum, Target: c}
			jobs = append(jobs, j)
			loseWhen(t, w, lostJob{Restore: &j}, func(io.Reader) {
				eventually(t, "rows in the target", func() bool {
					made := query(t, w.srv.Root(), "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 't'", name)
					return made[0][0] == "1" && query(t, w.srv.Root(), "SELECT COUNT(*) > 0 FROM "+name+".t")[0][0] == "1"
				})
			})
			if err := e.RecoverRestore(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			w.wantNoSession(t, c.User) // its client still waits for the rest
		}
		if after := fmt.Sprint(shape(t, w, target), shape(t, w, absent)); after != before {
			t.Errorf("after %.3000s\nbefore %.3000s", after, before)
		}

		// The same restores once more, by a client that loads all: what is whole stays.
		w.programs = whole
		for _, j := range jobs {
			if _, err := w.executor(t).Restore(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			if err := e.RecoverRestore(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		if want := content(t, w.srv, source); content(t, w.srv, target) != want || content(t, w.srv, absent) != want {
			t.Error("content differs")
		}
	})
}
