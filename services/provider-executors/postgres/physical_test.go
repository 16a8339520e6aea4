package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// openQuiet starts a second server, which nobody writes to: its files are copied whole.
var openQuiet = sync.OnceValue(func() shared {
	s, err := postgrestest.Run(context.Background(), sharedDir)
	return shared{s, err}
})

func quiet(t testing.TB) *postgrestest.Server {
	t.Helper()
	return common(t, openQuiet())
}

func physicalJob(s *postgrestest.Server) executor.Job {
	c := config(s)
	c.Method = events.MethodPhysical
	return uniqueJob(c)
}

func TestPhysical_BusyServerIsProvenByRecoveryAndStartsWhereItIsRestored(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", bankLeft, bankRight, journal, bigTable)
	stop := transfer(t, s, "shop")
	x := w.executor(t)
	j := physicalJob(s)
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	if moved := stop(); moved < 10 {
		t.Fatalf("only %d transfers ran beside the backup", moved)
	}
	if m := manifest(t, x, *o.Ref); o.Kind != "PHYSICAL" || m.Position == "" || m.Fingerprint == "" || len(m.Objects) != 1 {
		t.Errorf("outcome %+v, manifest %+v", o, m)
	}
	eventually(t, "its sessions are gone", func() bool { return sessions(t, s, j) == 0 })

	home := filepath.Join(w.dir, "restored")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	giveToServer(t, s, home)
	data := filepath.Join(home, "data")
	restore := uniqueRestore(o, events.InstanceConfig{DataDir: data}, "")
	executortest.Restore(t, x, restore)
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	restored, err := postgrestest.Open(t.Context(), home, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restored.Stop(); err != nil {
			t.Error(err)
		}
	})
	if sum := value[int](t, restored, "shop", bankSum); sum != wealth {
		t.Errorf("the copy holds %d, want %d", sum, wealth)
	}

	_, err = x.Restore(t.Context(), restore)
	executortest.WantCode(t, err, events.AlreadyExists)
	restore.Overwrite = true
	_, err = x.Restore(t.Context(), restore)
	executortest.WantCode(t, err, events.AlreadyExists)
	there, err := os.ReadDir(home)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if strings.HasPrefix(f.Name(), "._backupbus") {
			t.Errorf("%s is left", f.Name())
		}
	}
}

