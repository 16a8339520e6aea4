package executors_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
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
	verify     func(*pipelinetest.Pipeline) // when there is a copy, before it is verified
	webhooks   *webhooks
	good       map[string]string // files of a copy that was there before, with what they hold
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	dir := t.TempDir()
	f := &faulty{dir: dir, store: filepath.Join(dir, "store"), provider: "sqlite"}
	f.executors.Storages = map[string]string{"default": "file://" + f.store}
	f.instance = f.database(t, "source.db", 3000)
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
	f.instance = events.InstanceConfig{Engine: "postgres", Address: s.TCP, User: "backup", Databases: []string{"shop"},
		CredentialRef: "file:" + f.file(t, "password", pw, 0o600)}
	return s
}

// onMariaDB is onPostgres there. The account lacks nothing.
func (f *faulty) onMariaDB(t *testing.T, pw string) *mysqltest.Server {
	t.Helper()
	s := mysqltest.Start(t, mysqltest.MariaDB)
	for _, q := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, what TEXT)", "INSERT INTO shop.orders VALUES (1, 'a'), (2, 'b')"} {
		if _, err := s.Root().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CreateUser(t.Context(), "backup", password, "SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*"); err != nil {
		t.Fatal(err)
	}
	f.provider = "mysql"
	f.instance = events.InstanceConfig{Engine: "mariadb", Address: s.Address(), User: "backup", Databases: []string{"shop"},
		CredentialRef: "file:" + f.file(t, "password", pw, 0o600)}
	return s
}

const reader = "IN ROLE pg_read_all_data"

