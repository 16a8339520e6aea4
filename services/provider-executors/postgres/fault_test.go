package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// canary is a password with everything that a password file has to escape.
const canary = executortest.Canary + `:\pass:"word' {0}`

// credentialFile holds a password for the time of the test.
func credentialFile(t testing.TB, password string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(f, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + f
}

func TestFault_WrongPasswordIsPermissionDenied(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	user := unique("user")
	s.CreateUser(t, user, canary)
	c := config(s, "postgres")
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, "wrong"+canary)
	f, raw := attempted(t, w.executor(t), uniqueJob(c))
	wantFailure(t, f, raw, events.PermissionDenied, "refuses the login")
	wantNothingLeft(t, w)
}

func TestFault_UnreachableServerIsUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f, raw := attempted(t, w.executor(t), uniqueJob(events.InstanceConfig{Address: filepath.Join(w.dir, ".s.PGSQL.5432"), User: "nobody"}))
	wantFailure(t, f, raw, events.ProviderUnavailable, "cannot be reached")
	if !f.Retryable {
		t.Error("it may come back")
	}
	wantNothingLeft(t, w)
}

func TestFault_UnknownDatabaseIsNotFound(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	j := uniqueJob(config(s))
	j.Database = "absent"
	f, raw := attempted(t, w.executor(t), j)
	wantFailure(t, f, raw, events.NotFound, "no such database")
	wantNothingLeft(t, w)
}

func TestFault_MissingRightsAreCountedAndTheGrantMendsThem(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE secret_one (a int)`, `CREATE TABLE secret_two (a serial)`)
	user := unique("user")
	s.CreateUser(t, user, canary)
	c := config(s, source)
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, canary)
	x := w.executor(t)
	f, raw := attempted(t, x, uniqueJob(c))
	wantFailure(t, f, raw, events.PermissionDenied, "3 of the tables and sequences cannot be read")
	if !strings.Contains(f.Message, "pg_read_all_data") || strings.Contains(raw.Error(), "secret_") {
		t.Errorf("message %q", f.Message)
	}
	wantNothingLeft(t, w)
	s.Exec(t, source, "GRANT pg_read_all_data TO "+ident(user))
	take(t, x, uniqueJob(c))
}

func TestFault_RowLevelSecurityIsPermissionDeniedAndNotAnIncompleteCopy(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE guarded (who text)`, `ALTER TABLE guarded ENABLE ROW LEVEL SECURITY`)
	user := unique("user")
	s.CreateUser(t, user, canary, "IN ROLE pg_read_all_data")
	c := config(s, source)
	c.User, c.CredentialRef = user, credentialFile(t, canary)
	x := w.executor(t)
	f, raw := attempted(t, x, uniqueJob(c))
	wantFailure(t, f, raw, events.PermissionDenied, "BYPASSRLS")
	wantNothingLeft(t, w)
	s.Exec(t, source, "ALTER ROLE "+ident(user)+" BYPASSRLS")
	take(t, x, uniqueJob(c))
}

func TestFault_ServerKilledInTheMiddleIsUnavailableAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", bigTable, `INSERT INTO big SELECT * FROM big`, `INSERT INTO big SELECT * FROM big`)
	x := w.executor(t)
	halted, goOn := pause(x)
	ref, err := x.Start(t.Context(), uniqueJob(config(s, "shop")))
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	s.Kill()
	close(goOn)
	wantFailed(t, x, ref, events.ProviderUnavailable, "went away")
	wantNothingLeft(t, w)
}

// pause halts the first report of bytes until goOn is closed.
func pause(x *running) (halted, goOn chan struct{}) {
	halted, goOn = make(chan struct{}), make(chan struct{})
	first := true
	x.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.BytesDone > 0 && first {
			first = false
			close(halted)
			select {
			case <-goOn:
			case <-ctx.Done():
			}
		}
	}
	return halted, goOn
}

func wantFailed(t testing.TB, x *running, ref executor.Ref, code events.Code, text string) {
	t.Helper()
	p := executortest.Finish(t, x, ref)
	var f *events.Failure
	if !errors.As(p.Err, &f) {
		t.Fatalf("want a failure, got %v", p.Err)
	}
	wantFailure(t, f, p.Err, code, text)
}

// children are this process's children of that name.
func childrenNamed(t testing.TB, name, having string) (all []int) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) == 0 {
			continue
		}
		program, _, _ := strings.Cut(string(b), "\x00")
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if filepath.Base(program) == name && strings.Contains(string(b)+string(environ), having) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			all = append(all, pid)
		}
	}
	return all
}

