package sqlite

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestBackup_BadSources(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		make func(t *testing.T, w world) string
		want events.Code
	}{
		{"missing", func(_ *testing.T, w world) string { return w.file("absent.db") }, events.NotFound},
		{"missing folder", func(_ *testing.T, w world) string { return w.file("no/absent.db") }, events.NotFound},
		{"below a file", func(t *testing.T, w world) string { return filepath.Join(text(t, w), "x.db") }, events.NotFound},
		{"no file named", func(*testing.T, world) string { return "" }, events.ProviderRejected},
		{"relative", func(*testing.T, world) string { return "source.db" }, events.ProviderRejected},
		{"not clean", func(_ *testing.T, w world) string { return w.data + "/../data/source.db" }, events.ProviderRejected},
		{"a folder", func(_ *testing.T, w world) string { return w.data }, events.ProviderRejected},
		{"a socket", socket, events.ProviderRejected},
		{"a dangling link", danglingLink, events.NotFound},
		{"text", text, events.Corrupt},
		{"damaged header", func(t *testing.T, w world) string { return damage(t, w, 4096, 16, 0xff, 0xff) }, events.Corrupt},
		{"cut short", cutShort, events.Corrupt},
		{"damaged page", damagedPages, events.Corrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			j := jobOf(c.make(t, w))
			e := w.executor(t)
			ref, err := e.Start(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			err = executortest.Finish(t, e, ref).Err
			executortest.WantCode(t, err, c.want)
			var f *events.Failure
			if errors.As(err, &f); f.Retryable || f.Category != events.ByUser || strings.Contains(f.Message, w.scratch) {
				t.Errorf("failure %+v", f)
			}
			w.wantNothingLeft(t)
			if _, err := os.Lstat(w.file("absent.db")); err == nil {
				t.Error("the missing database was created")
			}
		})
	}
}

func TestBackup_RootsAreTheOnlyFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside, outside := w.file("in"), w.file("out")
	for _, d := range []string{inside, outside} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	good, bad, link := filepath.Join(inside, "a.db"), filepath.Join(outside, "b.db"), filepath.Join(inside, "link.db")
	fillDB(t, good, 10)
	fillDB(t, bad, 10)
	if err := os.Symlink(bad, link); err != nil {
		t.Fatal(err)
	}
	c := w.settings()
	c.Roots = []string{inside}
	e := opened(t, c)
	o := executortest.Take(t, e, jobOf(good))
	for i, file := range []string{bad, link} {
		j := jobOf(file)
		j.Attempt = i + 2
		ref, err := e.Start(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.ProviderRejected)
	}
	if err := os.Symlink(outside, filepath.Join(inside, "dir")); err != nil {
		t.Fatal(err)
	}
	_, err := e.Restore(t.Context(), restoreJob(o, filepath.Join(inside, "dir", "new.db")))
	executortest.WantCode(t, err, events.ProviderRejected)
}

func TestBackup_LockedDatabaseIsRetryable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 10)
	holder := connect(t, source)
	run(t, holder, "BEGIN EXCLUSIVE")
	c := w.settings()
	c.BusyTimeout = 10 * time.Millisecond
	e := opened(t, c)
	if f := unavailable(t, e, source); !f.Retryable {
		t.Errorf("failure %+v", f)
	}
}

// unavailable takes a backup that ends so.
func unavailable(t *testing.T, e *running, source string) *events.Failure {
	t.Helper()
	ref, err := e.Start(t.Context(), jobOf(source))
	if err != nil {
		t.Fatal(err)
	}
	err = executortest.Finish(t, e, ref).Err
	executortest.WantCode(t, err, events.ProviderUnavailable)
	var f *events.Failure
	errors.As(err, &f)
	return f
}

func TestBackup_ApplicationCollationNeedsProofStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	db := connect(t, source)
	run(t, db, "CREATE TABLE t (a TEXT)")
	run(t, db, "PRAGMA writable_schema = 1")
	run(t, db, "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a TEXT COLLATE german)' WHERE name = 't'")
	run(t, db, "PRAGMA writable_schema = RESET")
	run(t, db, "PRAGMA user_version = 1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	addIndexWithUnknownCollation(t, source)
	e := w.executor(t)
	ref, err := e.Start(t.Context(), jobOf(source))
	if err != nil {
		t.Fatal(err)
	}
	executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.ProviderRejected)
	j := jobOf(source)
	j.Attempt, j.Proof = 2, events.ProofStored
	executortest.Take(t, e, j)
}

// addIndexWithUnknownCollation writes the schema row of an index that no CREATE INDEX here could make.
func addIndexWithUnknownCollation(t *testing.T, file string) {
	t.Helper()
	db := connect(t, file)
	run(t, db, "CREATE TABLE u (a TEXT)")
	run(t, db, "CREATE INDEX ui ON u (a)")
	run(t, db, "PRAGMA writable_schema = 1")
	run(t, db, "UPDATE sqlite_schema SET sql = 'CREATE INDEX ui ON u (a COLLATE german)' WHERE name = 'ui'")
	run(t, db, "INSERT INTO u VALUES ('x'), ('y')")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNew_BadConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	notFolder := text(t, w)
	cases := map[string]func(*settings){
		"no storage":           func(c *settings) { c.Storages = nil },
		"unknown scheme":       func(c *settings) { c.Storages["main"] = "s3://bucket" },
		"relative URL":         func(c *settings) { c.Storages["main"] = "file://backups" },
		"bad name":             func(c *settings) { c.Storages["a:b"] = c.Storages["main"] },
		"storage is a file":    func(c *settings) { c.Storages["main"] = "file://" + notFolder },
		"scratch is a file":    func(c *settings) { c.Scratch = notFolder },
		"root does not exist":  func(c *settings) { c.Roots = []string{w.file("absent")} },
		"root is not absolute": func(c *settings) { c.Roots = []string{"."} },
		"ratio over one":       func(c *settings) { c.MinSizeRatio = 2 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.settings()
			change(&c)
			e, err := start(t.Context(), c)
			if err == nil {
				_ = e.Close()
			}
			var f *events.Failure
			if !errors.As(err, &f) || f.Message == "" || strings.Contains(f.Message, w.data) {
				t.Errorf("want a failure without a path, got %v", err)
			}
		})
	}
}

func text(t *testing.T, w world) string {
	t.Helper()
	file := w.file("text.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func socket(t *testing.T, w world) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return filepath.Join(dir, "s")
}

func danglingLink(t *testing.T, w world) string {
	t.Helper()
	if err := os.Symlink(w.file("absent.db"), w.file("link.db")); err != nil {
		t.Fatal(err)
	}
	return w.file("link.db")
}

// damage overwrites bytes at an offset of a sound database.
func damage(t *testing.T, w world, rows int, offset int64, with ...byte) string {
	t.Helper()
	file := w.file("damaged.db")
	fillDB(t, file, rows)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, offset); err != nil {
		t.Fatal(err)
	}
	return file
}

// damagedPages spoils the cell pointers of pages in the middle, which the copy reads without looking.
func damagedPages(t *testing.T, w world) string {
	t.Helper()
	var junk [64]byte
	for i := range len(junk) / 2 {
		binary.BigEndian.PutUint16(junk[2*i:], 0xfff0)
	}
	return damage(t, w, 2000, 200*4096, junk[:]...)
}

func cutShort(t *testing.T, w world) string {
	t.Helper()
	file := w.file("short.db")
	fillDB(t, file, 100)
	if err := os.Truncate(file, 8192); err != nil {
		t.Fatal(err)
	}
	return file
}
