package postgres

import (
	"io"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

func TestFingerprint_MovesWithEveryCommitAndWithNothingElse(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", `CREATE TABLE a AS SELECT g AS id FROM generate_series(1, 1000) g`, `CREATE UNLOGGED TABLE fast (a int)`, `CREATE TABLE held (a int)`,
		`CREATE SEQUENCE counter`, `VACUUM a`) // from 18 on the first one after writes counts as a change
	x := w.executor(t)
	j := uniqueJob(config(s, "shop"))
	now := func() string {
		t.Helper()
		f, err := x.engine.Fingerprint(t.Context(), j)
		if err != nil || f == "" {
			t.Fatalf("fingerprint %q, %v", f, err)
		}
		return f
	}
	before := now()
	for _, still := range []string{`SELECT count(*) FROM a`, `CHECKPOINT`, `VACUUM a`, `SELECT pg_switch_wal()`, `SELECT pg_log_standby_snapshot()`,
		`BEGIN; SELECT 1; ROLLBACK`} {
		if _, err := s.DB(t, "shop").Exec(t.Context(), still); err != nil && sqlState(err) != "42883" { // the function is newer than 15
			t.Fatal(err)
		}
		if f := now(); f != before {
			t.Errorf("%s moved it from %s to %s", still, before, f)
		}
	}
	o := take(t, x, j)
	if f := now(); f != before {
		t.Errorf("a backup moved it from %s to %s", before, f)
	}
	if same, err := x.Unchanged(t.Context(), j, *o.Ref); err != nil || !same {
		t.Errorf("unchanged after the backup: %v, %v", same, err)
	}
	for _, moves := range []string{
		`INSERT INTO a VALUES (0)`, `UPDATE a SET id = id WHERE id = 5`, `DELETE FROM a WHERE id = 6`, `CREATE TABLE b (a int)`, `ALTER TABLE b ADD c int`, `DROP TABLE b`,
		`TRUNCATE held`, `INSERT INTO fast VALUES (1)`, `SELECT setval('counter', 500)`, `SELECT lo_create(0)`, `GRANT SELECT ON a TO PUBLIC`,
	} {
		before := now()
		s.Exec(t, "shop", moves)
		if now() == before {
			t.Errorf("%s did not move it", moves)
		}
	}
	if same, err := x.Unchanged(t.Context(), j, *o.Ref); err != nil || same {
		t.Errorf("unchanged after changes: %v, %v", same, err)
	}
}

func TestFingerprint_SeesTheCommitOfATransactionThatRanBefore(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off", "max_prepared_transactions=5"), newWorld(t)
	s.Exec(t, "postgres", `CREATE TABLE a (id int)`)
	x := w.executor(t)
	j := uniqueJob(config(s, "postgres"))
	c := s.DB(t, "postgres")
	for _, twoSteps := range [][2]string{
		{`BEGIN; INSERT INTO a VALUES (1)`, `COMMIT`},
		{`BEGIN; INSERT INTO a VALUES (2); PREPARE TRANSACTION 'p'`, `COMMIT PREPARED 'p'`},
	} {
		if _, err := c.Exec(t.Context(), twoSteps[0]); err != nil {
			t.Fatal(err)
		}
		before, err := x.engine.Fingerprint(t.Context(), j)
		if err != nil || before == "" {
			t.Fatalf("%q, %v", before, err)
		}
		if _, err := c.Exec(t.Context(), twoSteps[1]); err != nil {
			t.Fatal(err)
		}
		after, err := x.engine.Fingerprint(t.Context(), j)
		if err != nil || after == before {
			t.Errorf("%s: before %s, after %s, %v", twoSteps[1], before, after, err)
		}
	}
}

func TestFingerprint_MovesWithARestartAndWithACrashOfOneSession(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	x := w.executor(t)
	c := config(s, "postgres")
	now := func() string {
		t.Helper()
		f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c))
		if err != nil || f == "" {
			t.Fatalf("%q, %v", f, err)
		}
		return f
	}
	before := now()
	crashSession(t, s)
	// The server may answer once more before it notices the crash, and then drops everybody.
	eventually(t, "the crash has moved it", func() bool {
		f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c))
		return err == nil && f != "" && f != before
	})
	before = now()
	s.Halt()
	again, err := postgrestest.Open(t.Context(), s.Dir, filepath.Join(s.Dir, "data"), "autovacuum=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Kill() })
	c = config(again, "postgres")
	if now() == before {
		t.Error("a restart did not move it")
	}
}

func TestFingerprint_IsUnknownToWhoMayNotSeeTheServersProcesses(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	user := unique("user")
	s.CreateUser(t, user, canary)
	c := config(s, "postgres")
	c.User, c.CredentialRef = user, credentialFile(t, canary)
	x := w.executor(t)
	if f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c)); err != nil || f != "" {
		t.Errorf("%q, %v", f, err)
	}
	s.Exec(t, "postgres", "GRANT pg_monitor TO "+ident(user))
	if f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c)); err != nil || f == "" {
		t.Errorf("with pg_monitor: %q, %v", f, err)
	}
}

// crashSession kills one session, which makes the server restart all of its processes but the first.
func crashSession(t testing.TB, s *postgrestest.Server) {
	t.Helper()
	victim := s.DB(t, "postgres")
	if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is gone", func() bool { return victim.Ping(t.Context()) != nil })
}

func TestFingerprint_IsOlderThanEverythingInTheCopy(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	x := w.executor(t)
	j := uniqueJob(config(s))
	source, err := x.engine.Prepare(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	s.CreateUser(t, "newcomer", "x")
	s.CreateDatabase(t, "made_meanwhile")
	for _, p := range source.Parts() {
		if _, err := p.Stream(t.Context(), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	now, err := x.engine.Fingerprint(t.Context(), j)
	if about := source.About(); err != nil || now == "" || about.Fingerprint == "" || now == about.Fingerprint {
		t.Errorf("the copy says %q, the server %q, %v", about.Fingerprint, now, err)
	}
}

func TestFingerprint_MovesWithWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	s.CreateDatabase(t, "a")
	s.CreateDatabase(t, "b")
	x := w.executor(t)
	physical := config(s)
	physical.Method = events.MethodPhysical
	seen := map[string]string{}
	for name, c := range map[string]events.InstanceConfig{
		"a": config(s, "a"), "a and b": config(s, "a", "b"), "all by name": config(s, "a", "b", "postgres"), "whole": config(s), "files": physical,
	} {
		f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c))
		if err != nil || f == "" {
			t.Fatalf("%s: %q, %v", name, f, err)
		}
		if other := seen[f]; other != "" {
			t.Errorf("%s and %s have the same", name, other)
		}
		seen[f] = name
	}
	logical := config(s, "b", "a")
	logical.Method = events.MethodLogical
	if f, err := x.engine.Fingerprint(t.Context(), uniqueJob(logical)); err != nil || seen[f] != "a and b" {
		t.Errorf("the same in other words is %q, %v", seen[f], err)
	}
}
