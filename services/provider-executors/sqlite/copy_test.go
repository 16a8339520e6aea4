package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestBackup_EveryPageSizeAndStrangeNames(t *testing.T) {
	t.Parallel()
	for size := 512; size <= 65536; size *= 2 {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			source := w.file("a%20b ?mode=memory&x#y;'é" + strconv.Itoa(size) + ".db")
			fillDB(t, source, 300, "page_size("+strconv.Itoa(size)+")")
			o := executortest.Take(t, w.executor(t), jobOf(source))
			wantIdentical(t, w, o, source)
			m := manifestOf(t, w, o)
			if m.Objects[0].Pages.Size != int64(size) || m.Objects[0].Pages.Count*m.Objects[0].Pages.Size != m.SourceBytes() {
				t.Errorf("manifest %+v", m.Objects[0].Pages)
			}
		})
	}
}

func TestBackup_TenThousandTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("many.db")
	fillDB(t, source, 3)
	db := connect(t, source)
	var all strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&all, "CREATE TABLE t%d (id INTEGER PRIMARY KEY, n INT); INSERT INTO t%d VALUES (1, %d);", i, i, i)
	}
	run(t, db, "BEGIN;"+all.String()+"COMMIT")
	j := jobOf(source)
	j.Proof = events.ProofRestored
	o := executortest.Take(t, w.executor(t), j)
	if o.Proof != events.ProofRestored || o.Evidence.Tables != 10_002 || o.Evidence.Rows != 10_003+10_002 { // and the schema, of tables and an index
		t.Errorf("proof %s, %+v", o.Proof, o.Evidence)
	}
}

func TestBackup_ZeroBytesAreAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source, target := w.file("empty.db"), w.file("restored.db")
	if err := os.WriteFile(source, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := w.executor(t)
	o := executortest.Take(t, e, jobOf(source))
	wantIdentical(t, w, o, source)
	n, err := e.Restore(t.Context(), restoreJob(o, target))
	if err != nil || n != 0 {
		t.Fatalf("restore: %d bytes, %v", n, err)
	}
	if info, err := os.Stat(target); err != nil || info.Size() != 0 {
		t.Errorf("restored: %v, %v", info, err)
	}
}

func TestBackup_ProofLevels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	db := connect(t, source)
	do := func(q string) { run(t, db, q) }
	do(`CREATE TABLE "odd "" name" (a)`)
	do(`INSERT INTO "odd "" name" VALUES (1), (2)`)
	do("CREATE VIRTUAL TABLE words USING fts5(body)")
	do("INSERT INTO words VALUES ('one two'), ('three')")
	do("CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)")
	do("INSERT INTO boxes VALUES (1, 0, 2)")
	do("CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e := w.executor(t)
	for i, proof := range []events.Proof{events.ProofStored, events.ProofChecked, events.ProofRestored} {
		j := jobOf(source)
		j.Attempt, j.Proof = i+1, proof
		if o := executortest.Take(t, e, j); o.Proof != proof {
			t.Errorf("asked for %s, got %s", proof, o.Proof)
		}
	}
	j := jobOf(source)
	j.Proof = "GUESSED"
	_, err := e.Start(t.Context(), j)
	executortest.WantCode(t, err, events.ProviderRejected)
}

func TestBackup_ManifestRecipeWorksWithStockTools(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("zstd"); err != nil {
		required(t, "the program zstd is not on PATH")
	}
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 2000)
	o := executortest.Take(t, w.executor(t), jobOf(source))
	m := manifestOf(t, w, o)
	dir := filepath.Dir(objectFile(w, *o.Ref))
	cmd := exec.Command("sh", "-ec", m.Objects[0].Restore)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", m.Objects[0].Restore, err, out)
	}
	wantSameFile(t, filepath.Join(dir, "restored.sqlite"), source)
}

func TestBackup_SizeRatioIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 100)
	j := jobOf(source)
	j.LastSize = 1 << 30
	executortest.Take(t, w.executor(t), j)

	strict := newWorld(t)
	c := strict.settings()
	c.MinSizeRatio = 0.1
	e := opened(t, c)
	ref, err := e.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.Corrupt)
	strict.wantNothingLeft(t)
}

func copyOf(t *testing.T, e *running, o lifecycle.Outcome) (*archive.Copy, archive.Manifest) {
	t.Helper()
	c, err := e.store.At(*o.Ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, m
}

func manifestOf(t *testing.T, w world, o lifecycle.Outcome) archive.Manifest {
	t.Helper()
	_, m := copyOf(t, w.executor(t), o)
	if m.StoredBytes() != o.SizeBytes || *m.Checksum() != *o.Checksum || m.BackupID != testBackup || m.Tool.Version == "" {
		t.Errorf("manifest %+v does not fit the outcome %+v", m, o)
	}
	return m
}

// wantIdentical unpacks the copy and compares it byte for byte.
func wantIdentical(t *testing.T, w world, o lifecycle.Outcome, source string) {
	t.Helper()
	c, m := copyOf(t, w.executor(t), o)
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), m.Objects[0], &got); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("copy of %d bytes differs from the source of %d", got.Len(), len(want))
	}
}

func wantSameFile(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error(cmp.Diff(len(b), len(a)), "files differ")
	}
}

func restoreJob(o lifecycle.Outcome, target string) executor.RestoreJob {
	return executor.RestoreJob{RestoreID: testRestore, BackupID: testBackup, Source: *o.Ref, Checksum: o.Checksum,
		Target: events.InstanceConfig{File: target}}
}