func TestFault_DumpProgramKilledInTheMiddleIsOneFailure(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bigTable, `INSERT INTO big SELECT * FROM big`, `INSERT INTO big SELECT * FROM big`)
	x := w.executor(t)
	halted, goOn := pause(x)
	j := uniqueJob(config(s, source))
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	pids := childrenNamed(t, "pg_dump", j.BackupID+"-")
	if len(pids) != 1 {
		t.Fatalf("dump programs %v", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	wantFailed(t, x, ref, events.Internal, "was killed")
	wantNothingLeft(t, w)
	if n := sessions(t, s, j); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestFault_MissingToolIsRejectedAndNamed(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	set := w.settings()
	set.Programs = tool.Programs{"pg_dump": filepath.Join(w.dir, "absent", "pg_dump")}
	f, raw := attempted(t, opened(t, set), uniqueJob(config(s, "postgres")))
	wantFailure(t, f, raw, events.ProviderRejected, "pg_dump")
	wantNothingLeft(t, w)
}

func TestFault_OldToolIsRejectedBeforeTheServerHasWork(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	old := filepath.Join(w.dir, "pg_dump")
	script := "#!/bin/sh\n[ \"$1\" = --version ] || touch " + filepath.Join(w.dir, "was-run") + "\necho 'pg_dump (PostgreSQL) 11.22'\n"
	if err := os.WriteFile(old, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	set := w.settings()
	set.Programs = tool.Programs{"pg_dump": old}
	f, raw := attempted(t, opened(t, set), uniqueJob(config(s, "postgres")))
	wantFailure(t, f, raw, events.ProviderRejected, "older than the server")
	if _, err := os.Stat(filepath.Join(w.dir, "was-run")); err == nil {
		t.Error("the old tool was run")
	}
	wantNothingLeft(t, w)
}

func TestFault_ServerWithoutDatabasesHasNothingToBackUp(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.Exec(t, "template1", "DROP DATABASE postgres")
	f, raw := attempted(t, w.executor(t), uniqueJob(config(s)))
	wantFailure(t, f, raw, events.ProviderRejected, "nothing to back up")
	wantNothingLeft(t, w)
}

func TestFault_TooFewConnectionsAreUnavailableBeforeTheToolRuns(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "max_connections=20", "superuser_reserved_connections=2"), newWorld(t)
	user := unique("user")
	s.CreateUser(t, user, canary, "IN ROLE pg_read_all_data")
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`)
	c := config(s, source)
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, canary)
	ran := filepath.Join(w.dir, "ran")
	x := wrapped(t, w, "touch "+ran+`; exec $real "$@"`)
	reserved := value[int](t, s, "postgres", `SELECT 2 + coalesce(current_setting('reserved_connections', true)::int, 0)`)
	watch := s.DB(t, "postgres")
	hold := func(free int) { // connections that the user can open
		t.Helper()
		for {
			var used int
			if err := watch.QueryRow(t.Context(), `SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'`).Scan(&used); err != nil {
				t.Fatal(err)
			}
			if used >= 20-reserved-free {
				return
			}
			_ = s.DB(t, "postgres")
		}
	}
	hold(needed)
	take(t, x, uniqueJob(c))
	if err := os.Remove(ran); err != nil {
		t.Fatal(err)
	}
	whole := w.left(t)
	for free := needed - 1; free >= 0; free-- {
		eventually(t, "the sessions before are gone", func() bool {
			var n int
			return watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE usename = $1`, user).Scan(&n) == nil && n == 0
		})
		hold(free)
		f, raw := attempted(t, x, uniqueJob(c))
		wantFailure(t, f, raw, events.ProviderUnavailable, "max_connections")
		if !f.Retryable {
			t.Error("there may be some again")
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("with %d left the tool was run", free)
		}
		if left := w.left(t); !slices.Equal(left, whole) {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestFault_ARoleWithTooFewConnectionsIsUnavailableBeforeTheToolRuns(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	user := unique("user")
	s.CreateUser(t, user, canary, "IN ROLE pg_read_all_data")
	c := config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, canary)
	ran := filepath.Join(w.dir, "ran")
	x := wrapped(t, w, "touch "+ran+`; exec $real "$@"`)
	limit := func(n int) {
		t.Helper()
		s.Exec(t, "postgres", fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", user, n))
	}
	for n := 1; n < needed; n++ {
		limit(n)
		f, raw := attempted(t, x, uniqueJob(c))
		wantFailure(t, f, raw, events.ProviderUnavailable, "CONNECTION LIMIT")
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("with %d the tool was run", n)
		}
		wantNothingLeft(t, w)
	}
	limit(needed)
	take(t, x, uniqueJob(c))
}

func TestFault_ADatabaseWithTooFewConnectionsIsUnavailableBeforeTheToolRuns(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	user := unique("user")
	s.CreateUser(t, user, canary, "IN ROLE pg_read_all_data")
	c := config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))
	name := c.Databases[0]
	ran := filepath.Join(w.dir, "ran")
	x := wrapped(t, w, "touch "+ran+`; exec $real "$@"`)
	limit := func(n int) {
		t.Helper()
		s.Exec(t, "postgres", fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", name, n))
	}
	limit(needed - 1)
	take(t, x, uniqueJob(c)) // a superuser has no such limit
	if err := os.Remove(ran); err != nil {
		t.Fatal(err)
	}
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, canary)
	f, raw := attempted(t, x, uniqueJob(c))
	wantFailure(t, f, raw, events.ProviderUnavailable, "CONNECTION LIMIT")
	if !strings.Contains(f.Message, name) || !f.Retryable {
		t.Errorf("failure %+v", f)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the tool was run")
	}
	limit(needed)
	take(t, x, uniqueJob(c))
}

func TestSecrets_PasswordIsNeitherSeenNorStored(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bigTable)
	user := unique("user")
	s.CreateUser(t, user, canary, "IN ROLE pg_read_all_data")
	c := config(s, source)
	c.Address, c.User, c.CredentialRef = s.TCP, user, credentialFile(t, canary)
	x := w.executor(t)
	halted, goOn := pause(x)
	j := uniqueJob(c)
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	pids := childrenNamed(t, "pg_dump", j.BackupID+"-")
	if len(pids) != 1 {
		t.Fatalf("dump programs %v", pids)
	}
	for _, file := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pids[0], file))
		if err != nil {
			t.Fatal(err)
		}
		executortest.Unseen(t, file, b)
		if file == "environ" && strings.Count(string(b), "\x00PG") != 2 {
			t.Errorf("environment %q", b)
		}
	}
	close(goOn)
	p := executortest.Finish(t, x, ref)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	doc, err := os.ReadFile(filepath.Join(w.folder(*p.Outcome.Ref), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	executortest.Unseen(t, "the manifest", doc)
}
