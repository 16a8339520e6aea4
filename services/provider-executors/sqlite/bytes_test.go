package sqlite

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// SQLite keeps the bytes of names and texts as they came, which may be those of another encoding.
func TestBackup_NamesAndTextsThatAreNotUTF8ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source, target := w.file("caf\xe9 'x' \"y\".db"), w.file("restored \xff.db")
	db := connect(t, source)
	for _, q := range []string{
		"CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)", // which content reads
		"INSERT INTO t VALUES (1, 'na\xefve'), (2, CAST(x'c328ff00fe' AS TEXT))",
		"CREATE TABLE \"caf\xe9\" (\"gr\xf6\xdfe\" TEXT)",
		"INSERT INTO \"caf\xe9\" VALUES ('\xe4'), ('\xf6')",
		"CREATE TABLE \"caf\xe8\" (a TEXT)", // the same in a manifest
		"INSERT INTO \"caf\xe8\" VALUES ('\xfc')",
		"CREATE INDEX \"\xfc\" ON \"caf\xe9\" (\"gr\xf6\xdfe\")",
	} {
		run(t, db, q)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	x, j := w.executor(t), jobOf(source)
	j.Proof = events.ProofRestored
	o := executortest.Take(t, x, j)
	wantIdentical(t, w, o, source)
	// Tables: t, the two whose names fall together, and that of the schema with a row for each object.
	if e := o.Evidence; e == nil || e.Tables != 3 || e.Rows != 9 || !e.RowChecksums {
		t.Errorf("evidence %+v", e)
	}
	for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
		found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, proof)
		if err != nil {
			t.Errorf("verify %s: %v", proof, err)
		}
		if e := found.Evidence; proof == events.ProofRestored && (e.Rows != 9 || !e.RowChecksums) {
			t.Errorf("evidence %+v", e)
		}
	}
	executortest.Restore(t, x, restoreJob(o, target))
	if content(t, target) != content(t, source) {
		t.Error("content differs")
	}
	back := connect(t, target)
	var text string
	if err := back.QueryRowContext(t.Context(), "SELECT group_concat(\"gr\xf6\xdfe\", ',') FROM \"caf\xe9\"").Scan(&text); err != nil || text != "\xe4,\xf6" {
		t.Errorf("%q, %v", text, err)
	}
	if strings.Contains(o.Ref.BackupName, "\xe9") {
		t.Errorf("the copy is named %q", o.Ref.BackupName)
	}
}
