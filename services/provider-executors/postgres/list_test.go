package postgres

import (
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

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
