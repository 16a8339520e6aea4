package postgres

import (
	"syscall"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
)

func TestFault_LockHeldTooLongIsUnavailableAndSaysSo(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE held (a int)`)
	holder := s.DB(t, source)
	if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	set := w.settings()
	set.LockWait = 200 * time.Millisecond
	for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} { // the dump waits; the count waits
		j := uniqueJob(config(s, source))
		j.Proof = proof
		f, raw := attempted(t, opened(t, set), j)
		wantFailure(t, f, raw, events.ProviderUnavailable, "another session holds a lock")
		if !f.Retryable {
			t.Error("a later backup may succeed")
		}
		if n := sessions(t, s, j); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	}
	wantNothingLeft(t, w)
}

func TestCancel_WhileTheDumpWaitsForALockFreesTheQueue(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE held (a int)`)
	holder := s.DB(t, source)
	if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	x := w.executor(t)
	j := uniqueJob(config(s, source))
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	watch := s.DB(t, "postgres")
	waiting := func() (n int) {
		err := watch.QueryRow(t.Context(), `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`,
			marker("", j.BackupID, j.Attempt)).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "the dump waits for the lock", func() bool { return waiting() == 1 })
	if remains, err := x.Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	wantFailed(t, x, ref, events.CodeCancelled, "")
	if n := sessions(t, s, j); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if pids := childrenNamed(t, "pg_dump", j.BackupID+"-"); len(pids) != 0 {
		t.Errorf("dump programs %v are left", pids)
	}
	if n := value[int](t, s, source, `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); n != 0 {
		t.Errorf("%d wait in the queue of the lock", n)
	}
	wantNothingLeft(t, w)
}

// TestRecover_EndsTheSessionThatAKilledExecutorLeft: it waits for a lock, so the server has not noticed.
func TestRecover_EndsTheSessionThatAKilledExecutorLeft(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE held (a int)`)
	j := uniqueJob(config(s, source))
	left := s.DB(t, source)
	if _, err := left.Exec(t.Context(), `SELECT set_config('application_name', $1, false)`, marker("", j.BackupID, j.Attempt)); err != nil {
		t.Fatal(err)
	}
	if n := sessions(t, s, j); n != 1 {
		t.Fatalf("%d sessions", n)
	}
	if _, found, err := w.executor(t).Recover(t.Context(), j); err != nil || found {
		t.Fatalf("found %v, %v", found, err)
	}
	if n := sessions(t, s, j); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestCancel_OfAStoppedDumpProgramEndsItAndItsSession(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bigTable, `INSERT INTO big SELECT * FROM big`, `INSERT INTO big SELECT * FROM big`)
	x := w.executor(t)
	halted, goOn := pause(x)
	j := uniqueJob(config(s, source))
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	pids := childrenNamed(t, "pg_dump", j.BackupID+"-")
	if len(pids) != 1 {
		t.Fatalf("dump programs %v", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if remains, err := x.Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	if pids := childrenNamed(t, "pg_dump", j.BackupID+"-"); len(pids) != 0 {
		t.Errorf("dump programs %v are left", pids)
	}
	if n := sessions(t, s, j); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	wantNothingLeft(t, w)
}
