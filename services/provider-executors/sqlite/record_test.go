package sqlite

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// storedRows calls f with each record of a query of an offset and the value that is the record's last column.
func storedRows(t testing.TB, file, query string, f func(record, last []byte)) {
	t.Helper()
	db, err := private(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stored, err := newRecords(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer stored.close()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var offset int64
		var last []byte
		if err := rows.Scan(&offset, &last); err != nil {
			t.Fatal(err)
		}
		var record bytes.Buffer
		if err := stored.write(t.Context(), offset, &record, func() {}); err != nil {
			t.Fatalf("a value of %d bytes: %v", len(last), err)
		}
		f(record.Bytes(), last)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestRecords_AreReadWholeWhateverTheirSizeAndPage(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{512, 4096, 65536} {
		for _, options := range []string{"", "WITHOUT ROWID"} {
			t.Run(fmt.Sprint(pageSize, options), func(t *testing.T) {
				t.Parallel()
				file := newWorld(t).file("rows.db")
				db := connect(t, file, fmt.Sprintf("page_size(%d)", pageSize))
				run(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB) "+options)
				run(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100)
					INSERT INTO t SELECT i, randomblob(i) FROM n`)
				run(t, db, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
					INSERT INTO t SELECT -i, randomblob(%d - 40 + i) FROM n`, pageSize))
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				seen := 0
				storedRows(t, file, "SELECT sqlite_offset(body), body FROM t NOT INDEXED", func(record, last []byte) {
					seen++
					if head := len(record) - len(last); head < 3 || head > 12 || !bytes.HasSuffix(record, last) {
						t.Errorf("a value of %d bytes has a record of %d, with it at its end: %v", len(last), len(record), bytes.HasSuffix(record, last))
					}
				})
				if seen != 2400 {
					t.Errorf("%d rows", seen)
				}
			})
		}
	}
}

func TestRecords_SchemaOnTheFirstPageIsRead(t *testing.T) {
	t.Parallel()
	file := newWorld(t).file("rows.db")
	db := connect(t, file)
	run(t, db, "CREATE TABLE t (a)")
	run(t, db, "CREATE VIEW v AS SELECT '"+string(bytes.Repeat([]byte("x"), 10000))+"'")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	storedRows(t, file, "SELECT sqlite_offset(sql), CAST(sql AS BLOB) FROM sqlite_schema", func(record, last []byte) {
		if !bytes.HasSuffix(record, last) {
			t.Errorf("a record of %d bytes has not %d at its end", len(record), len(last))
		}
	})
}

func TestRows_SumDependsOnEveryByteOfALargeValue(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE t (id INTEGER PRIMARY KEY, words TEXT, body, v GENERATED ALWAYS AS (length(body)) VIRTUAL, s GENERATED ALWAYS AS (1) STORED)`
	row := func(id, text, tail string) string {
		return fmt.Sprintf(`INSERT INTO t (id, words, body) VALUES (%s, replace(hex(zeroblob(2 << 20)), '0', 'ä') || '%s', CAST(zeroblob(3 << 20) || %s AS BLOB))`, id, text, tail)
	}
	want := sumOf(t, table, row("1", "a", "x'01'"), row("2", "b", "x'02'"))
	if got := sumOf(t, table, `CREATE INDEX i ON t (id)`, row("2", "b", "x'02'"), row("3", "c", "NULL"), row("1", "a", "x'01'"), `DELETE FROM t WHERE id = 3`, `VACUUM`); got != want {
		t.Errorf("%x and not %x in another order", got, want)
	}
	for _, other := range [][]string{
		{row("1", "a", "x'02'"), row("2", "b", "x'01'")},
		{row("1", "b", "x'01'"), row("2", "a", "x'02'")},
		{row("1", "a", "x'01'"), row("3", "b", "x'02'")},
		{row("1", "a", "x'01'"), strings.Replace(row("2", "b", "x'02'"), "AS BLOB", "AS TEXT", 1)},
	} {
		if got := sumOf(t, append([]string{table}, other...)...); got == want {
			t.Errorf("the same sum for %.60q", other)
		}
	}
	wide := `CREATE TABLE t (id INTEGER PRIMARY KEY`
	for i := range 500 {
		wide += fmt.Sprintf(", c%d", i)
	}
	wide += ")"
	if a, b := sumOf(t, wide, `INSERT INTO t (c499) VALUES (zeroblob(40000) || x'01')`), sumOf(t, wide, `INSERT INTO t (c499) VALUES (zeroblob(40000) || x'02')`); a == b {
		t.Error("the same sum for a value that is large among many")
	}
}

func TestRows_MarkThatIsDataIsReadToo(t *testing.T) {
	t.Parallel()
	if a, b := sumOf(t, `CREATE TABLE t (a)`, `INSERT INTO t VALUES ('`+tooLarge+`')`), sumOf(t, `CREATE TABLE t (a)`, `INSERT INTO t VALUES (x'00')`); a == b {
		t.Error("the same sum")
	}
}

func TestRows_DifferencesNameUpToFiveTables(t *testing.T) {
	t.Parallel()
	want := counted{rows: map[string]int64{}, sums: map[string]string{}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		want.rows[name], want.sums[name] = 1, "7"
	}
	if err := want.differences(want); err != nil {
		t.Error(err)
	}
	got := counted{rows: map[string]int64{"a": 1, "b": 2, "other": 1}, sums: map[string]string{"a": "8", "b": "7"}}
	err := want.differences(got)
	const text = "the rows of table \"a\" are not the same\ntable \"b\" has 2 rows of 1\ntable \"c\" is missing\ntable \"d\" is missing\ntable \"e\" is missing"
	if err == nil || err.Error() != text {
		t.Errorf("differences:\n%v", err)
	}
	executortest.WantCode(t, damaged(err), events.Corrupt)
}

// TestRows_AreReadWithASignOfLifeForEach: no byte passes meanwhile, so nothing else keeps the attempt from being
// stopped as one that stalls.
func TestRows_AreReadWithASignOfLifeForEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 500)
	db := connect(t, source)
	run(t, db, "INSERT INTO t VALUES (501, zeroblob(4 << 20))")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e := w.executor(t).engine
	src, err := e.Prepare(t.Context(), restoredJob(source))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var signs, pages int
	ctx := executor.WithAlive(t.Context(), func() { signs++ })
	_, err = src.Parts()[0].Stream(ctx, writerFunc(func(p []byte) (int, error) {
		signs, pages = 0, pages+1
		return len(p), nil
	}))
	if err != nil || signs < 501+1000 { // a row each, and the pages of the large one
		t.Errorf("%d signs of life after the last of %d pages: %v", signs, pages, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