// giveToServer gives a folder to the account that runs s.
func giveToServer(t testing.TB, s *postgrestest.Server, dir string) {
	t.Helper()
	if owner := ownerOf(s.Dir); owner != nil {
		if err := os.Chown(dir, int(owner.UID), int(owner.GID)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPhysical_DamagedCopyIsCorruptAndRestoresNothing(t *testing.T) {
	t.Parallel()
	s, w := quiet(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, physicalJob(s))
	flip(t, filepath.Join(w.folder(*o.Ref), "base.tar.zst"))
	data := filepath.Join(w.dir, "data")
	_, err := x.Restore(t.Context(), uniqueRestore(o, events.InstanceConfig{DataDir: data}, ""))
	executortest.WantCode(t, err, events.Corrupt)
	if _, err := os.Stat(data); err == nil {
		t.Error("something was restored")
	}
	_, err = x.Verify(t.Context(), physicalJob(s), *o.Ref, o.Checksum, events.ProofChecked)
	executortest.WantCode(t, err, events.Corrupt)
}

func TestPhysical_FilesThatDifferFromTheServersManifestAreCorrupt(t *testing.T) {
	t.Parallel()
	label, doc := seen{3, "abc"}, func(size string) []byte {
		body := `{"Files": [{"Path": "backup_label", "Size": ` + size + `, "Checksum-Algorithm": "SHA256", "Checksum": "abc"}], "WAL-Ranges": [{"Timeline": 1}],` + "\n"
		return []byte(body + `"Manifest-Checksum": "` + hexSum([]byte(body)) + `"}`)
	}
	log := seen{16 << 20, ""}
	const segment = "pg_wal/000000010000000000000002"
	for name, c := range map[string]struct {
		files map[string]seen
		doc   []byte
		whole bool
	}{
		"whole":                {map[string]seen{"backup_label": label, segment: log}, doc("3"), true},
		"other size":           {map[string]seen{"backup_label": label, segment: log}, doc("4"), false},
		"other content":        {map[string]seen{"backup_label": {3, "abd"}, segment: log}, doc("3"), false},
		"file missing":         {map[string]seen{segment: log}, doc("3"), false},
		"log missing":          {map[string]seen{"backup_label": label}, doc("3"), false},
		"manifest missing":     {map[string]seen{"backup_label": label, segment: log}, nil, false},
		"manifest cut":         {map[string]seen{"backup_label": label, segment: log}, doc("3")[:40], false},
		"manifest overwritten": {map[string]seen{"backup_label": label, segment: log}, []byte(strings.Replace(string(doc("3")), "Timeline", "timeline", 1)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := compareBase(c.files, c.doc)
			if c.whole && err != nil {
				t.Fatal(err)
			}
			if !c.whole {
				executortest.WantCode(t, err, events.Corrupt)
			}
		})
	}
}

func TestPhysical_WhatCannotBeCopiedIsRejectedFirst(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	x := w.executor(t)

	j := physicalJob(s)
	j.Database = "postgres"
	f, raw := attempted(t, x, j)
	wantFailure(t, f, raw, events.ProviderRejected, "LOGICAL")

	s.CreateUser(t, "plain", canary)
	j = physicalJob(s)
	j.Config.Address, j.Config.User, j.Config.CredentialRef = s.TCP, "plain", credentialFile(t, canary)
	f, raw = attempted(t, x, j)
	wantFailure(t, f, raw, events.PermissionDenied, "REPLICATION")
	s.Exec(t, "postgres", "ALTER ROLE plain REPLICATION")
	j.BackupID = unique("bk")
	take(t, x, j)

	space := filepath.Join(s.Dir, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	giveToServer(t, s, space)
	s.Exec(t, "postgres", "CREATE TABLESPACE elsewhere LOCATION '"+space+"'")
	f, raw = attempted(t, x, physicalJob(s))
	wantFailure(t, f, raw, events.ProviderRejected, "tablespaces")
}

func TestPhysical_CancelledCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	s, w := quiet(t), newWorld(t)
	x := w.executor(t)
	halted := stall(x)
	j := physicalJob(s)
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	if remains, err := x.Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	if n := sessions(t, s, j); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	wantNothingLeft(t, w)
}

func TestPhysical_ServerKilledInTheMiddleIsUnavailableAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.Exec(t, "postgres", bigTable)
	x := w.executor(t)
	halted, goOn := pause(x)
	ref, err := x.Start(t.Context(), physicalJob(s))
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	s.Kill()
	close(goOn)
	wantFailed(t, x, ref, events.ProviderUnavailable, "")
	wantNothingLeft(t, w)
}

func TestPhysical_ToolKilledInTheMiddleIsOneFailureAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.Exec(t, "postgres", bigTable)
	x := w.executor(t)
	halted, goOn := pause(x)
	j := physicalJob(s)
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	pids := childrenNamed(t, "pg_basebackup", j.BackupID+"-")
	if len(pids) == 0 {
		t.Fatal("no copying program")
	}
	for _, pid := range pids { // one copies the files, one the log
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	wantFailed(t, x, ref, events.Internal, "was killed")
	wantNothingLeft(t, w)
	eventually(t, "its sessions and its slot are gone", func() bool {
		return sessions(t, s, j) == 0 && value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_replication_slots`) == 0
	})
}

func TestPhysical_RestoreStaysBelowTheAllowedFolders(t *testing.T) {
	t.Parallel()
	s, w := quiet(t), newWorld(t)
	set := w.settings()
	set.DataRoots = []string{filepath.Join(w.dir, "allowed")}
	if err := os.Mkdir(set.DataRoots[0], 0o700); err != nil {
		t.Fatal(err)
	}
	x := opened(t, set)
	o := take(t, x, physicalJob(s))
	_, err := x.Restore(t.Context(), uniqueRestore(o, events.InstanceConfig{DataDir: filepath.Join(set.DataRoots[0], "..", "data")}, ""))
	executortest.WantCode(t, err, events.PermissionDenied)
	if _, err := x.Restore(t.Context(), uniqueRestore(o, events.InstanceConfig{DataDir: filepath.Join(set.DataRoots[0], "data")}, "")); err != nil {
		t.Error(err)
	}
}

func TestPhysical_RestoresIntoAnEmptyFolder(t *testing.T) {
	t.Parallel()
	s, w := quiet(t), newWorld(t)
	x := w.executor(t)
	o := take(t, x, physicalJob(s))
	data := filepath.Join(w.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	executortest.Restore(t, x, uniqueRestore(o, events.InstanceConfig{DataDir: data}, ""))
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		t.Error(err)
	}
}

func TestPhysical_LogIsKeptWhileTheFilesAreCopied(t *testing.T) {
	t.Parallel()
	p, s := writtenOnMeanwhile(t)
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	eventually(t, "the slot is gone", func() bool {
		return value[int](t, s, "postgres", `SELECT count(*)::int FROM pg_replication_slots`) == 0
	})
}

func TestPhysical_LogThatTheServerRemovedMeanwhileIsUnavailableAndNamesTheSetting(t *testing.T) {
	t.Parallel()
	p, _ := writtenOnMeanwhile(t, "max_slot_wal_keep_size=16MB")
	var f *events.Failure
	if !errors.As(p.Err, &f) {
		t.Fatalf("want a failure, got %v", p.Err)
	}
	wantFailure(t, f, p.Err, events.ProviderUnavailable, "wal_keep_size")
}

// writtenOnMeanwhile is the end of a copy during which more log is written than a server keeps of itself.
func writtenOnMeanwhile(t *testing.T, more ...string) (executor.Progress, *postgrestest.Server) {
	t.Helper()
	s, w := postgrestest.Start(t, append(more, "max_wal_size=32MB", "min_wal_size=32MB")...), newWorld(t)
	s.Exec(t, "postgres", bigTable)
	x := w.executor(t)
	halted, goOn := pause(x)
	ref, err := x.Start(t.Context(), physicalJob(s))
	if err != nil {
		t.Fatal(err)
	}
	<-halted
	for range 3 {
		s.Exec(t, "postgres", `INSERT INTO big SELECT * FROM big LIMIT 100000`, `SELECT pg_switch_wal()`, `CHECKPOINT`, `CHECKPOINT`)
	}
	close(goOn)
	p := executortest.Finish(t, x, ref)
	if p.Err != nil {
		wantNothingLeft(t, w)
	}
	return p, s
}
