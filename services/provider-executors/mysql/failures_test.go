package mysql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const manyRows = 8000 // more than all buffers between the server and the storage hold

func nothing() {}

func TestBackup_WrongPasswordIsPermissionDenied(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, _, user := w.own(t, 0)
		j.Config.CredentialRef = "env:OTHER"
		_ = w.failed(t, j, events.PermissionDenied, nothing)
		w.wantNoSession(t, user)
	})
}

func TestBackup_NoServerIsUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	j, _, _ := w.own(t, 0)
	j.Config.Address = "127.0.0.1:1"
	_ = w.failed(t, j, events.ProviderUnavailable, nothing)
}

// forRoutines is the privilege without which routines are left out, what misses it is told, and one like it.
var forRoutines = map[mysqltest.Kind]struct{ grant, told, other string }{
	mysqltest.MariaDB: {"SELECT ON mysql.proc", "SELECT on mysql.proc", "SELECT ON mysql.event"},
	mysqltest.MySQL:   {"SHOW_ROUTINE ON *.*", "SHOW_ROUTINE", "FLUSH_TABLES, BACKUP_ADMIN ON *.*"},
}

func TestBackup_MissingPrivilegeIsNamed(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		routines := forRoutines[kind]
		cases := []struct {
			name, want string
			all        bool // databases
			grants     []string
		}{
			{"select", "SELECT", false, []string{"SHOW VIEW, TRIGGER, EVENT ON {}.*", routines.grant}},
			{"show view", "SHOW VIEW", false, []string{"SELECT, TRIGGER, EVENT ON {}.*", routines.grant}},
			{"trigger", "TRIGGER", false, []string{"SELECT, SHOW VIEW, EVENT ON {}.*", routines.grant}},
			{"event", "EVENT", false, []string{"SELECT, SHOW VIEW, TRIGGER ON {}.*", routines.grant}},
			{"routines", routines.told, false, []string{"SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.*"}},
			{"show databases", "SHOW DATABASES", true, []string{"SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.*", routines.grant}},
			{"trigger on one table", "TRIGGER", false, []string{"SELECT, SHOW VIEW, EVENT ON {}.*", "TRIGGER ON [].t", routines.grant}},
			{"routines by another", routines.told, false, []string{"SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.*", routines.other}},
			{"none", "", false, []string{"SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.*", routines.grant}},
			{"none, among others", "", false, []string{"SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.*", routines.grant, routines.other}},
		}
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sharedServer(t, kind))
				name := database(t, w.srv)
				fill(t, w.srv, name, 1)
				run(t, w.srv.Root(), "CREATE PROCEDURE "+name+".p() SELECT 1")
				j := w.job(name)
				pattern := quote(strings.ReplaceAll(name, "_", `\_`))
				for i, g := range c.grants {
					c.grants[i] = strings.NewReplacer("{}", pattern, "[]", name).Replace(g)
				}
				j.Config.User = account(t, w.srv, c.grants...)
				if c.all {
					j.Config.Databases = nil
				}
				if c.want == "" {
					if dump := w.text(t, *executortest.Take(t, w.executor(t), j).Ref); !strings.Contains(dump, "PROCEDURE `p`") {
						t.Error("the routine is not in the copy")
					}
					return
				}
				if f := w.failed(t, j, events.PermissionDenied, nothing); !strings.Contains(f.Message, "privileges "+c.want) {
					t.Errorf("message %q does not name %q", f.Message, c.want)
				}
			})
		}
	})
}

func TestBackup_DatabaseThatIsNotThereIsNotFound(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, _, _ := w.own(t, 1)
		j.Database = "no_such"
		_ = w.failed(t, j, events.NotFound, nothing)
		j.Config.Databases = nil
		_ = w.failed(t, j, events.NotFound, nothing)
	})
}

func TestBackup_NoDatabaseAtAllIsRejected(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MariaDB)
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, srv)
	_ = w.failed(t, w.job(), events.ProviderRejected, nothing)
}

func TestBackup_ServerKilledInTheMiddleIsUnavailable(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		srv := mysqltest.Start(t, kind)
		w := newWorld(t, srv)
		j, _, _ := w.own(t, manyRows)
		_ = w.failed(t, j, events.ProviderUnavailable, srv.Kill)
		if err := srv.Restart(t.Context()); err != nil { // for what the test made there
			t.Fatal(err)
		}
	})
}

func TestBackup_ToolKilledInTheMiddleIsUnavailable(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, manyRows)
		_ = w.failed(t, j, events.ProviderUnavailable, func() {
			pids := children(t, name)
			if len(pids) != 1 {
				t.Errorf("processes %v", pids)
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		})
		w.wantNoSession(t, user)
	})
}

func TestBackup_TableDroppedInTheMiddleIsUnavailable(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) { inTheMiddle(t, kind, "DROP TABLE {}.zz") })
}

func TestBackup_TableAlteredInTheMiddleIsUnavailable(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		inTheMiddle(t, kind, "ALTER TABLE {}.zz ADD COLUMN c INT, FORCE")
	})
}

