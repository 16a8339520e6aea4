package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

func TestPhysical_RestoresIntoAnEmptyFolder(t *testing.T) {
	t.Parallel()
	s, w := quiet(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, physicalJob(s))
	data := filepath.Join(w.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Restore(t.Context(), uniqueRestore(o, events.InstanceConfig{DataDir: data}, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		t.Error(err)
	}
}

func TestPhysical_StandbyIsProvenByRecovery(t *testing.T) {
	t.Parallel()
	primary, w := postgrestest.Start(t, "full_page_writes=on", "autovacuum=off"), newWorld(t)
	primary.Exec(t, "postgres", bigTable)
	x := w.executor(t)
	o := take(t, x, physicalJob(primary))
	home := filepath.Join(w.dir, "standby")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	giveToServer(t, primary, home)
	data := filepath.Join(home, "data")
	if _, err := x.Restore(t.Context(), uniqueRestore(o, events.InstanceConfig{DataDir: data}, "")); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	giveToServer(t, primary, signal)
	_, port, err := net.SplitHostPort(primary.TCP)
	if err != nil {
		t.Fatal(err)
	}
	standby, err := postgrestest.Open(t.Context(), home, data, "primary_conninfo=host="+filepath.Dir(primary.Address)+" port="+port+" user=postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	if !value[bool](t, standby, "postgres", `SELECT pg_is_in_recovery()`) {
		t.Fatal("it is no standby")
	}
	j := physicalJob(standby)
	j.Proof = events.ProofRestored
	take(t, x, j)
}

func TestFingerprint_IsOlderThanEverythingInTheCopy(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	x := w.executor(t)
	j := uniqueJob(config(s))
	source, err := x.engine.Prepare(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	s.CreateUser(t, "newcomer", "x")
	s.CreateDatabase(t, "made_meanwhile")
	for _, p := range source.Parts() {
		if _, err := p.Stream(t.Context(), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	now, err := x.engine.Fingerprint(t.Context(), j)
	if about := source.About(); err != nil || now == "" || about.Fingerprint == "" || now == about.Fingerprint {
		t.Errorf("the copy says %q, the server %q, %v", about.Fingerprint, now, err)
	}
}

func TestFingerprint_MovesWithWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "autovacuum=off"), newWorld(t)
	s.CreateDatabase(t, "a")
	s.CreateDatabase(t, "b")
	x := w.executor(t)
	physical := config(s)
	physical.Method = events.MethodPhysical
	seen := map[string]string{}
	for name, c := range map[string]events.InstanceConfig{
		"a": config(s, "a"), "a and b": config(s, "a", "b"), "all by name": config(s, "a", "b", "postgres"), "whole": config(s), "files": physical,
	} {
		f, err := x.engine.Fingerprint(t.Context(), uniqueJob(c))
		if err != nil || f == "" {
			t.Fatalf("%s: %q, %v", name, f, err)
		}
		if other := seen[f]; other != "" {
			t.Errorf("%s and %s have the same", name, other)
		}
		seen[f] = name
	}
	logical := config(s, "b", "a")
	logical.Method = events.MethodLogical
	if f, err := x.engine.Fingerprint(t.Context(), uniqueJob(logical)); err != nil || seen[f] != "a and b" {
		t.Errorf("the same in other words is %q, %v", seen[f], err)
	}
}

func TestRecoverRestore_KeepsAReplacedDatabaseThatWasFilledMeanwhile(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	j := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s), Database: freshDB(t, s)}
	for i, statement := range []string{`CREATE TABLE late AS SELECT 7 AS id`, `SELECT 1`} {
		s.CreateDatabase(t, stageName(j, "old", i))
		s.Exec(t, stageName(j, "old", i), statement)
	}
	err := x.RecoverRestore(t.Context(), j)
	executortest.WantCode(t, err, events.AlreadyExists)
	wantNoStage(t, s, j)
	if id := value[int](t, s, keptPrefix+j.RestoreID+"_0", `SELECT id FROM late`); id != 7 {
		t.Errorf("kept %d", id)
	}
	if err := x.RecoverRestore(t.Context(), j); err != nil {
		t.Error(err)
	}
	if n := value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_database WHERE starts_with(datname, $1)`, keptPrefix+j.RestoreID); n != 1 {
		t.Errorf("%d are kept", n)
	}
	s.Exec(t, "postgres", "DROP DATABASE "+ident(keptPrefix+j.RestoreID+"_0"))
}

func TestRestore_NamesWhatHoldsTheTargetBeforeLoading(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "max_prepared_transactions=5"), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	for text, c := range map[string]struct{ hold, release string }{
		"PREPARED":     {`BEGIN; CREATE TABLE p (); PREPARE TRANSACTION 'p'`, `ROLLBACK PREPARED 'p'`},
		"SUBSCRIPTION": {`CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)`, `DROP SUBSCRIPTION s`},
	} {
		target := freshDB(t, s, c.hold)
		j := uniqueRestore(o, config(s), target)
		j.Overwrite = true
		_, err := x.Restore(t.Context(), j)
		executortest.WantCode(t, err, events.ProviderRejected)
		if !strings.Contains(fmt.Sprint(err), text) {
			t.Error(err)
		}
		left := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s), Overwrite: true}
		s.Exec(t, target, c.release)
		s.CreateDatabase(t, stageName(left, "old", 0))
		s.Exec(t, stageName(left, "old", 0), c.hold)
		err = x.RecoverRestore(t.Context(), left) // ends, and says why
		executortest.WantCode(t, err, events.ProviderRejected)
		s.Exec(t, stageName(left, "old", 0), c.release)
		if err := x.RecoverRestore(t.Context(), left); err != nil {
			t.Error(err)
		}
		wantNoStage(t, s, left)
	}
}

func TestRestore_CopyWithASubscriptionIsProvenAndLeavesNothingWhenItFails(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	const subscription = `CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)`
	x := w.executor(t)
	j := uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`, subscription)))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	target := unique("target")
	r := uniqueRestore(o, config(s), target)
	if _, err := x.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	left := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s)}
	s.Exec(t, "postgres", "ALTER DATABASE "+ident(target)+" RENAME TO "+ident(stageName(left, "new", 0)))
	if err := x.RecoverRestore(t.Context(), left); err != nil {
		t.Error(err)
	}
	wantNoStage(t, s, left)
}

