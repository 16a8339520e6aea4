package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

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
	executortest.Restore(t, x, r)
	left := executor.RestoreJob{RestoreID: unique("rs"), Target: config(s)}
	s.Exec(t, "postgres", "ALTER DATABASE "+ident(target)+" RENAME TO "+ident(stageName(left, "new", 0)))
	if err := x.RecoverRestore(t.Context(), left); err != nil {
		t.Error(err)
	}
	wantNoStage(t, s, left)
}
