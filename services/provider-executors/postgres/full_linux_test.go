package postgres

import (
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// noise is a table that no compression makes small.
const noise = `CREATE TABLE noise AS SELECT gen_random_uuid() AS a, gen_random_uuid() AS b FROM generate_series(1, 100000)`

func TestFull_StorageOfAnEncryptedDumpFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	executortest.SmallDisk(t, w.store)
	set := w.settings()
	key, recipient := identity(t)
	set.Identities = key
	source := freshDB(t, s, noise)
	for _, proof := range []events.Proof{events.ProofStored, events.ProofRestored} {
		j := encryptedJob(config(s, source), recipient)
		j.Proof = proof
		f, raw := attempted(t, opened(t, set), j)
		wantFailure(t, f, raw, events.StorageFull, "free space")
		if !f.Retryable {
			t.Error("there may be room again")
		}
		wantNothingLeft(t, w)
		if n := sessions(t, s, j); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	}
}

func TestFull_StorageOfAPhysicalCopyFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.Exec(t, "postgres", noise)
	executortest.SmallDisk(t, w.store)
	j := physicalJob(s)
	f, raw := attempted(t, w.executor(t), j)
	wantFailure(t, f, raw, events.StorageFull, "free space")
	wantNothingLeft(t, w)
	eventually(t, "its sessions are gone", func() bool { return sessions(t, s, j) == 0 })
}