func TestFailure_OnlyDamageIsCorrupt(t *testing.T) {
	t.Parallel()
	of := func(state string) error {
		return scratchFailure(failure("count", &pgconn.PgError{Code: state}), "damaged")
	}
	exit := func(status int, said string) error {
		return fmt.Errorf("load: %w", &tool.ExitError{Program: "pg_restore", Result: tool.Result{Exit: status, Stderr: said}})
	}
	for name, c := range map[string]struct {
		err  error
		code events.Code
	}{
		"damaged page":      {of("XX001"), events.Corrupt},
		"file missing":      {of("58P01"), events.Corrupt},
		"scratch disk full": {of("53100"), events.StorageFull},
		"no memory":         {of("53200"), events.Internal},
		"server stopped":    {of("57P01"), events.Internal},
		"session lost":      {scratchFailure(failure("count", io.ErrUnexpectedEOF), "damaged"), events.Internal},

		"recovery gave up":   {recoveryFailure(exit(1, "FATAL:  could not locate required checkpoint record")), events.Corrupt},
		"recovery panicked":  {recoveryFailure(exit(-1, "PANIC:  could not locate a valid checkpoint record")), events.Corrupt},
		"recovery killed":    {recoveryFailure(exit(-1, "")), events.Internal},
		"recovery disk full": {recoveryFailure(exit(1, "FATAL:  could not write: No space left on device")), events.StorageFull},

		"load in scratch":           {scratchLoadFailure(exit(1, "error: something")), events.Corrupt},
		"load in scratch, full":     {scratchLoadFailure(exit(1, "could not extend file: No space left on device")), events.StorageFull},
		"load in scratch, killed":   {scratchLoadFailure(exit(-1, "")), events.Internal},
		"load in scratch, cut":      {scratchLoadFailure(exit(1, "no connection to the server")), events.ProviderUnavailable},
		"load, fault not known":     {loadFailure(exit(1, "error: something must be positive"), rejected("x")), events.ProviderRejected},
		"load, not the owner":       {loadFailure(exit(1, "ERROR:  must be owner of table a"), rejected("x")), events.PermissionDenied},
		"load, disk of target full": {loadFailure(exit(1, "No space left on device"), rejected("x")), events.StorageFull},
	} {
		var f *events.Failure
		if !errors.As(c.err, &f) || f.Code != c.code {
			t.Errorf("%s: want %s, got %v", name, c.code, c.err)
		}
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		if got := scratchFailure(failure("count", err), "damaged"); isFailure(got) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if err := scratchFull(io.EOF); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

func TestProof_OfALaterRequestComparesTheTablesWithTheDumpsList(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 1 AS id`, `CREATE SCHEMA "two words"`, `CREATE TABLE "two words"."and a table" ()`,
		`CREATE UNLOGGED TABLE fast ()`, `CREATE TABLE whole (id int) PARTITION BY LIST (id)`, `CREATE TABLE piece PARTITION OF whole FOR VALUES IN (1)`,
		`CREATE EXTENSION citext`, `CREATE MATERIALIZED VIEW m AS SELECT 1`, "CREATE TABLE \"two\nlines\" ()", `CREATE TABLE "größe" ()`)
	j := uniqueJob(config(s, source))
	x := w.executor(t)
	o := take(t, x, j)
	if _, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored); err != nil {
		t.Error(err)
	}
	loseRows := wrapped(t, newWorld(t), `exec $real "$@" --exclude-table-data=a`)
	o = take(t, loseRows, j)
	_, err := loseRows.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	executortest.WantCode(t, err, events.Corrupt)
	if n := (tables{"public a": true}).differ("1; 0 1 TABLE DATA public a me\n2; 0 2 TABLE DATA public b me\n"); n != 1 {
		t.Errorf("%d tables differ", n)
	}
}

func TestCreate_NamesTheProviderWhereAnotherCouldBeMeant(t *testing.T) {
	t.Parallel()
	for provider, want := range map[string][2]bool{"c": {false, true}, "": {false, true}, "i": {false, false}} {
		d := database{Name: "a", Encoding: "UTF8", Collate: "C", CType: "C", Provider: provider, Locale: "und"}
		for i, major := range []int{14, 15} {
			if got := strings.Contains(d.create("a", "", major), "LOCALE_PROVIDER libc"); got != want[i] {
				t.Errorf("provider %q on %d: %s", provider, major, d.create("a", "", major))
			}
		}
	}
}

func TestStatements_LoseTheirGrantor(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`GRANT a TO b GRANTED BY c`: `GRANT a TO b`,
		`GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE GRANTED BY "the ""boss"""`: `GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE`,
		`GRANT a TO "x GRANTED BY y"`:                                            `GRANT a TO "x GRANTED BY y"`,
		`COMMENT ON ROLE a IS 'was GRANTED BY him'`:                              `COMMENT ON ROLE a IS 'was GRANTED BY him'`,
	} {
		if got := withoutGrantor(in); got != want {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// TestRestore_CommitWhoseAnswerIsLostIsLookedFor: the server commits, and the session is cut before it says so.
func TestRestore_CommitWhoseAnswerIsLostIsLookedFor(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	target := freshDB(t, s, `CREATE TABLE old ()`)
	c := config(s)
	c.Address = between(t, s, nil)
	j := uniqueRestore(o, c, target)
	j.Overwrite = true
	if _, err := x.Restore(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
	wantNoStage(t, s, j)
}

func TestRestore_TargetThatIsFilledAtTheLastMomentIsKept(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, freshDB(t, s, `CREATE TABLE a AS SELECT 42 AS id`))))
	target := freshDB(t, s)
	c := config(s)
	c.Address = between(t, s, func() { // the engine has looked, and ended the target's sessions
		d, err := s.Connect(t.Context(), target)
		if err == nil {
			_, err = d.Exec(t.Context(), `CREATE TABLE late AS SELECT 7 AS id`)
			err = errors.Join(err, d.Close(t.Context()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	j := uniqueRestore(o, c, target)
	_, err := x.Restore(t.Context(), j)
	executortest.WantCode(t, err, events.AlreadyExists)
	wantNoStage(t, s, j)
	if id := value[int](t, s, target, `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
	kept := keptPrefix + j.RestoreID + "_0"
	if id := value[int](t, s, kept, `SELECT id FROM late`); id != 7 {
		t.Errorf("kept %d", id)
	}
	s.Exec(t, "postgres", "DROP DATABASE "+ident(kept))
}

// between is the address of a way to s on which atBegin runs before a transaction of the engine begins; nil:
// on which its commit is never answered.
func between(t testing.TB, s *postgrestest.Server, atBegin func()) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbcut-")
	if err != nil {
		t.Fatal(err)
	}
	address := filepath.Join(dir, filepath.Base(s.Address))
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", s.Address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go relay(client, server, atBegin)
		}
	}()
	return address
}

func relay(client, server net.Conn, atBegin func()) {
	committing, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer server.Close()
		for b := make([]byte, 64<<10); ; {
			n, err := client.Read(b)
			if atBegin != nil && bytes.Contains(b[:n], []byte("begin\x00")) {
				atBegin()
			}
			if atBegin == nil && bytes.Contains(b[:n], []byte("commit\x00")) {
				close(committing)
				_, _ = server.Write(b[:n])
				<-answered
				return
			}
			if n > 0 {
				_, _ = server.Write(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	defer close(answered)
	defer client.Close()
	for b := make([]byte, 64<<10); ; {
		n, err := server.Read(b)
		select {
		case <-committing:
			return // what was read may be the answer
		default:
		}
		if n > 0 {
			_, _ = client.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}
