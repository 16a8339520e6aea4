package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

const (
	isGone    = "old content of the target is gone"
	mayBeGone = "old content of the target may be gone"
)

func messageOf(t testing.TB, err error) string {
	t.Helper()
	var f *events.Failure
	if !errors.As(err, &f) {
		t.Fatalf("no failure in %v", err)
	}
	return f.Message
}

// odd makes a routine whose text ends early for whoever does not follow the SQL mode.
func odd(t testing.TB, w *world, name string) {
	t.Helper()
	db, err := w.srv.Open("root", mysqltest.RootPassword, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run(t, db, "SET sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES'; CREATE PROCEDURE p() BEGIN SELECT 'C:\\'; SELECT \"id\\\" FROM (SELECT 1 AS \"id\\\") x; END")
	run(t, db, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 'D:\\'")
}

func TestRestore_OddSQLModeHidesNoDatabaseFromTheGuard(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		one, two := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, one, 3)
		odd(t, w, one)
		fill(t, w.srv, two, 3)
		x, j := w.executor(t), w.job(one, two)
		j.Proof = events.ProofRestored
		o := executortest.Take(t, x, j)
		want := fmt.Sprint(shape(t, w, one), shape(t, w, two))
		run(t, w.srv.Root(), "DROP DATABASE "+one)
		run(t, w.srv.Root(), "DELETE FROM "+two+".t WHERE id > 1")
		left := content(t, w.srv, two)
		executortest.WantCode(t, w.tryRestore(t, x, o, w.config(), nil), events.AlreadyExists)
		if content(t, w.srv, two) != left {
			t.Error("the full database was touched")
		}
		w.restore(t, x, o, w.config(), func(j *executor.RestoreJob) { j.Overwrite = true })
		if diff := cmp.Diff(want, fmt.Sprint(shape(t, w, one), shape(t, w, two))); diff != "" {
			t.Errorf("restored (-want +got):\n%.3000s", diff)
		}
	})
}

func TestRestore_SeveralDatabasesKeepTheirCharacterSets(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		absent, empty, full := database(t, w.srv), database(t, w.srv), database(t, w.srv)
		all := []string{absent, empty, full}
		for _, name := range all {
			run(t, w.srv.Root(), "ALTER DATABASE "+name+" CHARACTER SET latin2 COLLATE latin2_czech_cs")
			fill(t, w.srv, name, 1)
		}
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(all...))
		want := fmt.Sprint(shape(t, w, absent), shape(t, w, empty), shape(t, w, full))
		run(t, w.srv.Root(), "DROP DATABASE "+absent)
		run(t, w.srv.Root(), "DROP TABLE "+empty+".t")
		run(t, w.srv.Root(), "ALTER DATABASE "+empty+" CHARACTER SET utf8mb4")
		w.restore(t, x, o, w.config(), func(j *executor.RestoreJob) { j.Overwrite = true })
		if diff := cmp.Diff(want, fmt.Sprint(shape(t, w, absent), shape(t, w, empty), shape(t, w, full))); diff != "" {
			t.Errorf("restored (-want +got):\n%s", diff)
		}
	})
}

func TestRestore_ThatFailsAfterTheDropSaysThatTheOldContentIsGone(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		one, two, other := database(t, w.srv), database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, one, 1)
		fill(t, w.srv, other, 1)
		run(t, w.srv.Root(), "CREATE VIEW "+two+".v AS SELECT id FROM "+other+".t")
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(one, two))
		run(t, w.srv.Root(), "DROP DATABASE "+other)
		err := w.tryRestore(t, x, o, w.config(), func(j *executor.RestoreJob) { j.Overwrite = true })
		executortest.WantCode(t, err, events.ProviderRejected)
		if m := messageOf(t, err); !strings.Contains(m, isGone) {
			t.Errorf("message %q", m)
		}
	})
}

func TestRestore_ThatMayNotDropDoesNotSayThatTheOldContentIsGone(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, 1)
		fill(t, w.srv, target, 2)
		before := content(t, w.srv, target)
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(source))
		c := w.config(target)
		c.User = account(t, w.srv, "SELECT ON *.*", `ALL ON `+"`\\_backupbus\\_restore\\_%`.*", privileges(kind)[len(privileges(kind))-1])
		err := w.tryRestore(t, x, o, c, func(j *executor.RestoreJob) { j.Overwrite = true })
		executortest.WantCode(t, err, events.PermissionDenied)
		if m := messageOf(t, err); strings.Contains(m, "gone") || content(t, w.srv, target) != before {
			t.Errorf("message %q", m)
		}
	})
}

func TestRestore_CancelledInTheDropSaysThatTheOldContentMayBeGone(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, 1)
		fill(t, w.srv, target, 2)
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(source))
		holder, err := w.srv.Root().Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		run(t, holder, "LOCK TABLES "+target+".t WRITE")
		defer run(t, holder, "UNLOCK TABLES")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := x.Restore(ctx, executor.RestoreJob{RestoreID: testRestore + fmt.Sprint(databases.Add(1)), BackupID: testBackup, Source: *o.Ref, Checksum: o.Checksum, Target: w.config(target), Overwrite: true})
			done <- err
		}()
		eventually(t, "the DROP to wait", func() bool {
			return slices.ContainsFunc(sessions(t, w.srv, backuper), func(s []string) bool {
				return strings.HasSuffix(s[2], "metadata lock") && s[3] == "DROP DATABASE "+quote(target)
			})
		})
		cancel()
		err = <-done
		executortest.WantCode(t, err, events.CodeCancelled)
		if m := messageOf(t, err); !strings.Contains(m, mayBeGone) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v: message %q", err, m)
		}
	})
}

