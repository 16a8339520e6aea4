package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// taken is a world with a backup of a database of 500 rows.
func taken(t *testing.T, pragmas ...string) (world, *running, string, lifecycle.Outcome) {
	t.Helper()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 500, pragmas...)
	e := w.executor(t)
	return w, e, source, executortest.Take(t, e, jobOf(source))
}

func overwriting(o lifecycle.Outcome, target string) executor.RestoreJob {
	j := restoreJob(o, target)
	j.Overwrite = true
	return j
}

func TestRestore_NewFileIsPrivateAndIdentical(t *testing.T) {
	t.Parallel()
	w, e, source, o := taken(t)
	target := w.file("new.db")
	temp, err := tempBeside(target, testRestore)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(temp, []byte("of a killed restore"), 0o600); err != nil {
		t.Fatal(err)
	}
	executortest.Restore(t, e, restoreJob(o, target))
	wantSameFile(t, target, source)
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if temps, _ := filepath.Glob(filepath.Join(w.data, ".backupbus-*")); len(temps) != 0 {
		t.Errorf("left behind: %q", temps)
	}
}

func TestRestore_RefusedTargetsStayAsTheyWere(t *testing.T) {
	t.Parallel()
	w, e, _, o := taken(t)
	write := func(name, what string) string {
		t.Helper()
		if err := os.WriteFile(w.file(name), []byte(what), 0o600); err != nil {
			t.Fatal(err)
		}
		return w.file(name)
	}
	write("gone.db-wal", "committed transactions")
	write("empty.db-journal", "a transaction")
	if err := os.Symlink(w.file("nowhere"), w.file("link.db")); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name      string
		target    string
		overwrite bool
		want      events.Code
	}{
		{"text", write("text.txt", "hello"), false, events.AlreadyExists},
		{"text, overwrite", write("text2.txt", "hello"), true, events.AlreadyExists},
		{"wal of a database that is gone", w.file("gone.db"), false, events.AlreadyExists},
		{"the same, overwrite", w.file("gone.db"), true, events.AlreadyExists},
		{"empty file with a journal", write("empty.db", ""), false, events.AlreadyExists},
		{"a folder", w.data, true, events.ProviderRejected},
		{"no such folder", w.file("no/new.db"), false, events.NotFound},
		{"dangling link", w.file("link.db"), true, events.NotFound},
		{"relative", "new.db", false, events.ProviderRejected},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before, _ := os.ReadFile(c.target)
			j := restoreJob(o, c.target)
			j.Overwrite = c.overwrite
			_, err := e.Restore(t.Context(), j)
			executortest.WantCode(t, err, c.want)
			if after, _ := os.ReadFile(c.target); string(after) != string(before) {
				t.Errorf("the target became %q", after)
			}
		})
	}
	for name, want := range map[string]string{"gone.db-wal": "committed transactions", "empty.db-journal": "a transaction"} {
		if got, _ := os.ReadFile(w.file(name)); string(got) != want {
			t.Errorf("%s became %q", name, got)
		}
	}
}

func TestRestore_EmptyFileIsFilled(t *testing.T) {
	t.Parallel()
	w, e, source, o := taken(t)
	target := w.file("new.db")
	if err := os.WriteFile(target, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	executortest.Restore(t, e, restoreJob(o, target))
	if content(t, target) != content(t, source) {
		t.Error("content differs")
	}
}

// An application that keeps its connection open, with transactions in the -wal that no checkpoint has
// moved, sees the restored content next, and nothing of the -wal comes back.
func TestRestore_OverwriteUnderAnOpenWALConnection(t *testing.T) {
	t.Parallel()
	w, e, source, o := taken(t, "journal_mode(wal)")
	target := w.file("live.db")
	app := connect(t, target, "journal_mode(wal)", "wal_autocheckpoint(0)")
	run(t, app, "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
	run(t, app, "CREATE TABLE only_here (a)")
	run(t, app, "INSERT INTO t SELECT 7, randomblob(100000)")
	executortest.Restore(t, e, overwriting(o, target))
	var rows, tables int
	if err := app.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM sqlite_schema WHERE name = 'only_here')").Scan(&rows, &tables); err != nil {
		t.Fatal(err)
	}
	if rows != 500 || tables != 0 {
		t.Errorf("the open connection sees %d rows, table of the old content: %d", rows, tables)
	}
	run(t, app, "INSERT INTO t VALUES (1000, 'after')")
	run(t, app, "DELETE FROM t WHERE id = 1000")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	if content(t, target) != content(t, source) {
		t.Error("content differs")
	}
}

func TestRestore_OverwriteWithAnotherPageSize(t *testing.T) {
	t.Parallel()
	w, e, source, o := taken(t, "page_size(1024)")
	rollback, wal := w.file("rollback.db"), w.file("wal.db")
	fillDB(t, rollback, 900, "page_size(8192)")
	fillDB(t, wal, 10, "page_size(8192)", "journal_mode(wal)")
	executortest.Restore(t, e, overwriting(o, rollback))
	wantSameFileBut(t, rollback, source)
	before := content(t, wal)
	_, err := e.Restore(t.Context(), overwriting(o, wal))
	executortest.WantCode(t, err, events.ProviderRejected)
	if content(t, wal) != before {
		t.Error("the refused target changed")
	}
}

// wantSameFileBut compares content and size: SQLite counts its change in the header.
func wantSameFileBut(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.Stat(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(want)
	if err != nil {
		t.Fatal(err)
	}
	if a.Size() != b.Size() || content(t, got) != content(t, want) {
		t.Errorf("%d bytes and %d, or other content", a.Size(), b.Size())
	}
}

func TestRestore_LockedTargetIsRefusedAndStays(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			w, _, _, o := taken(t)
			c := w.settings()
			c.BusyTimeout = 20 * time.Millisecond
			e := opened(t, c)
			target := w.file("live.db")
			fillDB(t, target, 20)
			before := content(t, target)
			app := connect(t, target)
			run(t, app, lock)
			_, err := e.Restore(t.Context(), overwriting(o, target))
			executortest.WantCode(t, err, events.ProviderUnavailable)
			run(t, app, "ROLLBACK")
			if content(t, target) != before {
				t.Error("the refused target changed")
			}
		})
	}
}

func TestRestore_CancelledOverwriteRollsBack(t *testing.T) {
	t.Parallel()
	w, e, _, o := taken(t)
	target := w.file("live.db")
	fillDB(t, target, 20)
	before := content(t, target)
	c, m := copyOf(t, e, o)
	temp := w.file("temp.db")
	f, err := os.Create(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := c.Extract(t.Context(), m.Objects[0], f); err != nil {
		t.Fatal(err)
	}
	ctx := &endsAfter{Context: t.Context(), looks: 3}
	if err := e.engine.replace(ctx, temp, target, true, 20); err == nil {
		t.Fatal("the cancelled restore ended well")
	}
	if content(t, target) != before {
		t.Error("the target changed")
	}
}

// endsAfter is a context that has ended when it is asked again.
type endsAfter struct {
	context.Context
	looks int
}

func (c *endsAfter) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestRestore_DamagedTargetDatabaseIsReplaced(t *testing.T) {
	t.Parallel()
	w, e, source, o := taken(t)
	target := damagedPages(t, w)
	executortest.Restore(t, e, overwriting(o, target))
	wantSameFileBut(t, target, source)
}
