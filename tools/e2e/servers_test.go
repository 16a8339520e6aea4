package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"filippo.io/age"

	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// Passwords that must be nowhere but in their files and on the way to their server.
const (
	mysqlCanary    = `CANARY-my'"\#sql`
	postgresCanary = `CANARY-post:gr\es`
)

// canaries are what is searched for: no quoting of any format may hide it.
var canaries = [][]byte{[]byte("CANARY-my"), []byte("CANARY-post"), []byte("AGE-SECRET-KEY")}

// servers are a MariaDB and a PostgreSQL with a shop in each, and a program that knows both.
type servers struct {
	*program
	my       *mysqltest.Server
	pg       *postgrestest.Server
	secrets  string // folder of what is secret
	mu       sync.Mutex
	webhooks bytes.Buffer
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{my: mysqltest.Start(t, mysqltest.MariaDB), pg: postgrestest.Start(t), secrets: t.TempDir()}
	s.fillMySQL(t)
	s.fillPostgres(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.secret(t, "key", id.String())
	s.secret(t, "mysql", mysqlCanary)
	s.secret(t, "postgres", postgresCanary)
	s.secret(t, "whsec", "whsec_"+strings.Repeat("QUFB", 11))
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = r.Header.Write(&s.webhooks)
		_, _ = io.Copy(&s.webhooks, r.Body)
	}))
	t.Cleanup(hook.Close)
	// PostgreSQL's scratch server runs under another account when we are root, which has to get there.
	scratch, err := os.MkdirTemp("", "bbe2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(scratch) })
	if err := os.Chmod(scratch, 0o711); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	text := strings.NewReplacer("SECRETS", s.secrets, "SINK", hook.URL, "PORT", portOf(t, hook.URL), "SCRATCH", scratch).Replace(`
provider-executors:
  identities: SECRETS/key
  scratch: SCRATCH/of-executors
  credentials: {roots: [SECRETS]}
  backoff: [100ms]
notifier:
  allowCidrs: [127.0.0.1/32]
  allowedPorts: [PORT]
  subscriptions:
    - {name: all, project: shop, sink: "SINK/hook", secretRef: "file:SECRETS/whsec"}
`)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.program = start(t, "--config", settings)
	conf := filepath.Join(t.TempDir(), "backupbus.yaml")
	if err := os.WriteFile(conf, []byte(strings.NewReplacer("MYSQL", s.my.Address(), "POSTGRES", s.pg.Address, "SECRETS", s.secrets, "KEY", id.Recipient().String()).Replace(`
project: shop
instances:
  - name: orders
    provider: mysql
    address: MYSQL
    user: backup
    credentialRef: file:SECRETS/mysql
    databases: [shop]
    encryptTo: [KEY]
    successfulWhen: RESTORED
  - name: ledger
    provider: postgres
    address: POSTGRES
    user: backup
    credentialRef: file:SECRETS/postgres
    databases: [shop]
    encryptTo: [KEY]
    successfulWhen: RESTORED
`)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("apply", "-f", conf)
	return s
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(at.Port())
}

func (s *servers) secret(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.secrets, name), []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

const rows = 500

func (s *servers) fillMySQL(t *testing.T) {
	t.Helper()
	if err := s.my.CreateUser(t.Context(), "backup", strings.ReplaceAll(mysqlCanary, `\`, `\\`), "ALL ON *.*"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"CREATE DATABASE shop",
		"CREATE TABLE shop.orders (id INT PRIMARY KEY, what VARCHAR(100))",
		fmt.Sprintf("INSERT INTO shop.orders SELECT seq, CONCAT('order ', seq) FROM shop.seq_1_to_%d", rows),
	} {
		if _, err := s.my.Root().ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func (s *servers) fillPostgres(t *testing.T) {
	t.Helper()
	s.pg.CreateUser(t, "backup", postgresCanary, "SUPERUSER")
	s.pg.CreateDatabase(t, "shop")
	s.pg.Exec(t, "shop", "CREATE TABLE orders (id int PRIMARY KEY, what text)",
		fmt.Sprintf("INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, %d) n", rows))
}

// count asks a server itself what is in a database.
func (s *servers) count(t *testing.T, provider, database string) (n int) {
	t.Helper()
	var err error
	if provider == "mysql" {
		err = s.my.Root().QueryRowContext(t.Context(), "SELECT count(*) FROM "+database+".orders").Scan(&n)
	} else {
		err = s.pg.DB(t, database).QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// idOf is the backup id in what the program printed.
func idOf(t *testing.T, out string) string {
	t.Helper()
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "bk_") {
			return word
		}
	}
	t.Fatalf("no backup id in %s", out)
	return ""
}

func TestServers_BackedUpProvenCheckedAndRestored(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	for instance, provider := range map[string]string{"orders": "mysql", "ledger": "postgres"} {
		s.must("instance", "check", instance, "--data", s.data, s.args[0], s.args[1])
		out := s.must("backup", "create", instance, "--wait")
		if !strings.Contains(out, "RESTORED") {
			t.Errorf("%s: %s", instance, out)
		}
		id := idOf(t, out)
		s.must("backup", "verify", id, "--method", "restore-test", "--wait")
		s.must("restore", "create", id, "--to", instance, "--database", "copy", "--wait")
		if n := s.count(t, provider, "copy"); n != rows {
			t.Errorf("%s: %d rows came back", instance, n)
		}
		if _, errs, code := s.run("restore", "create", id, "--to", instance, "--database", "copy", "--wait"); code == 0 || !strings.Contains(errs, "ALREADY_EXISTS") {
			t.Errorf("%s: a restore over data: exit %d, %s", instance, code, errs)
		}
		if n := s.count(t, provider, "copy"); n != rows {
			t.Errorf("%s: %d rows after the refused restore", instance, n)
		}
	}
	s.secret(t, "mysql", "wrong "+mysqlCanary)
	s.secret(t, "postgres", "wrong "+postgresCanary)
	for _, instance := range []string{"orders", "ledger"} {
		if _, errs, code := s.run("backup", "create", instance, "--wait"); code != 1 || !strings.Contains(errs, "PERMISSION_DENIED") {
			t.Errorf("%s with a wrong password: exit %d, %s", instance, code, errs)
		}
	}
	s.wantNoCanary(t)
}

// wantNoCanary searches the whole log of events, everything that is kept (store of the bus, manifests, view),
// the webhooks and what the process said.
func (s *servers) wantNoCanary(t *testing.T) {
	t.Helper()
	// The last event has been delivered.
	eventually(t, "webhooks of all outcomes", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return bytes.Count(s.webhooks.Bytes(), []byte("backup.failed.v1")) >= 2
	})
	look := func(where string, b []byte) {
		for _, c := range canaries {
			if bytes.Contains(b, c) {
				t.Errorf("%s holds %s", where, c)
			}
		}
	}
	out := s.must("events", "tail", "--since", "1h", "-n", "25", "-o", "json")
	if !strings.Contains(out, "backup.succeeded.v1") {
		t.Fatalf("no events: %s", out)
	}
	look("the event log", []byte(out))
	s.mu.Lock()
	look("a webhook", s.webhooks.Bytes())
	s.mu.Unlock()
	log, err := os.ReadFile(s.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	look("the log of the process", log)
	manifests := 0
	err = filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if d.Name() == "manifest.json" {
			manifests++
		}
		look(path, b)
		return err
	})
	if err != nil || manifests == 0 {
		t.Errorf("%d manifests, %v", manifests, err)
	}
}

// dumps are the pids of dump programs below a process.
func dumps(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, child := range strings.Fields(string(b)) {
			var n int
			if _, err := fmt.Sscan(child, &n); err != nil {
				continue
			}
			if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", n)); strings.Contains(string(name), "dump") {
				all = append(all, n)
			}
		}
	}
	return all
}

// blocked takes a lock that the dump has to wait for, asks for a backup, and waits until its program runs.
func (s *servers) blocked(t *testing.T) (id string, unlock func(), dump int) {
	t.Helper()
	holder, err := s.my.Open("root", mysqltest.RootPassword, "shop")
	if err != nil {
		t.Fatal(err)
	}
	holder.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = holder.Close() })
	if _, err := holder.ExecContext(t.Context(), "LOCK TABLES orders WRITE"); err != nil {
		t.Fatal(err)
	}
	id, ok := s.ask("orders", "blocked")
	if !ok {
		t.Fatal("the request is refused")
	}
	eventually(t, "the dump waits for the lock", func() bool { return waiting(t, s.my.Root()) == 1 })
	found := dumps(s.cmd.Process.Pid)
	if len(found) != 1 {
		t.Fatalf("dump programs %v", found)
	}
	return id, func() {
		if _, err := holder.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
			t.Error(err)
		}
	}, found[0]
}

func waiting(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'backup' AND STATE LIKE 'Waiting for table metadata lock%'").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestServers_KilledExecutorTakesItsDumpAlongAndTheNextAttemptSucceeds(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	id, unlock, dump := s.blocked(t)
	for _, what := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", dump, what))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range canaries {
			if bytes.Contains(b, c) {
				t.Errorf("%s of the dump program holds %s", what, c)
			}
		}
	}
	s.kill()
	eventually(t, "the dump program is gone", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", dump))
		return err != nil || bytes.Contains(b, []byte(") Z "))
	})
	unlock()
	s.up()
	if b := s.await(id); b.State != "SUCCESSFUL" || b.Proof != "RESTORED" || b.Attempt != 2 {
		t.Errorf("%+v", b)
	}
	s.wantOneCopy(t, id)
}

func TestServers_StoppedExecutorGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	id, unlock, _ := s.blocked(t)
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	unlock()
	eventually(t, "the server is done with the dump's wait", func() bool { return waiting(t, s.my.Root()) == 0 })
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if b := s.await(id); b.State != "SUCCESSFUL" || b.Proof != "RESTORED" {
		t.Errorf("%+v", b)
	}
	s.wantOneCopy(t, id)
}

// wantOneCopy: whole, and nothing of other attempts.
func (s *servers) wantOneCopy(t *testing.T, id string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.data, "backups", "shop", "orders", id, "*", "*"))
	if err != nil || len(found) != 2 {
		t.Errorf("want an object and a manifest, there is %v, %v", found, err)
	}
	s.must("backup", "verify", id, "--wait")
}
