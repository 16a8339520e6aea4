package mysql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// fingerprints watches the only database of a server of its own.
func fingerprints(t *testing.T, kind mysqltest.Kind) (*world, executor.Job, func() string) {
	t.Helper()
	srv := mysqltest.Start(t, kind, "--log-bin=bin", "--server-id=1")
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, srv)
	run(t, srv.Root(), "CREATE DATABASE t_x")
	fill(t, srv, "t_x", 10)
	e, err := w.engine()
	if err != nil {
		t.Fatal(err)
	}
	j := w.job("t_x")
	return w, j, func() string {
		t.Helper()
		f, err := e.Fingerprint(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// settle waits until InnoDB has nothing to do any more in the background.
func settle(t *testing.T, now func() string) string {
	t.Helper()
	last, equal := "", 0
	eventually(t, "an idle server", func() bool {
		f := now()
		if equal++; f != last {
			last, equal = f, 0
		}
		return equal > 300
	})
	return last
}

func TestFingerprint_IdleIsEqualAndABackupDoesNotMoveIt(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, j, now := fingerprints(t, kind)
		before := settle(t, now)
		if before == "" {
			t.Fatal("no fingerprint")
		}
		x := w.executor(t)
		o := executortest.Take(t, x, j)
		if kind == mysqltest.MariaDB { // MySQL notes every 256th transaction number in its log, which those of a dump use up
			if after := now(); after != before {
				t.Errorf("a backup moved it")
			}
			if same, err := x.Unchanged(t.Context(), j, *o.Ref); err != nil || !same {
				t.Errorf("unchanged %v, %v", same, err)
			}
		}
		run(t, w.srv.Root(), "INSERT INTO t_x.t VALUES (1000, '')")
		if same, err := x.Unchanged(t.Context(), j, *o.Ref); err != nil || same {
			t.Errorf("after an insert: unchanged %v, %v", same, err)
		}
	})
}

func TestFingerprint_EveryChangeMovesIt(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, _, now := fingerprints(t, kind)
		statements := []string{
			"INSERT INTO t_x.t VALUES (2000, '')",
			"UPDATE t_x.t SET body = 'x' WHERE id = 2000",
			"DELETE FROM t_x.t WHERE id = 2000",
			"CREATE TABLE t_x.another (id INT)",
			"ALTER TABLE t_x.another ADD COLUMN b INT",
			"TRUNCATE TABLE t_x.t",
			"CREATE VIEW t_x.v AS SELECT 1",
			"CREATE OR REPLACE VIEW t_x.v AS SELECT 2",
			"CREATE TRIGGER t_x.tr BEFORE INSERT ON t_x.t FOR EACH ROW SET NEW.body = 'y'",
			"CREATE PROCEDURE t_x.p() SELECT 1",
			"CREATE EVENT t_x.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
			"ALTER DATABASE t_x CHARACTER SET latin2",
			"DROP VIEW t_x.v",
		}
		db, err := w.srv.Root().Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, logged := range []string{"1", "0"} {
			run(t, db, "SET SESSION sql_log_bin="+logged)
			before := now()
			for _, s := range statements {
				run(t, db, s)
				after := now()
				if after == before || after == "" {
					t.Errorf("log %s: %s: not seen", logged, s)
				}
				before = after
			}
			run(t, db, "DROP DATABASE t_x")
			run(t, db, "CREATE DATABASE t_x")
			fill(t, w.srv, "t_x", 10)
		}
	})
}

func TestFingerprint_RestartMovesIt(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, _, now := fingerprints(t, kind)
		before := settle(t, now)
		w.srv.Kill()
		// The clock by which a server knows its start has seconds.
		eventually(t, "another second", func() bool {
			if err := w.srv.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if now() != before {
				return true
			}
			w.srv.Kill()
			return false
		})
	})
}

func TestFingerprint_TablesThatNoLogTellsOfHaveNone(t *testing.T) {
	t.Parallel()
	w, j, now := fingerprints(t, mysqltest.MariaDB)
	run(t, w.srv.Root(), "CREATE TABLE t_x.old (id INT) ENGINE=MyISAM")
	if f := now(); f != "" {
		t.Errorf("fingerprint %s", f)
	}
	e, err := w.engine()
	if err != nil {
		t.Fatal(err)
	}
	j.Config.Method = "PHYSICAL"
	if f, err := e.Fingerprint(t.Context(), j); f != "" || err != nil {
		t.Errorf("fingerprint %s, %v", f, err)
	}
}

func TestInspect_NamesWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		name := database(t, w.srv)
		run(t, w.srv.Root(), "CREATE TABLE "+name+".old (id INT) ENGINE=MyISAM")
		e, err := w.engine()
		if err != nil {
			t.Fatal(err)
		}
		j := w.job(name)
		j.Proof = "RESTORED"
		good := wrong(e.Inspect(t.Context(), j))
		if len(good) != 1 || !strings.Contains(good["tables"], "1 tables have no transactions") {
			t.Errorf("found wrong: %v", good)
		}
		j.Config.User = account(t, w.srv, "SELECT ON *.*")
		if bad := wrong(e.Inspect(t.Context(), j)); !strings.Contains(bad["privileges"], "SHOW VIEW, TRIGGER, EVENT") {
			t.Errorf("found wrong: %v", bad)
		}
		j.Config.CredentialRef = "env:OTHER"
		if bad := wrong(e.Inspect(t.Context(), j)); !strings.Contains(bad["login"], "PERMISSION_DENIED") {
			t.Errorf("found wrong: %v", bad)
		}
	})
}

func wrong(all []engine.Finding) map[string]string {
	out := map[string]string{}
	for _, f := range all {
		if f.Err != nil {
			out[f.Subject] = f.Err.Error()
		}
	}
	return out
}
