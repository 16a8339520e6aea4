package mysql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/credential"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const (
	testBackup  = "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	testRestore = "rs_aaaaaaaaaaaaaaaaaaaaaaaaaa"

	// canary is the password of the backup account: nobody may see it anywhere.
	canary   = `ca"n#a'r\y pw-` + executortest.Canary
	backuper = "backuper"
)

// privileges are those of the package's documentation, to back up and to restore.
func privileges(kind mysqltest.Kind) []string {
	all := []string{backupGrants, "ALL PRIVILEGES ON `" + restoreDBs + "`.*", "ALL PRIVILEGES ON `\\_backupbus\\_restore\\_%`.*"}
	if kind == mysqltest.MySQL {
		return append(all, "RELOAD, REPLICATION CLIENT ON *.*", "SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, SYSTEM_USER ON *.*")
	}
	return append(all, "SUPER, SET USER ON *.*")
}

const restoreDBs = `t\_%`

// onEach runs a test against a server of each kind.
func onEach(t *testing.T, test func(t *testing.T, kind mysqltest.Kind)) {
	t.Helper()
	t.Parallel()
	for _, kind := range mysqltest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// shared are the servers that most tests use, a database each.
var shared = map[mysqltest.Kind]*sharing{mysqltest.MariaDB: {kind: mysqltest.MariaDB}, mysqltest.MySQL: {kind: mysqltest.MySQL}}

type sharing struct {
	kind mysqltest.Kind
	once sync.Once
	srv  *mysqltest.Server
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	if doc := os.Getenv(childEnv); doc != "" {
		stallForEver(doc)
	}
	code := m.Run()
	for _, s := range shared {
		s.stop()
	}
	strict.stop()
	os.Exit(code)
}

func sharedServer(t testing.TB, kind mysqltest.Kind) *mysqltest.Server {
	t.Helper()
	return shared[kind].server(t)
}

func (s *sharing) server(t testing.TB, options ...string) *mysqltest.Server {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = mysqltest.Dir(); s.err != nil {
			return
		}
		ctx := context.Background()
		if s.srv, s.err = mysqltest.Run(ctx, s.kind, s.dir, append(options, "--log-bin=bin", "--server-id=1")...); s.err == nil {
			s.err = createBackuper(ctx, s.srv)
		}
	})
	if s.err != nil {
		s.kind.Missing(t, s.err)
	}
	return s.srv
}

func (s *sharing) stop() {
	if s.srv != nil {
		s.srv.Stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func createBackuper(ctx context.Context, s *mysqltest.Server) error {
	_, err := s.Root().ExecContext(ctx, "CREATE USER ?@'%' IDENTIFIED BY ?", backuper, canary)
	for _, p := range privileges(s.Kind) {
		if err == nil {
			_, err = s.Root().ExecContext(ctx, "GRANT "+p+" TO "+backuper+"@'%'")
		}
	}
	return err
}

// world is a server, a storage and a scratch folder.
type world struct {
	srv            *mysqltest.Server
	store, scratch string
	programs       tool.Programs
	identities     string // file of the age keys
	log            *slog.Logger
}

func newWorld(t testing.TB, srv *mysqltest.Server) *world {
	t.Helper()
	dir, err := mysqltest.Dir() // a scratch server is made here, and has its socket here
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &world{srv: srv, store: filepath.Join(dir, "store"), scratch: filepath.Join(dir, "scratch"), programs: srv.Kind.Programs(),
		log: executortest.Guard(t, dir)}
}

func (w *world) executor(t testing.TB) *engine.Executor {
	t.Helper()
	x, done, err := w.open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return x
}

func (w *world) engine() (*mysql.Engine, error) {
	getenv := func(name string) (string, bool) {
		switch name {
		case "PW":
			return canary, true
		case "ROOT":
			return mysqltest.RootPassword, true
		case "OTHER":
			return "other", true
		}
		return "", false
	}
	return mysql.New(mysql.Deps{Now: time.Now, Credentials: credential.Resolver{Getenv: getenv}, Programs: w.programs}, mysql.Config{})
}

func (w *world) open(ctx context.Context, reported func(context.Context, executor.Job, executor.Progress)) (*engine.Executor, func(), error) {
	st, err := archive.Open(ctx, archive.Options{URLs: map[string]string{"main": (&url.URL{Scheme: "file", Path: w.store}).String()}, Identities: w.identities,
		Compression: executortest.Compression()})
	if err != nil {
		return nil, nil, err
	}
	sc, err := engine.OpenScratch(w.scratch)
	if err != nil {
		return nil, nil, err
	}
	e, err := w.engine()
	if err != nil {
		return nil, nil, err
	}
	x, err := engine.New(mysql.Provider, e, engine.Deps{Now: time.Now, Storages: st, Scratch: sc, Log: w.log, Reported: reported})
	if err != nil {
		return nil, nil, err
	}
	return x, func() { _ = x.Close(); _ = st.Close() }, nil
}

// config is that of an instance whose databases are named; none: all.
func (w *world) config(databases ...string) events.InstanceConfig {
	return events.InstanceConfig{Engine: strings.ToLower(string(w.srv.Kind)), Address: w.srv.Address(), User: backuper, CredentialRef: "env:PW", Databases: databases}
}

func (w *world) job(databases ...string) executor.Job {
	return executor.Job{BackupID: testBackup, Attempt: 1, Project: "shop", Instance: "orders", Config: w.config(databases...)}
}

// left lists the files of storage and scratch, and the sessions of the backup account that do something.
func (w *world) left(t testing.TB) []string {
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
	return all
}

func (w *world) wantNothingLeft(t testing.TB) {
	t.Helper()
	if left := w.left(t); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

var databases atomic.Int64

// database makes a database of its own for a test.
func database(t testing.TB, srv *mysqltest.Server) string {
	t.Helper()
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), databases.Add(1))
	run(t, srv.Root(), "CREATE DATABASE "+name)
	t.Cleanup(func() { _, _ = srv.Root().ExecContext(context.Background(), "DROP DATABASE IF EXISTS "+name) })
	return name
}

func run(t testing.TB, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// fill makes a table of rows of a kilobyte.
func fill(t testing.TB, srv *mysqltest.Server, name string, rows int) {
	t.Helper()
	run(t, srv.Root(), "CREATE TABLE "+quote(name)+".t (id INT PRIMARY KEY, body VARBINARY(600))")
	run(t, srv.Root(), "INSERT INTO "+quote(name)+".t SELECT seq, RANDOM_BYTES(500) FROM "+numbers(rows))
}

// numbers is a table with the numbers from 1 to n in its column seq.
func numbers(n int) string {
	return fmt.Sprintf("(WITH RECURSIVE counting AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM counting WHERE seq < %d) SELECT seq FROM counting WHERE seq <= %d) AS numbers", n, n)
}

// content is a digest of the rows of all tables of a database, empty if there are none.
func content(t testing.TB, srv *mysqltest.Server, name string) string {
	t.Helper()
	tables := query(t, srv.Root(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY 1", name)
	if len(tables) == 0 {
		return ""
	}
	h := sha256.New()
	for _, row := range tables {
		fmt.Fprintf(h, "%q\n", row)
		fmt.Fprintf(h, "%q\n", query(t, srv.Root(), "SELECT * FROM "+quote(name)+"."+quote(row[0])+" ORDER BY 1"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func query(t testing.TB, db *sql.DB, q string, args ...any) [][]string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), q, args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for rows.Next() {
		row, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		text := make([]string, len(row))
		for i, v := range row {
			text[i] = v.String
			if !v.Valid {
				text[i] = "NULL"
			}
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