func (f *faulty) run(t *testing.T, maxAttempts int) (*pipelinetest.Pipeline, string) {
	t.Helper()
	f.executors.Scratch = filepath.Join(f.dir, "scratch")
	log := executortest.Guard(t, f.store, f.executors.Scratch)
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
func (f *faulty) told(t *testing.T, p *pipelinetest.Pipeline, id string) (all []string, last events.Backup) {
	t.Helper()
	p.Executors.Stop()
	for _, s := range p.Events("shop") {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		executortest.Unseen(t, "the event "+s.ID, raw)
		if s.PartitionKey != id {
			continue
		}
		if last, err = events.Decode[events.Backup](s.Event); err != nil {
			t.Fatal(err)
		}
		step := string(s.Step())
		if last.Error != nil {
			step += " " + string(last.Error.Code)
		}
		all = append(all, step)
	}
	f.webhooks.wantOnce(t, p.Events("shop"))
	_, err := p.Bus.Scan(t.Context(), events.AllProgress, 1, false, func(_ string, s events.Stored) error {
		raw, err := json.Marshal(s)
		executortest.Unseen(t, "the progress "+s.ID, raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, body := p.Call(http.MethodGet, base+"/"+id, "")
	executortest.Unseen(t, "the answer", body)
	now := f.stored(t)
	for path, holds := range f.good {
		if now[path] != holds {
			t.Errorf("%s of a good copy is not what it was", path)
		}
	}
	return all, last
}

func TestFault_EndsTheBackupOnceWithAReasonForPeople(t *testing.T) {
	t.Parallel()
	once := func(code events.Code) []string { return []string{"requested", "started", "failed " + string(code)} }
	again := func(code events.Code) []string {
		return []string{"requested", "started", "attempt_failed " + string(code), "started", "failed " + string(code)}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *faulty)
		steps []string
		want  events.Failure
	}{
		{"database that is not there", func(_ *testing.T, f *faulty) { f.instance.File += ".absent" },
			once(events.NotFound), events.Failure{Category: events.ByUser,
				Message: "the database file does not exist where the executor runs: correct the instance's file"}},
		{"wrong password", func(t *testing.T, f *faulty) { f.onPostgres(t, "wrong "+executortest.Canary, reader) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "the server refuses the login: see the instance's user and credentialRef, and pg_hba.conf of the server", ProviderCode: "28P01"}},
		{"wrong password of MariaDB", func(t *testing.T, f *faulty) { f.onMariaDB(t, "wrong "+executortest.Canary) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "the server does not let the account in: correct the instance's user or the password behind its credentialRef, and see that the account is not locked", ProviderCode: "1045"}},
		{"MariaDB killed", func(t *testing.T, f *faulty) {
			s := f.onMariaDB(t, password)
			holder, err := s.Root().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = holder.Close() })
			if _, err := holder.ExecContext(t.Context(), "LOCK TABLES shop.orders WRITE"); err != nil {
				t.Fatal(err)
			}
			f.during = func(*pipelinetest.Pipeline) {
				eventually(t, "the dump waits for the table", func() (waits bool) {
					err := s.Root().QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = 'backup' AND STATE LIKE 'Waiting for table%')").Scan(&waits)
					if err != nil {
						t.Fatal(err)
					}
					return waits
				})
				s.Kill()
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "the server cannot be reached, or the connection to it broke: see that it runs and that the executor's machine may reach it"}},
		{"missing privilege", func(t *testing.T, f *faulty) { f.onPostgres(t, password) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "1 of the tables and sequences cannot be read: the user of the instance may not read everything: GRANT pg_read_all_data TO it (PostgreSQL 14 and newer), or USAGE on every schema and SELECT on every table and sequence; large objects need their owner or a superuser"}},
		{"tool missing", func(t *testing.T, f *faulty) {
			f.onPostgres(t, password, reader)
			f.executors.Tools = map[string]string{"pg_dump": "/nowhere/pg_dump"}
		}, once(events.ProviderRejected), events.Failure{Category: events.ByUser,
			Message: "the program configured as pg_dump cannot be run where the executor runs: correct the executor's setting tools"}},
		{"tool killed", func(t *testing.T, f *faulty) {
			f.onPostgres(t, password, reader)
			f.tool(t, "pg_dump", `$tool "$@" | head -c 1000; kill -9 $$`)
		}, again(events.Internal), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "a program of PostgreSQL was killed where the executor runs: see whether the machine is short of memory"}},
		{"server killed", func(t *testing.T, f *faulty) {
			s := f.onPostgres(t, password, reader)
			holder := s.DB(t, "shop")
			if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE orders"); err != nil {
				t.Fatal(err)
			}
			watch := s.DB(t, "shop")
			f.during = func(*pipelinetest.Pipeline) {
				eventually(t, "the dump waits for the table", func() (waits bool) {
					err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'backup')").Scan(&waits)
					if err != nil {
						t.Fatal(err)
					}
					return waits
				})
				s.Kill()
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.ByProvider, Retryable: true,
			Message: "the server cannot be reached: see that it runs, that the address is right and that nothing blocks the way"}},
		{"disk full", func(t *testing.T, f *faulty) { executortest.SmallDisk(t, f.store) },
			again(events.StorageFull), events.Failure{Category: events.BySystem, Retryable: true,
				Message: `storage "default" is full: free space there or give the instance another storage`}},
		{"storage that refuses", func(t *testing.T, f *faulty) {
			executortest.SmallDisk(t, f.store)
			f.started = func() {
				if err := syscall.Mount("tmpfs", f.store, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}
		}, once(events.PermissionDenied), events.Failure{Category: events.BySystem,
			Message: `storage "default" does not let this executor in: give its user the right to create, read and delete there`}},
		{"key of others", func(t *testing.T, f *faulty) {
			f.executors.Identities, _ = f.identity(t, "own")
			_, others := f.identity(t, "others")
			f.instance.EncryptTo = []string{others}
		}, once(events.ProviderRejected), events.Failure{Category: events.ByUser,
			Message: "the copies of this instance are encrypted to keys that the executor does not have, so they cannot be proven: give it one of the identities, or set successfulWhen to STORED"}},
		{"hook that refuses", func(t *testing.T, f *faulty) {
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, r.URL.String(), http.StatusForbidden) // it repeats its secret address
			}))
			t.Cleanup(hook.Close)
			f.executors.Hooks = engine.Hooks{"pause": {URL: hook.URL + "/?key=" + executortest.Canary}}
			f.instance.Hooks = &events.InstanceHooks{Pre: "pause"}
		}, again(events.ProviderRejected), events.Failure{Category: events.ByUser, Retryable: true,
			Message: `the hook "pause", which has to succeed before the backup, failed: see the executor's log for what it said`}},
		{"nothing moves", func(t *testing.T, f *faulty) {
			hook := f.file(t, "hook", "#!/bin/sh\nexec sleep 1000\n", 0o700)
			f.executors.Hooks, f.executors.StallAfter = engine.Hooks{"pause": {Exec: []string{hook}}}, 2*time.Second
			f.instance.Hooks = &events.InstanceHooks{Pre: "pause"}
		}, again(events.DeadlineExceeded), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "no progress for 2s: it was stopped; see whether the server, a lock there or the storage holds it up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c.spoil(t, f)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Failed, events.Succeeded, events.Cancelled)
			steps, last := f.told(t, p, id)
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Error(diff)
			}
			c.want.Code = events.Code(c.steps[len(c.steps)-1][len("failed "):])
			if diff := cmp.Diff(&c.want, last.Error); diff != "" {
				t.Error(diff)
			}
			if last.State != events.State("FAILED") || last.EndTime.IsZero() || lifecycle.Good(last) {
				t.Errorf("record %+v", last)
			}
			for path := range f.stored(t) {
				if f.good[path] == "" {
					t.Errorf("left behind: %s", path)
				}
			}
		})
	}
}

