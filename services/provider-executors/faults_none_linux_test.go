package executors_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// odd is a name that means something else wherever it is not quoted.
const odd = "it's; \"b\" `c` $(d) %s {0} \\ ünï"

// oddTable also ends lines, which names of databases may not.
const oddTable = odd + "\n; DROP TABLE t; --\r\n\\! e"

func TestFault_IsNone_TheCopyIsProven(t *testing.T) {
	t.Parallel()
	once := []string{"requested", "started", "succeeded"}
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, f *faulty)
		steps []string
		want  events.Evidence
	}{
		{"empty", func(t *testing.T, f *faulty) { f.onSQLite(t, "empty.db", "DROP TABLE t") },
			once, events.Evidence{Copies: 1, Objects: 1, Tables: 1, RowChecksums: true}}, // that of the schema
		{"zero bytes", func(t *testing.T, f *faulty) { f.instance.File = f.file(t, "zero.db", "", 0o600) },
			once, events.Evidence{Copies: 1, Objects: 1, Tables: 1, RowChecksums: true}},
		{"names and bytes", func(t *testing.T, f *faulty) {
			f.onSQLite(t, odd+"?mode=memory#.db", "CREATE TABLE "+quoted(oddTable, `"`)+" (\"gr\xf6\xdfe; --\" TEXT)",
				"INSERT INTO "+quoted(oddTable, `"`)+" VALUES ('na\xefve'), (CAST(x'c328ff00fe' AS TEXT))",
				"CREATE TABLE \"caf\xe9\" (a TEXT)", "INSERT INTO \"caf\xe9\" VALUES ('\xfc')")
		}, once, events.Evidence{Copies: 1, Objects: 1, Tables: 4, Rows: 6, RowChecksums: true}},
		{"ten thousand tables", func(t *testing.T, f *faulty) {
			f.onSQLite(t, "many.db")
			f.addTables(t, 10_000)
			f.instance.SuccessfulWhen = events.ProofChecked // the package sqlite compares the rows of so many
		}, once, events.Evidence{Copies: 1, Objects: 1}},
		{"PostgreSQL, names, bytes and an empty database", func(t *testing.T, f *faulty) {
			s := f.onPostgres(t, password, reader)
			s.CreateDatabase(t, odd)
			s.Exec(t, odd, "CREATE TABLE "+quoted(oddTable, `"`)+" AS SELECT 1 AS "+quoted(oddTable, `"`))
			s.CreateDatabase(t, "ascii", "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
			s.Exec(t, "ascii", `CREATE TABLE raw (b text)`, `INSERT INTO raw VALUES (E'\xff\xfe tail')`, `DO $$ BEGIN EXECUTE E'CREATE TABLE "t\xff" (a int)'; END $$`)
			s.CreateDatabase(t, "empty")
			f.instance.Databases = []string{odd, "ascii", "empty"}
		}, once, events.Evidence{Copies: 1, Objects: 4, Tables: 3, Rows: 2, RowChecksums: true}},
		{"MariaDB, names, bytes and an empty database", func(t *testing.T, f *faulty) {
			s := f.onMariaDB(t, password)
			table := quoted(odd, "`") + "." + quoted(oddTable, "`")
			execMariaDB(t, s, "CREATE DATABASE empty", "CREATE DATABASE "+quoted(odd, "`")+" CHARACTER SET latin1",
				"CREATE TABLE "+table+" ("+quoted(oddTable, "`")+" VARCHAR(9) CHARACTER SET latin1, raw VARBINARY(9))",
				"INSERT INTO "+table+" VALUES (x'6e61ef7665', x'c328ff00fe'), ('\\\\', x'270a')")
			f.instance.Databases = []string{odd, "empty"}
		}, once, events.Evidence{Copies: 1, Objects: 1, Tables: 1, Rows: 2, RowChecksums: true}},
		{"MariaDB, table dropped in the middle of the first attempt", func(t *testing.T, f *faulty) {
			s := f.onMariaDB(t, password)
			execMariaDB(t, s, "CREATE TABLE shop.zz (id INT)")
			f.instance.SuccessfulWhen = events.ProofChecked
			g := gateOfMariaDB(t, s)
			f.during = func(*pipelinetest.Pipeline) {
				g.reached()
				execMariaDB(t, s, "DROP TABLE shop.zz")
				g.open()
			}
		}, []string{"requested", "started", "attempt_failed " + string(events.ProviderUnavailable), "started", "succeeded"},
			events.Evidence{Copies: 1, Objects: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			f.instance.SuccessfulWhen = events.ProofRestored
			c.make(t, f)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Succeeded, events.Failed, events.Cancelled)
			steps, last := f.told(t, p, id)
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(&c.want, last.Evidence); diff != "" {
				t.Error(diff)
			}
			if last.Proof != f.instance.SuccessfulWhen || last.EndTime.IsZero() || !lifecycle.Good(last) || last.Error != nil {
				t.Errorf("record %+v", last)
			}
			f.wantCopies(t, 2)
			if left, err := os.ReadDir(f.executors.Scratch); err != nil || len(left) > 0 {
				t.Errorf("left in scratch: %v, %v", left, err)
			}
		})
	}
}

// onSQLite takes another file in place of the usual one.
func (f *faulty) onSQLite(t *testing.T, name string, statements ...string) {
	t.Helper()
	f.instance.File = filepath.Join(f.dir, name)
	if err := os.WriteFile(f.instance.File, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := url.URL{Scheme: "file", Opaque: (&url.URL{Path: f.instance.File}).EscapedPath()}
	db, err := sql.Open("sqlite", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range append([]string{"CREATE TABLE t (a INT)"}, statements...) {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%.300q: %v", q, err)
		}
	}
}

// addTables writes tables with a row each into the file. SQLite itself reads all their names for each that it makes.
func (f *faulty) addTables(t *testing.T, n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+f.instance.File)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA writable_schema = ON",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO sqlite_schema SELECT 'table', 't' || i, 't' || i, i + 1000, 'CREATE TABLE t' || i || ' (n INT)' FROM n", n),
		"UPDATE sqlite_schema SET rootpage = rootpage - 1000 + (SELECT page_count FROM pragma_page_count) WHERE rootpage > 1000"} { // as wide as before
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.instance.File)
	if err != nil {
		t.Fatal(err)
	}
	size := int(binary.BigEndian.Uint16(b[16:]))
	page := make([]byte, size)
	page[0] = 0x0d                                       // a leaf
	binary.BigEndian.PutUint16(page[3:], 1)              // of one cell
	binary.BigEndian.PutUint16(page[5:], uint16(size-4)) // at its end
	binary.BigEndian.PutUint16(page[8:], uint16(size-4))
	copy(page[size-4:], []byte{2, 1, 2, 9}) // two bytes, row 1, whose value is 1
	b = append(b, bytes.Repeat(page, n)...)
	binary.BigEndian.PutUint32(b[28:], uint32(len(b)/size))
	if err := os.WriteFile(f.instance.File, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// quoted is a name in the quotes of a server.
func quoted(name, quote string) string {
	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

// wantCopies wants so many folders in the storage, each of a complete copy.
func (f *faulty) wantCopies(t *testing.T, n int) {
	t.Helper()
	all := map[string]bool{}
	for path := range f.stored(t) {
		all[filepath.Dir(path)] = true
	}
	for dir := range all {
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
			t.Errorf("not complete: %v", err)
		}
	}
	if len(all) != n {
		t.Errorf("%d copies, not %d: %v", len(all), n, all)
	}
}
