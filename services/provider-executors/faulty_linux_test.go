package executors_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
	"github.com/backupbus/backupbus/services/requester"
)

// faulty is a pipeline with the real engines in which one thing is not right. A killed executor is tested with the
// whole program (tools/e2e).
type faulty struct {
	dir, store string
	provider   string
	instance   events.InstanceConfig
	executors  executors.Config
	started    func()                       // when the pipeline runs
	during     func(*pipelinetest.Pipeline) // when the backup was asked for
	verify     func(*pipelinetest.Pipeline) // when there is a copy, before it is verified or restored
	webhooks   *webhooks
	good       map[string]string // files of a copy that was there before, with what they hold
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbf-") // short and open, for the socket and the account of a scratch server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // passwords have files of their own
		t.Fatal(err)
	}
	f := &faulty{dir: dir, store: filepath.Join(dir, "store"), provider: "sqlite"}
	f.executors.Storages = map[string]string{"default": "file://" + f.store}
	f.instance = f.database(t, "source.db", 100)
	return f
}

// database is an instance of a file with rows of a kilobyte.
func (f *faulty) database(t *testing.T, name string, rows int) events.InstanceConfig {
	t.Helper()
	path := filepath.Join(f.dir, name)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO t SELECT i, randomblob(1000) FROM n", rows)} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	return events.InstanceConfig{Engine: "sqlite", File: path}
}

// file makes a private one of this text.
func (f *faulty) file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// password is that of the account backup.
const password = `it's "` + executortest.Canary

// onPostgres takes a server's database in place of the file.
func (f *faulty) onPostgres(t *testing.T, pw string, attributes ...string) *postgrestest.Server {
	t.Helper()
	s := postgrestest.Start(t)
	s.CreateUser(t, "backup", password, attributes...)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS what FROM generate_series(1, 1000) n")
	f.provider = "postgres"
	f.instance.Engine, f.instance.File, f.instance.Address, f.instance.User, f.instance.Databases = "postgres", "", s.TCP, "backup", []string{"shop"}
	f.instance.CredentialRef = "file:" + f.file(t, "password", pw, 0o600)
	return s
}

// onMariaDB is onPostgres there. The account lacks nothing.
func (f *faulty) onMariaDB(t *testing.T, pw string) *mysqltest.Server {
	t.Helper()
	s := mysqltest.Start(t, mysqltest.MariaDB)
	execMariaDB(t, s, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, what TEXT)", "INSERT INTO shop.orders VALUES (1, 'a'), (2, 'b')")
	if err := s.CreateUser(t.Context(), "backup", password, "SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*"); err != nil {
		t.Fatal(err)
	}
	f.provider = "mysql"
	f.instance.Engine, f.instance.File, f.instance.Address, f.instance.User, f.instance.Databases = "mariadb", "", s.Address(), "backup", []string{"shop"}
	f.instance.CredentialRef = "file:" + f.file(t, "password", pw, 0o600)
	return s
}

func execMariaDB(t *testing.T, s *mysqltest.Server, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := s.Root().ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

const reader = "IN ROLE pg_read_all_data"

// gate is a lock on the table orders, before which a dump waits that has begun.
type gate struct {
	reached func() // waits until one waits
	pass    func() // lets it through and closes again
	open    func()
}

func gateOfMariaDB(t *testing.T, s *mysqltest.Server) gate {
	t.Helper()
	holder, err := s.Root().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close() })
	exec := func(q string) {
		t.Helper()
		if _, err := holder.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	open := func() { exec("UNLOCK TABLES") } // who waits has the table then, and a new lock waits for it
	lock := func() { exec("LOCK TABLES shop.orders WRITE") }
	lock()
	return gate{pass: func() { open(); lock() }, open: open, reached: func() {
		t.Helper()
		eventually(t, "the dump waits for the table", func() (waits bool) {
			err := s.Root().QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = 'backup' AND STATE LIKE 'Waiting for table%')").Scan(&waits)
			if err != nil {
				t.Fatal(err)
			}
			return waits
		})
	}}
}

func gateOfPostgres(t *testing.T, s *postgrestest.Server) gate {
	t.Helper()
	holder, watch := s.DB(t, "shop"), s.DB(t, "shop")
	exec := func(q string) {
		t.Helper()
		if _, err := holder.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	open := func() { exec("COMMIT") }
	lock := func() { exec("BEGIN; LOCK TABLE orders") }
	lock()
	return gate{pass: func() { open(); lock() }, open: open, reached: func() {
		t.Helper()
		eventually(t, "the dump waits for the table", func() (waits bool) {
			err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'backup')").Scan(&waits)
			if err != nil {
				t.Fatal(err)
			}
			return waits
		})
	}}
}

