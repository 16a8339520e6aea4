//go:build large

package sqlite

import (
	"testing"
)

func TestBackup_OfAGigabyteInOneTableIsProvenInLittleMemory(t *testing.T) {
	w := newWorld(t)
	source := w.file("source.db")
	db := connect(t, source, "synchronous(OFF)")
	run(t, db, "CREATE TABLE large (id INTEGER PRIMARY KEY, body BLOB)")
	run(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1 << 20) INSERT INTO large SELECT i, randomblob(1024) FROM n")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantLittleMemory(t, w, source)
}
