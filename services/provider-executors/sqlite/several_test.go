package sqlite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// two is a job over two databases of different content.
func two(t *testing.T, w world) (executor.Job, string, string) {
	t.Helper()
	a, b := w.file("orders.db"), w.file("stock.db")
	fillDB(t, a, 300)
	fillDB(t, b, 20, "journal_mode(wal)")
	j := jobOf(a)
	j.Config.Files = []string{b}
	return j, a, b
}

func TestSeveral_OneCopyHoldsAllAndGoesBackByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, a, b := two(t, w)
	j.Proof = events.ProofRestored
	e := w.executor(t)
	o := executortest.Take(t, e, j)
	_, m := copyOf(t, e, o)
	if len(m.Objects) != 2 || m.Objects[0].Database != "orders.db" || m.Objects[1].Database != "stock.db" || m.Objects[1].Tables["t"] != 20 {
		t.Fatalf("manifest %+v", m.Objects)
	}
	dir := w.file("back")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	back := restoreJob(o, dir+"/stock.db") // in another order
	back.Target.Files = []string{dir + "/orders.db"}
	executortest.Restore(t, e, back)
	if content(t, dir+"/orders.db") != content(t, a) || content(t, dir+"/stock.db") != content(t, b) {
		t.Error("content differs")
	}
}

func TestSeveral_OneFilledTargetStopsAllBeforeTheFirstIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, _, _ := two(t, w)
	e := w.executor(t)
	o := executortest.Take(t, e, j)
	dir := w.file("back")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fillDB(t, dir+"/stock.db", 1)
	back := restoreJob(o, dir+"/orders.db")
	back.Target.Files = []string{dir + "/stock.db"}
	_, err := e.Restore(t.Context(), back)
	executortest.WantCode(t, err, events.AlreadyExists)
	if _, err := os.Stat(dir + "/orders.db"); err == nil {
		t.Error("the first target was written")
	}
}

func TestSeveral_OneDatabaseAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, _, b := two(t, w)
	j.Database = "stock.db"
	e := w.executor(t)
	o := executortest.Take(t, e, j)
	if _, m := copyOf(t, e, o); len(m.Objects) != 1 || m.Objects[0].Database != "stock.db" || m.Database != "stock.db" {
		t.Errorf("manifest %+v", m)
	}
	executortest.Restore(t, e, restoreJob(o, w.file("new.db")))
	wantSameFileBut(t, w.file("new.db"), b)

	j.Database, j.Attempt = "absent.db", 2
	ref, err := e.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.NotFound)
}

// TestSeveral_CopyOfOneGoesToItsOwnFile: never to the first of the target's.
func TestSeveral_CopyOfOneGoesToItsOwnFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, a, b := two(t, w)
	orders, stock := content(t, a), content(t, b)
	j.Database = "stock.db"
	e := w.executor(t)
	o := executortest.Take(t, e, j)
	app := connect(t, b)
	run(t, app, "DELETE FROM t")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	back := overwriting(o, a)
	back.Target.Files = []string{b}
	executortest.Restore(t, e, back)
	if content(t, a) != orders || content(t, b) != stock {
		t.Error("the copy went elsewhere")
	}
}

// TestSeveral_FailureOfTheSecondTakesTheFirstBack: a target that held nothing holds nothing.
func TestSeveral_FailureOfTheSecondTakesTheFirstBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, _, _ := two(t, w)
	s := w.settings()
	s.BusyTimeout = 20 * time.Millisecond
	e := opened(t, s)
	o := executortest.Take(t, e, j)
	dir := w.file("back")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fillDB(t, dir+"/stock.db", 1)
	locked := connect(t, dir+"/stock.db")
	run(t, locked, "BEGIN EXCLUSIVE")
	back := overwriting(o, dir+"/orders.db")
	back.Target.Files = []string{dir + "/stock.db"}
	_, err := e.Restore(t.Context(), back)
	executortest.WantCode(t, err, events.ProviderUnavailable)
	if left, _ := filepath.Glob(dir + "/*orders.db*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestHook_WhatItWritesIsInTheCopy: the snapshot begins after the pre hook.
func TestHook_WhatItWritesIsInTheCopy(t *testing.T) {
	t.Parallel()
	sqlite3, err := exec.LookPath("sqlite3")
	if err != nil {
		required(t, "the program sqlite3 is not on PATH")
	}
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 10)
	s := w.settings()
	s.Hooks = engine.Hooks{"flush": {Exec: []string{sqlite3, source, "INSERT INTO t VALUES (99, 'by the hook')"}}}
	e := opened(t, s)
	j := jobOf(source)
	j.Config.Hooks = &events.InstanceHooks{Pre: "flush"}
	o := executortest.Take(t, e, j)
	executortest.Restore(t, e, restoreJob(o, w.file("new.db")))
	db := connect(t, w.file("new.db"))
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM t WHERE id = 99").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows of the hook, %v", n, err)
	}
	w.wantNoScratch(t)
}

func TestSeveral_TwoFilesOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, a, _ := two(t, w)
	j.Config.Files = []string{a + "/../other/orders.db", "/elsewhere/orders.db"}
	e := w.executor(t)
	ref, err := e.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.ProviderRejected)
}

func TestSeveral_RestoreOfNamesThatTheTargetHasNotIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, _, _ := two(t, w)
	e := w.executor(t)
	o := executortest.Take(t, e, j)
	_, err := e.Restore(t.Context(), restoreJob(o, w.file("other.db")))
	executortest.WantCode(t, err, events.ProviderRejected)
}

// TestUnchanged: what a fingerprint must never miss, a commit that lies in the WAL first of all.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 50, "journal_mode(wal)")
	app := connect(t, source, "wal_autocheckpoint(0)")
	e := w.executor(t)
	n := 0
	look := func(what string, want bool) {
		t.Helper()
		n++
		j := jobOf(source)
		j.Attempt = n
		o := executortest.Take(t, e, j)
		switch what {
		case "":
		case "checkpoint":
			run(t, app, "PRAGMA wal_checkpoint(TRUNCATE)")
		case "reopened":
			again := connect(t, source)
			run(t, again, "SELECT count(*) FROM t")
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		default:
			run(t, app, what)
		}
		if same, err := e.Unchanged(context.Background(), j, *o.Ref); err != nil || same != want {
			t.Errorf("after %q: unchanged %v, %v", what, same, err)
		}
	}
	look("", true)
	look("reopened", true)
	look("SELECT count(*) FROM t", true)
	look("BEGIN; INSERT INTO t VALUES (1000, 'x'); ROLLBACK", true)
	look("INSERT INTO t VALUES (1001, 'in the WAL')", false)
	look("checkpoint", true)
	look("UPDATE t SET body = 'other' WHERE id = 1", false)
	look("CREATE TABLE u (a)", false)
	look("PRAGMA user_version = 7", false)
}
