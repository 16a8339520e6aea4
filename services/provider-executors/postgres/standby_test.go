package postgres

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

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
