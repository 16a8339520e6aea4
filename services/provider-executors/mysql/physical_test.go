package mysql_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// physical is a job on a whole server of its own.
func physical(t *testing.T) (*world, executor.Job) {
	t.Helper()
	for _, name := range []string{"mariadb-backup", "mbstream"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
				t.Fatal(err)
			}
			t.Skipf("%s is not installed", name)
		}
	}
	srv := mysqltest.Start(t, mysqltest.MariaDB, "--log-bin=bin", "--server-id=1")
	w := newWorld(t, srv)
	run(t, srv.Root(), "CREATE DATABASE shop")
	fill(t, srv, "shop", 200)
	j := w.job()
	j.Config.Method = events.MethodPhysical
	j.Config.User = account(t, srv, "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.*")
	return w, j
}

func TestPhysical_ProvenByAServerOnItsFilesAndRestoredToOne(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	j.Proof = events.ProofRestored
	x := w.executor(t)
	o := executortest.Take(t, x, j)
	if o.Kind != "PHYSICAL" || o.Proof != events.ProofRestored {
		t.Errorf("outcome %+v", o)
	}
	before := content(t, w.srv, "shop")
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	if err != nil {
		t.Fatal(err)
	}
	wantEvidence(t, found.Evidence, 1, 200, false)

	dir, err := mysqltest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	target := events.InstanceConfig{DataDir: filepath.Join(dir, "data")}
	if err := os.Mkdir(target.DataDir, 0o755); err != nil { // empty, as a package makes it
		t.Fatal(err)
	}
	target.DataDir += "/"
	w.restore(t, x, o, target, nil)
	executortest.WantCode(t, w.tryRestore(t, x, o, target, func(j *executor.RestoreJob) { j.Overwrite = true }), events.AlreadyExists)
	executortest.WantCode(t, w.tryRestore(t, x, o, events.InstanceConfig{DataDir: "relative"}, nil), events.ProviderRejected)
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	again, err := mysqltest.Adopt(context.Background(), mysqltest.MariaDB, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	if after := content(t, again, "shop"); after != before || before == "" {
		t.Error("content differs")
	}
}

// restoredServer starts a server on the files of a copy.
func (w *world) restoredServer(t *testing.T, x *engine.Executor, o lifecycle.Outcome) *mysqltest.Server {
	t.Helper()
	dir, err := mysqltest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.restore(t, x, o, events.InstanceConfig{DataDir: filepath.Join(dir, "data")}, nil)
	srv, err := mysqltest.Adopt(context.Background(), mysqltest.MariaDB, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	return srv
}

func TestPhysical_InTheMiddleOfTransfersIsOfOneMoment(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fillAccounts(t, w, "shop")
	transfers := transferring(t, w, "shop")
	j.Proof = events.ProofRestored
	at := map[string]int64{} // of each phase: how many transfers there were when it began
	x, done, err := w.open(t.Context(), func(_ context.Context, _ executor.Job, p executor.Progress) {
		if _, told := at[p.Phase]; !told {
			at[p.Phase] = transfers.Load()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	o := executortest.Take(t, x, j)
	// The proof, in which transfers go on, is part of the last phase.
	from, copying := at[events.Copying]
	to, finalizing := at[events.Finalizing]
	if !copying || !finalizing || to <= from {
		t.Errorf("no transfer while the files were copied, the test proves nothing: %v", at)
	}
	if sum := money(t, w.restoredServer(t, x, o), "shop"); sum != allMoney {
		t.Errorf("the money in the copy: %s of %s", sum, allMoney)
	}
}

func TestPhysical_ToolKilledInTheMiddleIsUnavailableAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fill(t, w.srv, database(t, w.srv), manyRows)
	pid := filepath.Join(t.TempDir(), "pid")
	w.replace(t, "mariadb-backup", "echo $$ > "+pid+"\nexec $tool \"$@\"")
	_ = w.failed(t, j, events.ProviderUnavailable, func() {
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
	w.wantNoSession(t, j.Config.User)
}

func TestPhysical_CancelledCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fill(t, w.srv, database(t, w.srv), manyRows)
	x, halted := w.stalled(t)
	ref := start(t, x, j)
	<-halted
	w.cancelled(t, x, j, ref)
	w.wantNoSession(t, j.Config.User)
}

func TestPhysical_OneDatabaseIsRejected(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	j.Database = "shop"
	_ = w.failed(t, j, events.ProviderRejected, nothing)
	j.Database, j.Config.Databases = "", []string{"shop"}
	_ = w.failed(t, j, events.ProviderRejected, nothing)
	j.Config.Databases, j.Config.User = nil, account(t, w.srv, "RELOAD ON *.*")
	_ = w.failed(t, j, events.PermissionDenied, nothing)
}

func TestPhysical_ServerKilledInTheMiddleLeavesNothing(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	fill(t, w.srv, database(t, w.srv), manyRows)
	_ = w.failed(t, j, events.ProviderUnavailable, w.srv.Kill)
	if err := w.srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
