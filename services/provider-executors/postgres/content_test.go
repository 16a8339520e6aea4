package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

func TestBackup_DropAndAlterWaitForTheDumpWhichHoldsTheTable(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bigTable, `CREATE TABLE doomed AS SELECT 7 AS a`, `CREATE TABLE changed AS SELECT 8 AS a`)
	x := w.executor(t)
	halted, goOn := pause(x)
	ref, err := x.Start(t.Context(), uniqueJob(config(s, source)))
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	done := make(chan error, 2)
	for _, statement := range []string{`DROP TABLE doomed`, `ALTER TABLE changed ADD COLUMN b int`} {
		c := s.DB(t, source)
		go func() { _, err := c.Exec(t.Context(), statement); done <- err }()
	}
	eventually(t, "both wait for the dump", func() bool {
		return value[int](t, s, source, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 2
	})
	close(goOn)
	p := executortest.Finish(t, x, ref)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	target := unique("restored")
	executortest.Restore(t, x, uniqueRestore(p.Outcome, config(s), target))
	if n := value[int](t, s, target, `SELECT d.a + c.a FROM doomed d, changed c`); n != 15 {
		t.Errorf("restored %d", n)
	}
}

func TestBackup_BytesThatAreNotUTF8ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := unique("ascii")
	s.CreateDatabase(t, source, "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	s.Exec(t, source, `CREATE TABLE raw (b text)`, `INSERT INTO raw VALUES (E'\xff\xfe tail')`, `DO $$ BEGIN EXECUTE E'CREATE TABLE "t\xff" (a int)'; END $$`)
	x := w.executor(t)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	target := unique("restored")
	executortest.Restore(t, x, uniqueRestore(o, config(s), target))
	if got := value[string](t, s, target, `SELECT encode(b::bytea, 'hex') || current_setting('server_encoding') FROM raw`); got != "fffe207461696cSQL_ASCII" {
		t.Errorf("restored %s", got)
	}
}

func TestBackup_OfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	x := w.executor(t)
	o := take(t, x, j)
	if tables := manifest(t, x, *o.Ref).Objects[1].Tables; len(tables) != 0 {
		t.Errorf("tables %v", tables)
	}
	target := unique("restored")
	s.CreateDatabase(t, target) // empty: is replaced without being asked
	executortest.Restore(t, x, uniqueRestore(o, config(s), target))
}

// many makes tables, a hundred in a transaction.
func many(n int) []string {
	var all []string
	for from := 1; from <= n; from += 100 {
		all = append(all, fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE 'CREATE TABLE t' || i || ' (a int)'; END LOOP; END $$`, from, min(n, from+99)))
	}
	return all
}

func TestBackup_OfTenThousandTables(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, many(10000)...)
	s.Exec(t, source, `INSERT INTO t7777 VALUES (1)`)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	x := w.executor(t)
	began := time.Now()
	o := take(t, x, j)
	t.Logf("dumped and loaded in %v", time.Since(began))
	began = time.Now()
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofChecked)
	t.Logf("checked in %v", time.Since(began))
	wantLoaded(t, found.Evidence, err, 0, 0, false)
	content := manifest(t, x, *o.Ref).Objects[1].Content
	if len(content.Tables) != 10000 || len(content.Checksums) != 10000 || content.Tables["public.t7777"] != 1 {
		t.Errorf("%d tables, %d checksums", len(content.Tables), len(content.Checksums))
	}
}

func TestFault_TooFewLocksAreRejectedWithTheSettingToRaise(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t, "max_locks_per_transaction=10", "max_connections=10"), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", many(4000)...)
	for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
		j := uniqueJob(config(s, "shop"))
		j.Proof = proof
		f, raw := attempted(t, w.executor(t), j)
		wantFailure(t, f, raw, events.ProviderRejected, "max_locks_per_transaction")
	}
	wantNothingLeft(t, w)
}
