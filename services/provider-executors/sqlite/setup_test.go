package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

const (
	testBackup  = "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	testRestore = "rs_aaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// world is a storage, a scratch folder and a folder for databases.
type world struct {
	store, scratch, data string
	log                  *slog.Logger
}

func newWorld(t testing.TB) world {
	t.Helper()
	dir := t.TempDir()
	w := world{filepath.Join(dir, "store"), filepath.Join(dir, "scratch"), filepath.Join(dir, "data"), executortest.Guard(t, dir)}
	if err := os.Mkdir(w.data, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// settings are what an executor over a world is opened with.
type settings struct {
	Storages     map[string]string
	Identities   string
	Scratch      string
	MinSizeRatio float64
	Hooks        engine.Hooks
	Config

	log *slog.Logger // of another process: none
}

func (w world) settings() settings {
	return settings{
		Storages: map[string]string{"main": (&url.URL{Scheme: "file", Path: w.store}).String()},
		Scratch:  w.scratch, Config: Config{BusyTimeout: 10 * time.Second}, log: w.log,
	}
}

// running is the executor around an engine, and what tests look at beside it.
type running struct {
	*engine.Executor
	engine   *Engine
	store    *archive.Storages
	reported func(context.Context, executor.Job, executor.Progress)
}

func start(ctx context.Context, s settings) (*running, error) {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	e, err := New(Deps{Now: time.Now}, s.Config)
	if err != nil {
		return nil, err
	}
	scratch, err := engine.OpenScratch(s.Scratch)
	if err != nil {
		return nil, err
	}
	r := &running{engine: e}
	if r.store, err = archive.Open(ctx, archive.Options{URLs: s.Storages, Identities: s.Identities}); err != nil {
		return nil, err
	}
	r.Executor, err = engine.New(Provider, e, engine.Deps{
		Now: time.Now, Storages: r.store, Scratch: scratch, Log: s.log, MinSizeRatio: s.MinSizeRatio, Hooks: s.Hooks,
		Reported: func(ctx context.Context, j executor.Job, p executor.Progress) {
			if r.reported != nil {
				r.reported(ctx, j, p)
			}
		},
	})
	return r, err
}

// Close closes the executor and what it stands on.
func (r *running) Close() error { return errors.Join(r.Executor.Close(), r.store.Close()) }

func (w world) executor(t testing.TB) *running {
	t.Helper()
	return opened(t, w.settings())
}

func opened(t testing.TB, s settings) *running {
	t.Helper()
	r, err := start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (w world) file(name string) string { return filepath.Join(w.data, name) }

func jobOf(file string) executor.Job {
	return executor.Job{
		BackupID: testBackup, Attempt: 1, Project: "shop", Instance: "orders.db",
		Config: events.InstanceConfig{Engine: "sqlite", File: file},
	}
}

// left lists the files of storage, scratch and temporary files of restores.
func (w world) left(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{w.store, w.scratch} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if rel, _ := filepath.Rel(filepath.Dir(dir), path); !d.IsDir() || strings.Contains(rel, "attempt-") || strings.Contains(rel, "scratch/") {
				all = append(all, rel)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	temps, err := filepath.Glob(filepath.Join(w.data, ".backupbus-*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(all, temps...)
}

func (w world) wantNothingLeft(t testing.TB) {
	t.Helper()
	if left := w.left(t); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func (w world) wantNoScratch(t testing.TB) {
	t.Helper()
	if left, _ := os.ReadDir(w.scratch); len(left) != 0 {
		t.Errorf("left in the scratch folder: %v", left)
	}
}

// connect opens a database as its application would.
func connect(t testing.TB, file string, pragmas ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", uri(file, 20*time.Second, url.Values{"mode": {"rwc"}}, pragmas...))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// fillDB makes a database with rows of a kilobyte and an index, and closes it.
func fillDB(t testing.TB, file string, rows int, pragmas ...string) {
	t.Helper()
	db := connect(t, file, pragmas...)
	run(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
	run(t, db, "CREATE INDEX i ON t (length(body), id)")
	run(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO t SELECT i, randomblob(1000) FROM n`, rows)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// content is a digest of the rows of table t, empty if there is no database.
func content(t testing.TB, file string) string {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		return ""
	}
	db := connect(t, file)
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), "SELECT id, body FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	h := sha256.New()
	for rows.Next() {
		var id int64
		var body sql.RawBytes
		if err := rows.Scan(&id, &body); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%d %x\n", id, []byte(body))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// required skips, or fails where everything has to be tested.
func required(t testing.TB, missing string) {
	t.Helper()
	if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}
