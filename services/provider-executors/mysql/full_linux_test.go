package mysql_test

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

func TestFull_StorageOfAnEncryptedDumpFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	executortest.SmallDisk(t, w.store)
	key, recipient := identity(t)
	w.identities = key
	j, _, user := w.own(t, manyRows) // of noise, which no compression makes small
	j.Config.EncryptTo = []string{recipient}
	for _, proof := range []events.Proof{events.ProofStored, events.ProofRestored} {
		j.Proof = proof
		if f := w.failed(t, j, events.StorageFull, nothing); !f.Retryable || !strings.Contains(f.Message, "free space") {
			t.Errorf("failure %+v", f)
		}
		w.wantNoSession(t, user)
	}
}

func TestFull_StorageOfAPhysicalCopyFailsItAndKeepsNothing(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fill(t, w.srv, database(t, w.srv), manyRows)
	executortest.SmallDisk(t, w.store)
	if f := w.failed(t, j, events.StorageFull, nothing); !f.Retryable || !strings.Contains(f.Message, "free space") {
		t.Errorf("failure %+v", f)
	}
	w.wantNoSession(t, j.Config.User)
}