// replace puts a program that does something of its own in the place of another, which it knows as $tool.
func (w *world) replace(t testing.TB, of, does string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), of)
	text := "#!/bin/sh\ntool=" + w.srv.Kind.Path(of) + "\n[ \"$1\" = --version ] && exec $tool --version\n" + does + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	w.programs[of] = path
}

func TestRestore_ToolThatEndsEarlyGivesItsReason(t *testing.T) {
	t.Parallel()
	kind := mysqltest.MariaDB
	w := newWorld(t, sharedServer(t, kind))
	source, target := database(t, w.srv), database(t, w.srv)
	fill(t, w.srv, source, manyRows)
	o := executortest.Take(t, w.executor(t), w.job(source))
	w.replace(t, kind.Client(), "exec <&-; sleep 0.2; echo \"ERROR 1449 (HY000) at line 1: no definer\" >&2; exit 1")
	err := w.tryRestore(t, w.executor(t), o, w.config(target), nil)
	executortest.WantCode(t, err, events.ProviderRejected)
	if m := messageOf(t, err); !strings.Contains(m, "definer") {
		t.Errorf("message %q", m)
	}
}

func TestRestore_ThatFailsKeepsWhatOthersMadeInTheTarget(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, 1)
		o := executortest.Take(t, w.executor(t), w.job(source))
		w.replace(t, kind.Client(), "$tool --no-defaults -S "+w.srv.Socket+" -uroot -p"+mysqltest.RootPassword+
			" -e 'CREATE TABLE "+target+".theirs (id INT)'; cat >/dev/null; echo 'ERROR 1449 (HY000) at line 1: no definer' >&2; exit 1")
		err := w.tryRestore(t, w.executor(t), o, w.config(target), nil)
		executortest.WantCode(t, err, events.ProviderRejected)
		if m := messageOf(t, err); !strings.Contains(m, "others made tables") {
			t.Errorf("message %q", m)
		}
		if got := query(t, w.srv.Root(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", target); len(got) != 1 || got[0][0] != "theirs" {
			t.Errorf("in the target: %q", got)
		}
	})
}

func TestRestore_ServerThatFoldsNamesKnowsTheTarget(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MariaDB, "--lower-case-table-names=1")
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, srv)
	source, other := database(t, srv), database(t, srv)
	fill(t, srv, source, 2)
	fill(t, srv, other, 1)
	x := w.executor(t)
	o := executortest.Take(t, x, w.job(source))
	target := w.config("T_Upper")
	run(t, srv.Root(), "CREATE DATABASE t_upper CHARACTER SET latin2")
	fill(t, srv, "t_upper", 1)
	executortest.WantCode(t, w.tryRestore(t, x, o, target, nil), events.AlreadyExists)
	w.restore(t, x, o, target, func(j *executor.RestoreJob) { j.Overwrite = true })
	if content(t, srv, "t_upper") != content(t, srv, source) {
		t.Error("content differs")
	}

	// One that fails is gone again.
	run(t, srv.Root(), "CREATE VIEW "+source+".v AS SELECT id FROM "+other+".t")
	j := w.job(source)
	j.Attempt = 2
	o = executortest.Take(t, x, j)
	run(t, srv.Root(), "DROP DATABASE "+other)
	executortest.WantCode(t, w.tryRestore(t, x, o, w.config("T_New"), nil), events.ProviderRejected)
	if s := shape(t, w, "t_new"); len(s) != 0 {
		t.Errorf("left behind: %q", s)
	}
}

func TestRestore_WhoseServerDiesSaysWhatMayBeLeft(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		srv := mysqltest.Start(t, kind)
		if err := createBackuper(t.Context(), srv); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, srv)
		source, absent, full := database(t, srv), database(t, srv), database(t, srv)
		run(t, srv.Root(), "DROP DATABASE "+absent)
		fill(t, srv, source, 1)
		fill(t, srv, full, 2)
		before := content(t, srv, full)
		o := executortest.Take(t, w.executor(t), w.job(source))
		for _, c := range []struct{ target, want string }{
			{absent, "a part of the copy may be left in the target"},
			{full, "the copy was tried in a database whose name begins with _backupbus_restore_, which may be left"},
		} {
			w.replace(t, kind.Client(), fmt.Sprintf("kill -9 %d; cat >/dev/null; exit 1", srv.PID))
			err := w.tryRestore(t, w.executor(t), o, w.config(c.target), func(j *executor.RestoreJob) { j.Overwrite = true })
			if m := messageOf(t, err); !strings.HasPrefix(m, c.want) {
				t.Errorf("message %q", m)
			}
			srv.Kill()
			if err := srv.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if content(t, srv, full) != before {
			t.Error("the target is not what it was")
		}
	})
}
