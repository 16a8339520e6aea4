package postgres

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// standbyOf starts a standby that follows primary.
func standbyOf(t testing.TB, primary *postgrestest.Server, w world, x *running) *postgrestest.Server {
	t.Helper()
	o := take(t, x, physicalJob(primary))
	home := filepath.Join(w.dir, "standby")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	giveToServer(t, primary, home)
	data := filepath.Join(home, "data")
	executortest.Restore(t, x, uniqueRestore(o, events.InstanceConfig{DataDir: data}, ""))
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
	return standby
}

func TestPhysical_StandbyIsProvenByRecovery(t *testing.T) {
	t.Parallel()
	primary, w := postgrestest.Start(t, "full_page_writes=on", "autovacuum=off"), newWorld(t)
	primary.Exec(t, "postgres", bigTable)
	x := w.executor(t)
	j := physicalJob(standbyOf(t, primary, w, x))
	j.Proof = events.ProofRestored
	take(t, x, j)
}

func TestLogical_StandbyHasUnloggedTablesWithoutRows(t *testing.T) {
	t.Parallel()
	primary, w := postgrestest.Start(t, "full_page_writes=on", "autovacuum=off"), newWorld(t)
	primary.CreateDatabase(t, "shop")
	primary.Exec(t, "shop", people, `CREATE UNLOGGED TABLE fast AS SELECT g AS id FROM generate_series(1, 7) g`,
		`CREATE UNLOGGED TABLE price (m money)`, `INSERT INTO price VALUES (1)`)
	x := w.executor(t)
	standby := standbyOf(t, primary, w, x)
	j := uniqueJob(config(standby, "shop"))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 3, 100, false) // that with money has no checksum
	content := manifest(t, x, *o.Ref).Objects[1].Content
	if n, ok := content.Tables["public.fast"]; !ok || n != 0 || content.Checksums["public.fast"] == "" || content.Checksums["public.price"] != "" {
		t.Errorf("the copy holds %v", content)
	}

	j = uniqueJob(config(primary, "shop"))
	j.Proof = events.ProofRestored
	o = take(t, x, j)
	found, err = x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 3, 108, false)
}