func TestFault_OfACopyFailsItsVerificationOnceWithAReasonForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *faulty)
		want  events.Failure
	}{
		{"deleted object", func(t *testing.T, f *faulty) {
			f.verify = func(*pipelinetest.Pipeline) {
				if err := os.Remove(f.object(t)); err != nil {
					t.Fatal(err)
				}
			}
		}, events.Failure{Code: events.NotFound, Category: events.BySystem,
			Message: `the copy is not in storage "default": it was removed, or never completed`}},
		{"flipped byte", func(t *testing.T, f *faulty) {
			f.verify = func(*pipelinetest.Pipeline) {
				b, err := os.ReadFile(f.object(t))
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(f.object(t), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, events.Failure{Code: events.Corrupt, Category: events.BySystem,
			Message: "the stored object cannot be decompressed: the copy is damaged"}},
		{"wrong key", func(t *testing.T, f *faulty) {
			key, to := f.identity(t, "own")
			other, _ := f.identity(t, "other")
			f.executors.Identities, f.instance.EncryptTo = key, []string{to}
			f.verify = func(p *pipelinetest.Pipeline) {
				p.Executors.Stop()
				if err := os.Rename(other, key); err != nil {
					t.Fatal(err)
				}
				p.Executors.Start()
			}
		}, events.Failure{Code: events.PermissionDenied, Category: events.BySystem,
			Message: "the copy is encrypted to other keys than this executor has: add the identity of one of its recipients to the executor's setting identities"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c.spoil(t, f)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Succeeded)
			f.verify(p)
			if code, answer := p.Call(http.MethodPost, base+"/"+id+":verify", `{"method":"RESTORE_TEST"}`); code != http.StatusAccepted {
				t.Fatalf("verify: %d %s", code, answer)
			}
			p.Await("shop", id, events.Verified, events.VerificationFailed)
			steps, last := f.told(t, p, id)
			if diff := cmp.Diff([]string{"requested", "started", "succeeded", "verification_requested", "verification_failed"}, steps); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(&c.want, last.Check.Error); diff != "" {
				t.Error(diff)
			}
			if !lifecycle.Good(last) || last.Error != nil {
				t.Errorf("record %+v", last)
			}
		})
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
	all := map[string]string{}
	err := filepath.WalkDir(f.store, func(path string, d fs.DirEntry, err error) error {
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
