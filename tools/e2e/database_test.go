package e2e

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// newDatabase makes a SQLite file with about that many megabytes in it.
func newDatabase(t *testing.T, megabytes int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.db")
	execute(t, path,
		"CREATE TABLE thing (id INTEGER PRIMARY KEY, body BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO thing SELECT i, zeroblob(1) FROM n",
		fmt.Sprintf("UPDATE thing SET body = randomblob(%d)", megabytes*1000))
	return path
}

// execute runs statements in a database.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
}
