package sqlite

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func restoredJob(file string) executor.Job {
	j := jobOf(file)
	j.Proof = events.ProofRestored
	return j
}

func wantLoaded(t testing.TB, e events.Evidence, err error, tables, rows int64, checksums bool) {
	t.Helper()
	if err != nil || e.Tables != tables || e.Rows != rows || e.RowChecksums != checksums {
		t.Errorf("want %d tables, %d rows, checksums %v; got %+v, %v", tables, rows, checksums, e, err)
	}
}

// TestVerify_RestoredFindsAChangedValueThatCheckedAndCountingCannotSee: the object of a later moment is put into
// the copy of an earlier one, and the manifest made to fit.
func TestVerify_RestoredFindsAChangedValueThatCheckedAndCountingCannotSee(t *testing.T) {
	t.Parallel()
	w, elsewhere := newWorld(t), newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 100)
	e, j := w.executor(t), restoredJob(source)
	o := executortest.Take(t, e, j)
	found, err := e.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 2, 102, true) // sqlite_schema lists a table and an index
	found, err = e.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofChecked)
	wantLoaded(t, found.Evidence, err, 0, 0, false)

	db := connect(t, source)
	run(t, db, "UPDATE t SET body = randomblob(1000) WHERE id = 7")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	other := executortest.Take(t, elsewhere.executor(t), jobOf(source))
	object, err := os.ReadFile(objectFile(elsewhere, *other.Ref))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objectFile(w, *o.Ref), object, 0o600); err != nil {
		t.Fatal(err)
	}
	c, m := copyOf(t, e, o)
	sum := sha256.Sum256(object)
	m.Objects[0].SHA256, m.Objects[0].StoredBytes = hex.EncodeToString(sum[:]), int64(len(object))
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(t.Context(), j, *o.Ref, m.Checksum(), events.ProofChecked); err != nil {
		t.Error(err)
	}
	_, err = e.Verify(t.Context(), j, *o.Ref, m.Checksum(), events.ProofRestored)
	executortest.WantCode(t, err, events.Corrupt)

	m.Objects[0].Checksums = nil // as a copy of before there were any: the numbers agree
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	found, err = e.Verify(t.Context(), j, *o.Ref, m.Checksum(), events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 2, 102, false)
}

func TestVerify_RestoredOfACopyWhoseRowsWereNotReadClaimsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 100)
	for _, proof := range []events.Proof{events.ProofStored, events.ProofChecked} {
		e, j := w.executor(t), jobOf(source)
		if j.Proof = proof; proof == events.ProofChecked {
			j.Attempt = 2
		}
		o := executortest.Take(t, e, j)
		found, err := e.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
		wantLoaded(t, found.Evidence, err, 0, 0, false)
		if found.Evidence.Objects != 1 {
			t.Errorf("%+v", found)
		}
	}
}

func TestBackup_EmptyDatabaseIsProvenRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	if err := os.WriteFile(source, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e, j := w.executor(t), restoredJob(source)
	o := executortest.Take(t, e, j)
	found, err := e.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 1, 0, true)
}

func TestRows_ThatDifferFailTheProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 10)
	db, err := private(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := counted{rows: map[string]int64{"t": 10, "sqlite_schema": 2}}
	if err := sameRows(t.Context(), db, want); err != nil {
		t.Error(err)
	}
	want.rows["t"]++
	executortest.WantCode(t, sameRows(t.Context(), db, want), events.Corrupt)
}

// sumOf is the sum of the table t that statements make.
func sumOf(t testing.TB, statements ...string) uint64 {
	t.Helper()
	file := newWorld(t).file("rows.db")
	db := connect(t, file)
	for _, s := range statements {
		run(t, db, s)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := private(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	_, sum, err := sumRows(t.Context(), in, "t")
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestRows_SumDependsOnEveryValueAndItsType(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for _, row := range []string{
		`1, NULL`, `1.0, NULL`, `'1', NULL`, `x'31', NULL`, `NULL, 1`, `1, '2024-01-02'`, `1, '2024-01-02 00:00:00'`, `'', NULL`, `'a', 'bc'`, `'ab', 'c'`, `0.1, 0.2`, `0.1, 0.30000000000000004`, `0.1, 0.3`,
		`'a' || char(0) || 'b', 1`, `'a' || char(0) || 'c', 1`, `9007199254740993, 1`, `9007199254740992, 1`,
	} {
		sum := sumOf(t, `CREATE TABLE t (a BLOB, b DATE)`, `INSERT INTO t VALUES (`+row+`)`)
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have one sum", row, other)
		}
		seen[sum] = row
	}
}

func TestRows_SumDoesNotDependOnOrderAndOnWhatIsComputed(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE t ("odd "" name" TEXT, b, v GENERATED ALWAYS AS (b + 1) VIRTUAL, s GENERATED ALWAYS AS (b + 2) STORED)`
	want := sumOf(t, table, `INSERT INTO t VALUES ('x', 1), ('y', 2)`)
	if got := sumOf(t, table, `CREATE INDEX i ON t (b)`, `INSERT INTO t VALUES ('y', 2), ('z', 3), ('x', 1)`, `DELETE FROM t WHERE b = 3`, `VACUUM`); got != want {
		t.Errorf("%x and not %x", got, want)
	}
	unknown := []string{`CREATE TABLE t (a, v GENERATED ALWAYS AS (lower(a)) VIRTUAL)`, `INSERT INTO t (a) VALUES ('x')`, `PRAGMA writable_schema = 1`,
		`UPDATE sqlite_schema SET sql = replace(sql, 'lower', 'ofapp') WHERE name = 't'`}
	if got := sumOf(t, unknown...); got == 0 {
		t.Error("no sum of a table with a function of its application")
	}
}
