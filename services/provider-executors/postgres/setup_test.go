package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/credential"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const (
	testBackup  = "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	testRestore = "rs_aaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// shared is a server that the tests have in common, each with databases of its own.
type shared struct {
	*postgrestest.Server
	err error
}

var (
	sharedDir  string
	openShared = sync.OnceValue(func() shared {
		s, err := postgrestest.Run(context.Background(), sharedDir)
		return shared{s, err}
	})
)

func runTests(m *testing.M) int {
	dir, err := executortest.MemoryDir("bbpg-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Setenv("TMPDIR", dir)); err != nil { // for the folders of the tests too
		panic(err)
	}
	sharedDir = dir
	defer func() {
		for _, s := range []shared{openShared(), openQuiet()} {
			if s.Server != nil {
				_ = s.Stop()
			}
		}
	}()
	return m.Run()
}

func server1(t testing.TB) *postgrestest.Server {
	t.Helper()
	return common(t, openShared())
}

func common(t testing.TB, s shared) *postgrestest.Server {
	t.Helper()
	postgrestest.Missing(t, s.err)
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.Server
}

var serial struct {
	sync.Mutex
	n int
}

// unique is a database name that no other test has.
func unique(prefix string) string {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return prefix + "_" + strconv.Itoa(os.Getpid()) + "_" + strconv.Itoa(serial.n)
}

// freshDB makes a database for the test and fills it.
func freshDB(t testing.TB, s *postgrestest.Server, statements ...string) string {
	t.Helper()
	name := unique("t")
	s.CreateDatabase(t, name)
	s.Exec(t, name, statements...)
	return name
}

// world is a storage and a scratch folder.
type world struct {
	dir, store, scratch string
	compression         archive.Compression
	log                 *slog.Logger
}

// broken are the tests in which something ends a dump: they have the zstd program, through which dumps go in
// production. It costs the others a process each.
var broken = regexp.MustCompile("^Test(Fault|Cancel|Recover|Full|Physical_(Cancelled|ServerKilled)|Proof_TornDump|Backup_Of)")

func newWorld(t testing.TB) world {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbworld-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { // the account of scratch servers passes through
		t.Fatal(err)
	}
	w := world{dir: dir, log: executortest.Guard(t, dir), store: filepath.Join(dir, "store"), scratch: filepath.Join(dir, "scratch")}
	if broken.MatchString(t.Name()) {
		w.compression = executortest.Compression()
	}
	return w
}

// settings are what an executor over a world is opened with.
type settings struct {
	Store, Scratch string
	Identities     string
	Programs       tool.Programs
	Compression    archive.Compression
	Config

	log *slog.Logger // of another process: none
}

func (w world) settings() settings {
	return settings{Store: w.store, Scratch: w.scratch, Compression: w.compression, log: w.log}
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
	e, err := New(Deps{Now: time.Now, Programs: s.Programs, Credentials: credential.Resolver{}}, s.Config)
	if err != nil {
		return nil, err
	}
	scratch, err := engine.OpenScratch(s.Scratch)
	if err != nil {
		return nil, err
	}
	r := &running{engine: e}
	main := (&url.URL{Scheme: "file", Path: s.Store}).String()
	if r.store, err = archive.Open(ctx, archive.Options{URLs: map[string]string{"main": main}, Identities: s.Identities,
		Compression: s.Compression}); err != nil {
		return nil, err
	}
	r.Executor, err = engine.New(Provider, e, engine.Deps{
		Now: time.Now, Storages: r.store, Scratch: scratch, Log: s.log,
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

// config reaches s over its socket as the superuser.
func config(s *postgrestest.Server, databases ...string) events.InstanceConfig {
	return events.InstanceConfig{Engine: "postgres", Address: s.Address, User: postgrestest.Superuser, Databases: databases}
}

func jobOf(c events.InstanceConfig) executor.Job {
	return executor.Job{BackupID: testBackup, Attempt: 1, Project: "shop", Instance: "main", Config: c}
}

// uniqueJob has a backup id of its own, so that its sessions on the shared server are told apart.
func uniqueJob(c events.InstanceConfig) executor.Job {
	j := jobOf(c)
	j.BackupID = unique("bk")
	return j
}

func uniqueRestore(o lifecycle.Outcome, target events.InstanceConfig, database string) executor.RestoreJob {
	return executor.RestoreJob{RestoreID: unique("rs"), BackupID: testBackup, Source: *o.Ref, Checksum: o.Checksum, Target: target, Database: database}
}

// take takes a backup.
func take(t testing.TB, x *running, j executor.Job) lifecycle.Outcome {
	t.Helper()
	return executortest.Take(t, x, j)
}

// attempted is a backup that is expected to fail: the failure, and the raw error.
func attempted(t testing.TB, x *running, j executor.Job) (*events.Failure, error) {
	t.Helper()
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	p := executortest.Finish(t, x, ref)
	var f *events.Failure
	if !errors.As(p.Err, &f) {
		t.Fatalf("want a failure, got %v", p.Err)
	}
	return f, p.Err
}

// wantFailure asserts code and words of a failure, and that it gives nothing away.
func wantFailure(t testing.TB, f *events.Failure, raw error, code events.Code, text string) {
	t.Helper()
	if f.Code != code || !strings.Contains(f.Message, text) || f.Category == "" {
		t.Errorf("want %s with %q, got %+v\n(%v)", code, text, f, raw)
	}
	if strings.ContainsAny(f.Message, "/") && !strings.Contains(f.Message, "/run/postgresql") {
		t.Errorf("the message names a path: %s", f.Message)
	}
}

// left lists what is stored.
func (w world) left(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, root := range []string{w.store, w.scratch} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return all
}

func wantNothingLeft(t testing.TB, w world) {
	t.Helper()
	if left := w.left(t); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// manifest reads the manifest of a copy.
func manifest(t testing.TB, x *running, r executor.Ref) archive.Manifest {
	t.Helper()
	c, err := x.store.At(r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// folder is where a copy lies.
func (w world) folder(r executor.Ref) string {
	_, prefix, _ := strings.Cut(r.BackupName, ":")
	return filepath.Join(w.store, filepath.FromSlash(prefix))
}

// value is the answer to a query of one value.
func value[T any](t testing.TB, s *postgrestest.Server, database, query string, args ...any) (v T) {
	t.Helper()
	c := s.DB(t, database)
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// sessions are those of a backup on the server.
func sessions(t testing.TB, s *postgrestest.Server, j executor.Job) int {
	t.Helper()
	return value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = $1`, marker("", j.BackupID, j.Attempt))
}

// eventually waits for a condition that something else brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// content is a digest of all rows of all tables, empty if there is no such database.
func content(t testing.TB, s *postgrestest.Server, database string) string {
	t.Helper()
	if !value[bool](t, s, "postgres", `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, database) {
		return ""
	}
	c := s.DB(t, database)
	defer c.Close(t.Context())
	h := sha256.New()
	rows, err := c.Query(t.Context(), `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var sum string
		q := `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(x::text, 0)), 0) FROM ONLY ` + table + ` x`
		if err := c.QueryRow(t.Context(), q).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, table, sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// bigTable is a table of some megabytes.
const bigTable = `CREATE TABLE big AS SELECT g AS id, md5(g::text) || repeat(md5((g * 7)::text), 4) AS words FROM generate_series(1, 25000) g`
