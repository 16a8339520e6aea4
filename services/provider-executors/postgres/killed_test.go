package postgres

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// gated are statements for a database whose dump loads no further than to an index as long as the role gate is
// there: what loads it is not in the database's own name.
func gated(gate string) []string {
	return []string{
		`CREATE TABLE a AS SELECT 42 AS id`,
		`CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
			IF starts_with(current_database(), '` + stagePrefix + `') AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '` + gate + `') THEN PERFORM pg_sleep(300); END IF; RETURN $1; END $$`,
		`CREATE INDEX ON a (slow(id))`,
	}
}

func TestRecoverRestore_OfAKilledLoadLeavesTheTargetAndTheNextTryIsWhole(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x, gate := w.executor(t), unique("gate")
	s.CreateUser(t, gate, "x")
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, gated(gate)...))))
	target := freshDB(t, s, `CREATE TABLE old AS SELECT 7 AS id`)
	before := content(t, s, target)
	j := uniqueRestore(o, config(s), target)
	j.Overwrite = true
	cmd, _ := child(t, work{Settings: w.settings(), Restore: &j})
	eventually(t, "the copy is half loaded", func() bool {
		return value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_stat_activity WHERE starts_with(datname, $1) AND wait_event = 'PgSleep'`, stageBase(j)) == 1
	})
	kill(t, cmd)
	if err := x.RecoverRestore(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	wantNoStage(t, s, j)
	if got := content(t, s, target); got != before {
		t.Errorf("the target holds %s, want %s", got, before)
	}
	s.Exec(t, "postgres", "DROP ROLE "+ident(gate))
	executortest.Restore(t, x, j)
	wantNoStage(t, s, j)
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
}

func TestRestore_WhoseServerDiesSaysWhatMayBeLeft(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	x, gate := w.executor(t), unique("gate")
	s.CreateUser(t, gate, "x")
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, gated(gate)...))))
	j := uniqueRestore(o, config(s), unique("restored"))
	done := make(chan error, 1)
	go func() {
		_, err := x.Restore(t.Context(), j)
		done <- err
	}()
	eventually(t, "the copy is half loaded", func() bool {
		return value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_stat_activity WHERE starts_with(datname, $1) AND wait_event = 'PgSleep'`, stageBase(j)) == 1
	})
	s.Kill()
	err := <-done
	wantFailure(t, executor.FailureOf(err), err, events.ProviderUnavailable, "went away: see its log and try again; what was loaded may be left there: drop the databases whose names begin with "+stageBase(j))
}

func TestRecoverRestore_OfAProcessKilledAtTheExchangeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`)
	o := take(t, x, uniqueJob(config(s, source)))
	for name, passes := range map[string]bool{"before its commit": false, "after its commit": true} {
		target := freshDB(t, s, `CREATE TABLE old AS SELECT 7 AS id`)
		want := content(t, s, target)
		if passes {
			want = content(t, s, source)
		}
		j := uniqueRestore(o, config(s), target)
		j.Overwrite = true
		there := j
		address, reached := atCommit(t, s, passes)
		there.Target.Address = address
		cmd, _ := child(t, work{Settings: w.settings(), Restore: &there})
		<-reached
		kill(t, cmd)
		if err := x.RecoverRestore(t.Context(), j); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantNoStage(t, s, j)
		if got := content(t, s, target); got != want {
			t.Errorf("killed %s, the target holds %s, want %s", name, got, want)
		}
	}
}

// atCommit is the address of a way to s on which the commit of the engine halts the client for good: before it
// reaches the server or, if it passes, when the server has answered. reached is closed then.
func atCommit(t testing.TB, s *postgrestest.Server, passes bool) (address string, reached <-chan struct{}) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbcommit-")
	if err != nil {
		t.Fatal(err)
	}
	address = filepath.Join(dir, filepath.Base(s.Address))
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	halted, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(over); _ = l.Close(); _ = os.RemoveAll(dir) })
	once := sync.OnceFunc(func() { close(halted) })
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
			go haltAtCommit(client, server, passes, once, over)
		}
	}()
	return address, halted
}

func haltAtCommit(client, server net.Conn, passes bool, reached func(), over <-chan struct{}) {
	defer client.Close()
	defer server.Close()
	committing := make(chan struct{})
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			select {
			case <-committing:
				reached() // what was read is the answer
				return
			default:
			}
			if n > 0 {
				_, _ = client.Write(b[:n])
			}
			if err != nil {
				_ = client.Close()
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if bytes.Contains(b[:n], []byte("commit\x00")) {
			if passes {
				close(committing)
				_, _ = server.Write(b[:n])
			} else {
				reached()
			}
			<-over
			return
		}
		if n > 0 {
			_, _ = server.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}
