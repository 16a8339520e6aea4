package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

func TestRestore_RefusesATargetThatHoldsAnything(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a (id int)`))))
	for name, statement := range map[string]string{
		"table": `CREATE TABLE t ()`, "view": `CREATE VIEW v AS SELECT 1`, "function": `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		"schema": `CREATE SCHEMA s`, "type": `CREATE TYPE y AS ENUM ('a')`, "large object": `SELECT lo_create(0)`, "sequence": `CREATE SEQUENCE q`,
		"extension": `CREATE EXTENSION citext`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := freshDB(t, s, statement)
			_, err := x.Restore(t.Context(), uniqueRestore(o, config(s), target))
			executortest.WantCode(t, err, events.AlreadyExists)
			if n := value[int](t, s, target, `SELECT count(*)::int FROM pg_class WHERE relname = 'a'`); n != 0 {
				t.Error("the copy was loaded")
			}
		})
	}
}

func TestRestore_OverwritesUnderClientsThatComeBackAtOnce(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	target := freshDB(t, s, `CREATE TABLE old (id int)`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if c, err := s.Connect(ctx, target); err == nil {
				_, _ = c.Exec(ctx, `SELECT pg_sleep(60)`) // until it is thrown out
				_ = c.Close(context.WithoutCancel(ctx))
			}
		}
	}()
	j := uniqueRestore(o, config(s), target)
	j.Overwrite = true
	_, err := x.Restore(t.Context(), j)
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
	wantNoStage(t, s, j)
}

// wantNoStage asserts that nothing carries the id of the restore.
func wantNoStage(t testing.TB, s *postgrestest.Server, j executor.RestoreJob) {
	t.Helper()
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_database WHERE starts_with(datname, $1)`, stageBase(j)); n != 0 {
		t.Errorf("%d databases of the restore are left", n)
	}
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $1`, roleMark(j)); n != 0 {
		t.Errorf("%d roles of the restore are left", n)
	}
}

func TestRestore_OfSeveralDatabasesUnderOneNameIsRejected(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s), freshDB(t, s))))
	_, err := x.Restore(t.Context(), uniqueRestore(o, config(s), unique("target")))
	executortest.WantCode(t, err, events.ProviderRejected)
	if !strings.Contains(err.Error(), "holds 2 databases") {
		t.Error(err)
	}
}

func TestRestore_WithoutTheRolesOfTheCopyIsRejectedAndAfterThemWorks(t *testing.T) {
	t.Parallel()
	from, to, w := server1(t), postgrestest.Start(t), newWorld(t)
	owner, reader := unique("owner"), unique("reader")
	from.CreateUser(t, owner, "x")
	from.CreateUser(t, reader, "x")
	source := freshDB(t, from, `CREATE TABLE a (id int)`, `ALTER TABLE a OWNER TO `+ident(owner), `ALTER TABLE a ENABLE ROW LEVEL SECURITY`, `CREATE POLICY p ON a TO `+ident(reader)+` USING (true)`)
	x := w.executor(t)
	j := uniqueJob(config(from, source))
	j.Proof = events.ProofRestored // in a server without these roles
	o := take(t, x, j)
	r := uniqueRestore(o, config(to), "")
	_, err := x.Restore(t.Context(), r)
	executortest.WantCode(t, err, events.ProviderRejected)
	if !strings.Contains(err.Error(), "2 roles") || strings.Contains(err.Error(), owner) {
		t.Error(err)
	}
	to.CreateUser(t, owner, "x")
	to.CreateUser(t, reader, "x")
	executortest.Restore(t, x, r)
	if got := value[string](t, to, source, `SELECT tableowner FROM pg_tables WHERE tablename = 'a'`); got != owner {
		t.Errorf("owner %s, want %s", got, owner)
	}
}

func TestRestore_ThatFailsInTheMiddleLeavesTheTargetAndNoRole(t *testing.T) {
	t.Parallel()
	from, to, w := postgrestest.Start(t), postgrestest.Start(t), newWorld(t)
	from.CreateUser(t, "newcomer", "x")
	from.CreateDatabase(t, "shop")
	from.Exec(t, "shop", `CREATE TABLE a AS SELECT 1 AS id`)
	from.CreateDatabase(t, "zoo") // the last; its check looks at a table that is loaded later, so it does not load
	from.Exec(t, "zoo", `CREATE TABLE zz AS SELECT 1 AS id`, `CREATE FUNCTION known(int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT 1 FROM public.zz WHERE id = $1)'`,
		`CREATE TABLE a (id int CHECK (known(id)))`, `INSERT INTO a VALUES (1)`)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(from)))
	to.CreateDatabase(t, "shop")
	to.Exec(t, "shop", `CREATE TABLE old AS SELECT 7 AS id`)
	j := uniqueRestore(o, config(to), "")
	j.Overwrite = true
	_, err := x.Restore(t.Context(), j)
	executortest.WantCode(t, err, events.ProviderRejected)
	if id := value[int](t, to, "shop", `SELECT id FROM old`); id != 7 {
		t.Errorf("the target holds %d", id)
	}
	wantNoStage(t, to, j)
	if n := value[int](t, to, "postgres", `SELECT count(*)::int FROM pg_roles WHERE rolname = 'newcomer'`); n != 0 {
		t.Error("a role of the restore is left")
	}
}

func TestRecoverRestore_DropsWhatAKilledRestoreLeftAndNothingElse(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	target := freshDB(t, s, `CREATE TABLE mine AS SELECT 7 AS id`)
	j := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s), Database: target, Overwrite: true}
	other := executor.RestoreJob{RestoreID: unique("rs")}
	role := unique("role")
	s.CreateDatabase(t, stageName(j, "new", 0))
	s.CreateDatabase(t, stageName(j, "old", 0))
	s.CreateDatabase(t, stageName(other, "new", 0))
	s.CreateUser(t, role, "x")
	s.Exec(t, "postgres", "COMMENT ON ROLE "+ident(role)+" IS "+literal(roleMark(j)))
	held := s.DB(t, stageName(j, "new", 0)) // a session that was left, too
	for range 2 {
		if err := x.RecoverRestore(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	wantNoStage(t, s, j)
	if held.Ping(t.Context()) == nil {
		t.Error("a session is left")
	}
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_database WHERE datname = $1`, stageName(other, "new", 0)); n != 1 {
		t.Error("another restore's database was dropped")
	}
	if id := value[int](t, s, target, `SELECT id FROM mine`); id != 7 {
		t.Errorf("the target holds %d", id)
	}
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_roles WHERE rolname = $1`, role); n != 0 {
		t.Error("the role is left")
	}
}

func TestRestore_IsAfterAnotherRestoreIsTheSame(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 1 AS id`)
	o := take(t, x, uniqueJob(config(s, source)))
	want := content(t, s, source)
	s.Exec(t, source, `INSERT INTO a VALUES (2)`)
	j := uniqueRestore(o, config(s), "") // in place
	j.Overwrite = true
	for range 2 {
		executortest.Restore(t, x, j)
		if got := content(t, s, source); got != want {
			t.Errorf("content %s, want %s", got, want)
		}
	}
	if left := w.left(t); len(left) != 3 { // two objects and the manifest
		t.Errorf("stored: %q", left)
	}
}
