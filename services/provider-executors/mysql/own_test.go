package mysql_test

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// What follows is MySQL's own; the rest of the tests is about both kinds.

// strict is a server with what MySQL alone has and managed ones switch on, and a way in over TCP.
var strict = sharing{kind: mysqltest.MySQL}

// onStrict makes a world on it, and a database with a table.
func onStrict(t *testing.T) (*world, string) {
	t.Helper()
	srv := strict.server(t, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--sql-require-primary-key=ON",
		"--skip-networking=0", "--bind-address=127.0.0.1", "--port="+freePort(t))
	name := database(t, srv)
	fill(t, srv, name, 5)
	return newWorld(t, srv), name
}

func TestRestore_OfACopyWithGTIDsIsLoggedAndLeavesThoseOfTheServer(t *testing.T) {
	t.Parallel()
	w, source := onStrict(t)
	target := database(t, w.srv)
	x := w.executor(t)
	o := executortest.Take(t, x, w.job(source))
	if m := w.manifest(t, *o.Ref); !strings.Contains(m, `"position": "bin.0`) {
		t.Errorf("no position in %s", m)
	}
	executed := func() string { return query(t, w.srv.Root(), "SELECT @@GLOBAL.gtid_executed")[0][0] }
	before := executed()
	w.restore(t, x, o, w.config(target), nil)
	if content(t, w.srv, target) != content(t, w.srv, source) {
		t.Error("content differs")
	}
	log := query(t, w.srv.Root(), "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, ?)", before)
	if log[0][0] == "" {
		t.Error("the restore is not in the binary log, and reaches no replica")
	}
	if purged := query(t, w.srv.Root(), "SELECT @@GLOBAL.gtid_purged")[0][0]; purged != "" {
		t.Errorf("the restore set gtid_purged to %s", purged)
	}
}

func TestRestore_ToAServerThatAsksForPrimaryKeys(t *testing.T) {
	t.Parallel()
	w, source := onStrict(t)
	target := database(t, w.srv)
	x := w.executor(t)
	o := executortest.Take(t, x, w.job(source))
	w.restore(t, x, o, w.config(target), nil)
	if content(t, w.srv, target) != content(t, w.srv, source) {
		t.Error("content differs")
	}
	db, err := w.srv.Root().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run(t, db, "SET SESSION sql_require_primary_key=OFF")
	run(t, db, "CREATE TABLE "+source+".keyless (a INT)")
	j := w.job(source)
	j.Attempt = 2
	o = executortest.Take(t, x, j)
	err = w.tryRestore(t, x, o, w.config(target), func(j *executor.RestoreJob) { j.Overwrite = true })
	executortest.WantCode(t, err, events.ProviderRejected)
	if m := messageOf(t, err); !strings.Contains(m, "sql_require_primary_key") {
		t.Errorf("message %q", m)
	}
}

func TestRestore_TargetWithOnlyALibraryHoldsData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MySQL))
	source, target := database(t, w.srv), database(t, w.srv)
	run(t, w.srv.Root(), "CREATE LIBRARY "+target+".l LANGUAGE JAVASCRIPT AS $$ 1 $$")
	x := w.executor(t)
	o := executortest.Take(t, x, w.job(source))
	executortest.WantCode(t, w.tryRestore(t, x, o, w.config(target), nil), events.AlreadyExists)
}

func TestProof_DecimalsInJSONAreComparedByNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MySQL))
	source := database(t, w.srv)
	run(t, w.srv.Root(), "CREATE TABLE "+source+".docs (j JSON)")
	run(t, w.srv.Root(), "INSERT INTO "+source+".docs VALUES (JSON_OBJECT('a', 1.50)), (NULL)")
	wantEvidence(t, w.evidence(t, w.job(source)), 1, 2, false)
}

func TestPrepare_ProgramsOfTheOtherKindAreRejected(t *testing.T) {
	t.Parallel()
	of := map[mysqltest.Kind]*world{}
	for _, kind := range mysqltest.Kinds {
		of[kind] = newWorld(t, sharedServer(t, kind))
	}
	other, err := exec.LookPath(mysqltest.MariaDB.Path(mysqltest.MariaDB.Dumper()))
	if err != nil {
		t.Fatal(err)
	}
	of[mysqltest.MySQL].programs[mysqltest.MySQL.Dumper()] = other
	of[mysqltest.MariaDB].programs[mysqltest.MariaDB.Dumper()] = mysqltest.MySQL.Path(mysqltest.MySQL.Dumper())
	for kind, w := range of {
		j, _, _ := w.own(t, 1)
		if f := w.failed(t, j, events.ProviderRejected, nothing); !strings.Contains(f.Message, "server's kind, which is "+string(kind)) {
			t.Errorf("message %q", f.Message)
		}
	}
}

func TestBackup_PrivilegeThatWasRevokedForOneDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MySQL, "--partial-revokes=ON")
	w, source, other := newWorld(t, srv), database(t, srv), database(t, srv)
	fill(t, srv, source, 1)
	j := w.job()
	j.Config.User = account(t, w.srv, backupGrants)
	run(t, w.srv.Root(), "REVOKE TRIGGER ON "+other+".* FROM "+j.Config.User)
	if f := w.failed(t, j, events.PermissionDenied, nothing); !strings.Contains(f.Message, "TRIGGER (on 1 of the 2 databases)") {
		t.Errorf("message %q", f.Message)
	}
	run(t, w.srv.Root(), "REVOKE SELECT, SHOW VIEW, EVENT ON "+other+".* FROM "+j.Config.User) // hidden
	if f := w.failed(t, j, events.PermissionDenied, nothing); !strings.Contains(f.Message, "SHOW DATABASES") {
		t.Errorf("message %q", f.Message)
	}
	j.Config.Databases = []string{source}
	executortest.Take(t, w.executor(t), j)

	// No name in a grant is a pattern there.
	j.Attempt = 2
	j.Config.User = account(t, w.srv, "SELECT, SHOW VIEW, TRIGGER, EVENT ON `t%`.*", "SHOW_ROUTINE, SHOW DATABASES ON *.*")
	_ = w.failedAt(t, j, events.PermissionDenied)
}

func TestBackup_PrivilegesOfARoleCountWhereItIsActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MySQL))
	name, user, role := database(t, w.srv), account(t, w.srv), account(t, w.srv, backupGrants)
	fill(t, w.srv, name, 1)
	run(t, w.srv.Root(), "GRANT "+role+" TO "+user)
	j := w.job(name)
	j.Config.User = user
	_ = w.failed(t, j, events.NotFound, nothing)
	run(t, w.srv.Root(), "SET DEFAULT ROLE ALL TO "+user)
	executortest.Take(t, w.executor(t), j)
}

func TestInspect_NamesWhatAPhysicalCopyNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MySQL))
	e, err := w.engine()
	if err != nil {
		t.Fatal(err)
	}
	j := w.job()
	j.Config.Method = events.MethodPhysical
	j.Config.User = account(t, w.srv, "RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT ON *.*")
	if bad := wrong(e.Inspect(t.Context(), j)); !strings.Contains(bad["privileges"], "BACKUP_ADMIN, SELECT on performance_schema.log_status:") {
		t.Errorf("found wrong: %v", bad)
	}
	j.Config.User = account(t, w.srv, "BACKUP_ADMIN, RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT ON *.*", "SELECT ON performance_schema.log_status")
	if bad := wrong(e.Inspect(t.Context(), j)); bad["privileges"] != "" {
		t.Errorf("found wrong: %v", bad)
	}
}

func TestCancel_SessionOfOthersWithAnEmojiIsInNobodysWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MySQL))
	j, name, user := w.own(t, 10)
	free := w.locked(t, name+".t")
	db, err := w.srv.Open(user, canary, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	waits := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(t.Context(), "SELECT id, '😀' FROM t")
		waits <- err
	}()
	x := w.executor(t)
	ref := start(t, x, j)
	eventually(t, "both to wait for the lock", func() bool { return w.waiting(t, user) == 2 })
	w.cancelled(t, x, j, ref)
	if n := w.waiting(t, user); n != 1 {
		t.Errorf("%d sessions wait", n)
	}
	free()
	if err := <-waits; err != nil {
		t.Error(err)
	}
}

// overheard is a way to the server over TCP that keeps what passes from the client.
func overheard(t *testing.T, srv *mysqltest.Server) (address string, heard func() string) {
	t.Helper()
	port := query(t, srv.Root(), "SELECT @@port")[0][0]
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	var (
		mu   sync.Mutex
		said strings.Builder
	)
	keep := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return said.Write(p)
	})
	go func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.MultiWriter(to, keep), from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
	}()
	return ln.Addr().String(), func() string {
		mu.Lock()
		defer mu.Unlock()
		return said.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestLogin_WithoutTLSNeverSendsThePasswordAsItIs(t *testing.T) {
	t.Parallel()
	w, name := onStrict(t)
	address, heard := overheard(t, w.srv)
	j := w.job(name)
	j.Config.User = account(t, w.srv, backupGrants)
	j.Config.Address, j.Config.TLS = address, &events.InstanceTLS{Mode: events.TLSDisable}
	executortest.Take(t, w.executor(t), j)

	// A server that has forgotten the account since the executor's own login asks for the password.
	w = newWorld(t, w.srv)
	w.replace(t, "mysqldump", mysqltest.MySQL.Path("mysql")+" --no-defaults -S "+w.srv.Socket+" -uroot -p"+mysqltest.RootPassword+" -e 'FLUSH PRIVILEGES' && exec $tool \"$@\"")
	if f := w.failed(t, j, events.ProviderUnavailable, nothing); !strings.Contains(f.Message, "tls.mode") {
		t.Errorf("message %q", f.Message)
	}
	if s := heard(); !strings.Contains(s, j.Config.User) || strings.Contains(s, canary) {
		t.Errorf("heard the password, or nothing, in %d bytes", len(s))
	}

	run(t, w.srv.Root(), "SET GLOBAL require_secure_transport=ON")
	t.Cleanup(func() { run(t, w.srv.Root(), "SET GLOBAL require_secure_transport=OFF") })
	if f := w.failed(t, j, events.ProviderRejected, nothing); !strings.Contains(f.Message, "tls.mode") {
		t.Errorf("message %q", f.Message)
	}
}