func (f *faulty) run(t *testing.T, maxAttempts int) (*pipelinetest.Pipeline, string) {
	t.Helper()
	f.executors.Scratch = filepath.Join(f.dir, "scratch")
	log := executortest.Guard(t, f.store, f.executors.Scratch)
	executortest.Watch(t)
	p := pipelinetest.Start(t, pipelinetest.Options{Engines: true, Executors: f.executors, Log: log,
		Requester: requester.Config{MaxAttempts: maxAttempts, Providers: []string{"sqlite", "mysql", "postgres"}}})
	f.webhooks = subscribed(t, p)
	before, err := json.Marshal(f.database(t, "good.db", 3))
	if err != nil {
		t.Fatal(err)
	}
	p.RegisterAs("shop", "good", "sqlite", string(before))
	p.Await("shop", create(p, "good"), events.Succeeded)
	if f.good = f.stored(t); len(f.good) == 0 {
		t.Fatal("there is no good copy")
	}
	if f.started != nil {
		f.started()
	}
	config, err := json.Marshal(f.instance)
	if err != nil {
		t.Fatal(err)
	}
	p.RegisterAs("shop", "orders", f.provider, string(config))
	id := create(p, "orders")
	if f.during != nil {
		f.during(p)
	}
	return p, id
}

// told are the steps of a backup, with the codes of those that failed, and its record after the last. Nothing is at
// work any more, so no step comes after them.
func (f *faulty) told(t *testing.T, p *pipelinetest.Pipeline, id string) ([]string, events.Backup) {
	t.Helper()
	p.Executors.Stop()
	all, last := life(t, p, id, func(b events.Backup) *events.Failure { return b.Error })
	f.unseen(t, p, base+"/"+id)
	return all, last
}

// life are the steps of a backup or restore, and its last record. why is the failure that a record tells of.
func life[R events.Payload](t *testing.T, p *pipelinetest.Pipeline, id string, why func(R) *events.Failure) (all []string, last R) {
	t.Helper()
	for _, s := range p.Events("shop") {
		if s.PartitionKey != id {
			continue
		}
		var err error
		if last, err = events.Decode[R](s.Event); err != nil {
			t.Fatal(err)
		}
		step := string(s.Step())
		if failure := why(last); failure != nil {
			step += " " + string(failure.Code)
		}
		all = append(all, step)
	}
	return all, last
}

// unseen wants no secret in any event, progress, webhook and in the answer at path, each webhook once, and the copy that
// was there before as it was.
func (f *faulty) unseen(t *testing.T, p *pipelinetest.Pipeline, path string) {
	t.Helper()
	all := p.Events("shop")
	_, err := p.Bus.Scan(t.Context(), events.AllProgress, 1, false, func(_ string, s events.Stored) error {
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		executortest.Unseen(t, "the event "+s.ID, raw)
	}
	f.webhooks.wantOnce(t, p.Events("shop"))
	code, body := p.Call(http.MethodGet, path, "")
	if code != http.StatusOK {
		t.Errorf("%s: %d %s", path, code, body)
	}
	executortest.Unseen(t, "the answer", body)
	now := f.stored(t)
	for path, holds := range f.good {
		if now[path] != holds {
			t.Errorf("%s of a good copy is not what it was", path)
		}
	}
}

// tool puts a script in the place of a program, which does its work as $tool.
func (f *faulty) tool(t *testing.T, name, script string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	f.executors.Tools = map[string]string{name: f.file(t, name, fmt.Sprintf(
		"#!/bin/sh\ntool=%s\n[ \"$1\" = --version ] && exec $tool \"$@\"\n%s\n", path, script), 0o700)}
}

func (f *faulty) identity(t *testing.T, name string) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return f.file(t, name, executortest.Secret(id.String())+"\n", 0o600), id.Recipient().String()
}

// stored are the files in the storage, with what they hold.
func (f *faulty) stored(t *testing.T) map[string]string {
	t.Helper()
	return below(t, f.store)
}

// below are the files below a folder, with what they hold.
func below(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// object is the one stored one beside the manifest.
func (f *faulty) object(t *testing.T) string {
	t.Helper()
	all := slices.DeleteFunc(slices.Collect(maps.Keys(f.stored(t))), func(path string) bool {
		return strings.HasSuffix(path, "manifest.json") || f.good[path] != ""
	})
	if len(all) != 1 {
		t.Fatalf("objects %q", all)
	}
	return all[0]
}

// eventually waits for a condition that nothing tells us of.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(pipelinetest.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited for: %s", what)
		}
	}
}