// inTheMiddle runs a statement on a table that the tool has not reached.
func inTheMiddle(t *testing.T, kind mysqltest.Kind, statement string) {
	w := newWorld(t, sharedServer(t, kind))
	j, name, user := w.own(t, manyRows)
	run(t, w.srv.Root(), "CREATE TABLE "+name+".zz (id INT)")
	run(t, w.srv.Root(), "INSERT INTO "+name+".zz VALUES (1)")
	f := w.failed(t, j, events.ProviderUnavailable, func() {
		run(t, w.srv.Root(), strings.ReplaceAll(statement, "{}", name))
	})
	if !f.Retryable || !strings.Contains(f.Message, "schema change") {
		t.Errorf("failure %+v", f)
	}
	w.wantNoSession(t, user)
}

func TestPrepare_ToolThatDoesNotFitIsRejected(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, version, want string }{
		{"too old", "mariadb-dump  Ver 10.19 Distrib 5.5.68-MariaDB, for Linux (x86_64)", "not older"},
		{"other kind", "mysqldump  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)", "kind"},
		{"no version", "hello", "version"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
			path := filepath.Join(t.TempDir(), "dumper")
			if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+c.version+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			w.programs = tool.Programs{"mariadb-dump": path}
			j, _, _ := w.own(t, 1)
			if f := w.failed(t, j, events.ProviderRejected, nothing); !strings.Contains(f.Message, c.want) {
				t.Errorf("message %q", f.Message)
			}
		})
	}
}

func TestPrepare_MissingToolIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	w.programs = tool.Programs{"mariadb-dump": "/nowhere/mariadb-dump"}
	j, _, _ := w.own(t, 1)
	_ = w.failed(t, j, events.ProviderRejected, nothing)
}

func TestPrepare_ConfigThatCannotWorkIsRejected(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*executor.Job){
		"address": func(j *executor.Job) { j.Config.Address = "somewhere" },
		"user":    func(j *executor.Job) { j.Config.User = "" },
		"method":  func(j *executor.Job) { j.Config.Method = "MAGICAL" },
		"tls":     func(j *executor.Job) { j.Config.TLS = &events.InstanceTLS{Mode: "PERHAPS"} },
		"ca file": func(j *executor.Job) {
			j.Config.TLS = &events.InstanceTLS{Mode: events.TLSVerifyFull, CAFile: "/nowhere/ca.pem"}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
			j, _, _ := w.own(t, 1)
			spoil(&j)
			_ = w.failed(t, j, events.ProviderRejected, nothing)
		})
	}
}

func TestPrepare_TooFewConnectionsAreUnavailableBeforeTheToolRuns(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, mysqltest.Start(t, kind))
		holder, err := w.srv.Open("root", mysqltest.RootPassword, "")
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		holder.SetMaxOpenConns(1)
		j, _, user := w.own(t, 10)
		for range 12 { // MariaDB's setting is not lower than ten
			c, err := w.srv.Root().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		limit := func(free int) { // of connections that the account can open
			t.Helper()
			w.wantNoSession(t, user)
			held := w.srv.Root().Stats().OpenConnections + 1 // the holder's
			// The process list loses a connection before the number does.
			eventually(t, "no connection is counted but those of the test", func() bool {
				return query(t, holder, "SHOW GLOBAL STATUS LIKE 'Threads_connected'")[0][1] == strconv.Itoa(held)
			})
			run(t, holder, "SET GLOBAL max_connections = "+strconv.Itoa(held+free))
		}
		ran := filepath.Join(t.TempDir(), "ran")
		w.replace(t, kind.Dumper(), "echo $$ > "+ran+"; exec $tool \"$@\"")
		for _, free := range []int{0, 1} { // the executor's own, and none for the tool
			limit(free)
			if f := w.failed(t, j, events.ProviderUnavailable, nothing); !f.Retryable || !strings.Contains(f.Message, "max_connections") {
				t.Errorf("with %d left: %+v", free, f)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Errorf("with %d left the tool was run", free)
			}
		}
		limit(2)
		executortest.Take(t, w.executor(t), j)
	})
}

func TestPrepare_AnAccountWithTooFewConnectionsIsUnavailableBeforeTheToolRuns(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		j, name, user := w.own(t, 10)
		ran := filepath.Join(t.TempDir(), "ran")
		w.replace(t, kind.Dumper(), "echo $$ > "+ran+"; exec $tool \"$@\"")
		limit := func(n int) {
			t.Helper()
			w.wantNoSession(t, user)
			run(t, w.srv.Root(), fmt.Sprintf("ALTER USER '%s'@'%%' WITH MAX_USER_CONNECTIONS %d", user, n))
		}
		limit(1)
		if f := w.failed(t, j, events.ProviderUnavailable, nothing); !f.Retryable || !strings.Contains(f.Message, "account's limit") {
			t.Errorf("%+v", f)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Error("the tool was run")
		}
		limit(2)
		executortest.Take(t, w.executor(t), j)

		// Nor does a cancel need another.
		limit(2)
		free := w.locked(t, name+".t")
		x := w.executor(t)
		j.Attempt++
		ref := start(t, x, j)
		eventually(t, "the dump to wait for the lock", func() bool { return w.waiting(t, user) == 1 })
		w.cancelled(t, x, j, ref)
		w.wantNoSession(t, user)
		free()
	})
}

func TestBackup_EndWithoutMarkIsNoSuccess(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		// A tool that ends well after half of its work: what mariadb-dump was seen to do behind a pipe.
		w.replace(t, kind.Dumper(), `$tool "$@" | head -c 3000`)
		j, _, _ := w.own(t, 100)
		if f := w.failed(t, j, events.ProviderUnavailable, nothing); !strings.Contains(f.Message, "mark") {
			t.Errorf("message %q", f.Message)
		}
	})
}
