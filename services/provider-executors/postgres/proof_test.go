package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// wrapped is an executor whose pg_dump is the real one in a script: $real stands for it.
func wrapped(t testing.TB, w world, line string) *running {
	t.Helper()
	e, err := start(t.Context(), w.settings())
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.engine.program(t.Context(), "pg_dump", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(w.dir, "pg_dump")
	text := "#!/bin/sh\nreal=" + p.path + "\n[ \"$1\" = --version ] && exec $real --version\n" + line + "\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	set := w.settings()
	set.Programs = tool.Programs{"pg_dump": script}
	return opened(t, set)
}

func TestProof_TornDumpOfAToolThatEndedWellIsCorrupt(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bigTable)
	for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
		j := uniqueJob(config(s, source))
		j.Proof = proof
		f, raw := attempted(t, wrapped(t, w, `$real "$@" | head -c 300000`), j)
		wantFailure(t, f, raw, events.Corrupt, "")
		wantNothingLeft(t, w)
	}
}

func TestProof_DumpWithoutContentIsNoBackup(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	j := uniqueJob(config(s, freshDB(t, s)))
	j.Proof = events.ProofStored
	f, raw := attempted(t, wrapped(t, w, `exit 0`), j)
	wantFailure(t, f, raw, events.Internal, "wrote no dump")
	wantNothingLeft(t, w)
}

func TestProof_RestoredFindsMissingRowsThatCheckedCannotSee(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 1 AS id`)
	x := wrapped(t, w, `exec $real "$@" --exclude-table-data=a`)
	j := uniqueJob(config(s, source))
	take(t, x, j)
	if err := os.RemoveAll(w.store); err != nil {
		t.Fatal(err)
	}
	j.BackupID, j.Proof = unique("bk"), events.ProofRestored
	f, raw := attempted(t, x, j)
	wantFailure(t, f, raw, events.Corrupt, "1 tables")
	wantNothingLeft(t, w)
}

func TestProof_ScratchFolderBehindAClosedFolderIsRejectedClearly(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
			t.Fatal("only root hands its scratch folder to another account")
		}
		t.Skip("only root hands its scratch folder to another account")
	}
	s, w := server1(t), newWorld(t)
	closed := filepath.Join(w.dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	set := w.settings()
	set.Scratch = filepath.Join(closed, "one", "scratch")
	j := uniqueJob(config(s, freshDB(t, s)))
	j.Proof = events.ProofRestored
	f, raw := attempted(t, opened(t, set), j)
	wantFailure(t, f, raw, events.ProviderRejected, "setting scratch")
	wantNothingLeft(t, w)
}

func TestProof_ScratchFolderWithALongPathWorks(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	set := w.settings()
	set.Scratch = filepath.Join(w.dir, strings.Repeat("long", 30), "scratch")
	if err := os.Mkdir(filepath.Dir(set.Scratch), 0o755); err != nil {
		t.Fatal(err)
	}
	j := uniqueJob(config(s, freshDB(t, s)))
	j.Proof = events.ProofRestored
	take(t, opened(t, set), j)
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "bb-*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestProof_OfALaterRequestLoadsACopyWhoseRowsWereNotCounted(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	j := uniqueJob(config(s, freshDB(t, s, bigTable)))
	o := take(t, x, j)
	if n, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored); err != nil || n.Bytes != o.SizeBytes {
		t.Errorf("%+v, %v", n, err)
	}
	flip(t, dumpFile(t, w, *o.Ref))
	_, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	executortest.WantCode(t, err, events.Corrupt)
}

func TestCancel_OfARestoreProofStopsTheScratchServer(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF current_user = ''`+scratchUser+`'' THEN PERFORM pg_sleep(60); END IF; RETURN $1; END'`,
		`CREATE TABLE a AS SELECT 1 AS id`, `CREATE INDEX ON a (slow(id))`)
	x := w.executor(t)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the scratch server builds the index", func() bool { return len(childrenNamed(t, "pg_restore", w.scratch)) == 1 })
	if remains, err := x.Cancel(t.Context(), ref); err != nil || remains {
		t.Errorf("cancel: remains %v, %v", remains, err)
	}
	wantNothingLeft(t, w)
	eventually(t, "the scratch server is gone", func() bool { return len(childrenNamed(t, "postgres", w.scratch)) == 0 })
}
