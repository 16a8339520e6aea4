package postgres

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

func TestRecoverRestore_KeepsAReplacedDatabaseThatWasFilledMeanwhile(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	j := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s), Database: freshDB(t, s)}
	for i, statement := range []string{`CREATE TABLE late AS SELECT 7 AS id`, `SELECT 1`} {
		s.CreateDatabase(t, stageName(j, "old", i))
		s.Exec(t, stageName(j, "old", i), statement)
	}
	err := x.RecoverRestore(t.Context(), j)
	executortest.WantCode(t, err, events.AlreadyExists)
	wantNoStage(t, s, j)
	if id := value[int](t, s, keptPrefix+j.RestoreID+"_0", `SELECT id FROM late`); id != 7 {
		t.Errorf("kept %d", id)
	}
	if err := x.RecoverRestore(t.Context(), j); err != nil {
		t.Error(err)
	}
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_database WHERE starts_with(datname, $1)`, keptPrefix+j.RestoreID); n != 1 {
		t.Errorf("%d are kept", n)
	}
	s.Exec(t, "postgres", "DROP DATABASE "+ident(keptPrefix+j.RestoreID+"_0"))
}

// TestRestore_CommitWhoseAnswerIsLostIsLookedFor: the server commits, and the session is cut before it says so.
func TestRestore_CommitWhoseAnswerIsLostIsLookedFor(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	target := freshDB(t, s, `CREATE TABLE old ()`)
	c := config(s)
	c.Address = between(t, s, nil)
	j := uniqueRestore(o, c, target)
	j.Overwrite = true
	executortest.Restore(t, x, j)
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
	wantNoStage(t, s, j)
}

func TestRestore_TargetThatIsFilledAtTheLastMomentIsKept(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	target := freshDB(t, s)
	c := config(s)
	c.Address = between(t, s, func() { // the engine has looked, and ended the target's sessions
		d, err := s.Connect(t.Context(), target)
		if err == nil {
			_, err = d.Exec(t.Context(), `CREATE TABLE late AS SELECT 7 AS id`)
			err = errors.Join(err, d.Close(t.Context()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	j := uniqueRestore(o, c, target)
	_, err := x.Restore(t.Context(), j)
	executortest.WantCode(t, err, events.AlreadyExists)
	wantNoStage(t, s, j)
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
	kept := keptPrefix + j.RestoreID + "_0"
	if id := value[int](t, s, kept, `SELECT id FROM late`); id != 7 {
		t.Errorf("kept %d", id)
	}
	s.Exec(t, "postgres", "DROP DATABASE "+ident(kept))
}

// between is the address of a way to s on which atBegin runs before a transaction of the engine begins; nil:
// on which its commit is never answered.
func between(t testing.TB, s *postgrestest.Server, atBegin func()) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbcut-")
	if err != nil {
		t.Fatal(err)
	}
	address := filepath.Join(dir, filepath.Base(s.Address))
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", s.Address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go relay(client, server, atBegin)
		}
	}()
	return address
}

func relay(client, server net.Conn, atBegin func()) {
	committing, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer server.Close()
		for b := make([]byte, 64<<10); ; {
			n, err := client.Read(b)
			if atBegin != nil && bytes.Contains(b[:n], []byte("begin\x00")) {
				atBegin()
			}
			if atBegin == nil && bytes.Contains(b[:n], []byte("commit\x00")) {
				close(committing)
				_, _ = server.Write(b[:n])
				<-answered
				return
			}
			if n > 0 {
				_, _ = server.Write(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	defer close(answered)
	defer client.Close()
	for b := make([]byte, 64<<10); ; {
		n, err := server.Read(b)
		select {
		case <-committing:
			return // what was read may be the answer
		default:
		}
		if n > 0 {
			_, _ = client.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}
