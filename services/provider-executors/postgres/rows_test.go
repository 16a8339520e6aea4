package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// people is a table in which a word of a dump can be replaced without a change of any length.
const people = `CREATE TABLE people AS SELECT g AS id, CASE g WHEN 7 THEN 'wordbefore' ELSE 'another' END AS name FROM generate_series(1, 100) g`

func TestProof_RestoredFindsAChangedValueThatCheckedAndCountingCannotSee(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := wrapped(t, w, `$real "$@" | sed s/wordbefore/word_after/`)
	j := uniqueJob(config(s, freshDB(t, s, people)))
	o := take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored) // nothing to compare with: not asked for then
	wantLoaded(t, found.Evidence, err, 1, 100, false)
	if err := os.RemoveAll(w.store); err != nil {
		t.Fatal(err)
	}
	j.BackupID, j.Proof = unique("bk"), events.ProofRestored
	f, raw := attempted(t, x, j)
	wantFailure(t, f, raw, events.Corrupt, "1 tables")
	wantNothingLeft(t, w)
}

func wantLoaded(t testing.TB, e events.Evidence, err error, tables, rows int64, checksums bool) {
	t.Helper()
	if err != nil || e.Tables != tables || e.Rows != rows || e.RowChecksums != checksums {
		t.Errorf("want %d tables, %d rows, checksums %v; got %+v, %v", tables, rows, checksums, e, err)
	}
}

// TestVerify_RestoredFindsAnotherDumpInACopyThatIsWholeByItself: the dump of a later moment is put into the
// copy of an earlier one, and the manifest made to fit.
func TestVerify_RestoredFindsAnotherDumpInACopyThatIsWholeByItself(t *testing.T) {
	t.Parallel()
	s, w, elsewhere := server1(t), newWorld(t), newWorld(t)
	source := freshDB(t, s, people, `CREATE TABLE empty ()`)
	x, j := w.executor(t), uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 2, 100, true)
	found, err = x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofChecked)
	wantLoaded(t, found.Evidence, err, 0, 0, false)

	s.Exec(t, source, `UPDATE people SET name = 'word_after' WHERE id = 7`)
	y := elsewhere.executor(t)
	later := take(t, y, j)
	dump, err := os.ReadFile(dumpFile(t, elsewhere, *later.Ref))
	if err != nil {
		t.Fatal(err)
	}
	m := manifest(t, x, *o.Ref)
	if got := manifest(t, y, *later.Ref).Objects[1]; !cmp.Equal(got.Tables, m.Objects[1].Tables) || cmp.Equal(got.Checksums, m.Objects[1].Checksums) {
		t.Errorf("the copies hold\n%v\n%v", m.Objects[1].Content, got.Content)
	}
	exchangeDump(t, x, w, m, *o.Ref, dump)
	_, err = x.Verify(t.Context(), j, *o.Ref, manifest(t, x, *o.Ref).Checksum(), events.ProofChecked)
	if err != nil {
		t.Error(err)
	}
	_, err = x.Verify(t.Context(), j, *o.Ref, manifest(t, x, *o.Ref).Checksum(), events.ProofRestored)
	executortest.WantCode(t, err, events.Corrupt)
}

// exchangeDump puts another dump into a copy.
func exchangeDump(t testing.TB, x *running, w world, m archive.Manifest, r executor.Ref, dump []byte) {
	t.Helper()
	if err := os.WriteFile(dumpFile(t, w, r), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(dump)
	m.Objects[1].SHA256, m.Objects[1].StoredBytes = hex.EncodeToString(sum[:]), int64(len(dump))
	c, err := x.store.At(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// foreign are settings of a database under which values have another text.
var foreign = []string{
	`extra_float_digits = -15`, `"DateStyle" = 'German, DMY'`, `"IntervalStyle" = 'sql_standard'`, `"TimeZone" = 'Asia/Kolkata'`,
	`bytea_output = 'escape'`, `search_path = 'other', 'public'`, `xmlbinary = 'hex'`,
}

func TestRows_SumsDependOnTheRowsAndOnNothingElse(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE SCHEMA other`, `CREATE TABLE other.target ()`,
		`CREATE TABLE kinds AS SELECT 1/3.0::float8 AS d, 1/3.0::float4 AS f, now() AS z, now()::timestamp AS s, now()::date AS day, interval '1 mon -3 days 04:05' AS i,
			'\x00ff'::bytea AS b, 'other.target'::regclass AS r, '{"b": 1, "a": [1.50]}'::jsonb AS j, '<a>ä</a>'::xml AS x, tstzrange(now(), null) AS ra, ARRAY[now()] AS za, NULL::int AS nothing, E'"\\\n(,' AS odd`,
		`CREATE TABLE t (t int, x text, count int)`, `INSERT INTO t VALUES (1, 'named as the query names things', 2)`,
		`CREATE TABLE made (a text, b text GENERATED ALWAYS AS (upper(a)) STORED)`, `INSERT INTO made VALUES ('ä')`,
		`CREATE TABLE parent (a int)`, `CREATE TABLE child (own int) INHERITS (parent)`, `ALTER TABLE parent ADD COLUMN late int`, `INSERT INTO child VALUES (1, 2, 3)`,
		`ALTER TABLE t ADD COLUMN gone int`, `ALTER TABLE t DROP COLUMN gone`,
		`CREATE TABLE price (m money)`, `INSERT INTO price VALUES (1234.5)`, `CREATE DOMAIN cost AS money`, `CREATE TABLE costs (m cost)`, `CREATE TABLE prices (m money[])`,
		`CREATE FUNCTION told(t) RETURNS text LANGUAGE sql AS 'SELECT random()::text'`, `CREATE CAST (t AS text) WITH FUNCTION told(t)`,
	)
	for _, set := range foreign {
		s.Exec(t, "postgres", "ALTER DATABASE "+ident(source)+" SET "+set)
	}
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	x := w.executor(t)
	o := take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 9, 5, false) // those with money are counted
	content := manifest(t, x, *o.Ref).Objects[1].Content
	var without []string
	for name := range content.Tables {
		if content.Checksums[name] == "" {
			without = append(without, name)
		}
	}
	if len(content.Checksums) != 6 || len(without) != 3 || content.Checksums["public.price"] != "" {
		t.Errorf("sums %v, none of %q", content.Checksums, without)
	}
}

func TestRows_ThatAreTooLargeForASumAreCounted(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE a AS SELECT 1 AS id`, `CREATE TABLE z AS SELECT 2 AS id`, `CREATE TABLE large (bits varbit)`,
		`ALTER TABLE large ALTER bits SET STORAGE EXTERNAL`,
		`DO $$ DECLARE piece varbit := B'0'::bit(80000000); bits varbit := ''; BEGIN FOR i IN 1..14 LOOP bits := bits || piece; END LOOP; INSERT INTO large VALUES (bits); END $$`)
	x := w.executor(t)
	server, err := x.engine.server(config(s))
	if err != nil {
		t.Fatal(err)
	}
	c, err := server.connect(t.Context(), source, "rows")
	if err != nil {
		t.Fatal(err)
	}
	defer bye(t.Context(), c)
	id, err := exportSnapshot(t.Context(), c, x.engine.config.LockWait)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sumRows(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"public.a": 1, "public.large": 1, "public.z": 1}, got.rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if len(got.sums) != 2 || got.sums["public.a"] == "" || got.sums["public.a"] == got.sums["public.z"] {
		t.Errorf("sums %v", got.sums)
	}
	other := s.DB(t, source) // the snapshot is still there for the dump
	if _, err := other.Exec(t.Context(), `BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '`+id+`'`); err != nil {
		t.Error(err)
	}
}

func TestVerify_RestoredOfAPhysicalCopyTellsWhatItRead(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", people, `CREATE TABLE empty ()`)
	s.Exec(t, "postgres", `CREATE TABLE more AS SELECT 1 AS id`)
	x, j := w.executor(t), physicalJob(s)
	o := take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	wantLoaded(t, found.Evidence, err, 3, 101, false)
}

func TestCounted_DifferByTableNumberAndSum(t *testing.T) {
	t.Parallel()
	is := func(rows map[string]int64, sums map[string]string) counted { return counted{rows, sums} }
	for name, c := range map[string]struct {
		a, b counted
		want int
	}{
		"equal":        {is(map[string]int64{"a": 1}, map[string]string{"a": "7"}), is(map[string]int64{"a": 1}, map[string]string{"a": "7"}), 0},
		"other sum":    {is(map[string]int64{"a": 1}, map[string]string{"a": "7"}), is(map[string]int64{"a": 1}, map[string]string{"a": "8"}), 1},
		"no sum there": {is(map[string]int64{"a": 1}, map[string]string{"a": "7"}), is(map[string]int64{"a": 1}, nil), 0},
		"other number": {is(map[string]int64{"a": 1}, nil), is(map[string]int64{"a": 2}, nil), 1},
		"other table":  {is(map[string]int64{"a": 0}, nil), is(map[string]int64{"b": 0}, nil), 2},
	} {
		if got := c.a.differ(c.b); got != c.want {
			t.Errorf("%s: %d tables differ, want %d", name, got, c.want)
		}
	}
	fall := counted{rows: map[string]int64{}, sums: map[string]string{}}
	sum := "5"
	for _, name := range []string{"t\xff", "t\xfe", "u"} {
		fall.add(name, found{rows: 2, sum: &sum})
	}
	if diff := cmp.Diff(map[string]int64{"t\uFFFD": 4, "u": 2}, fall.rows); diff != "" || len(fall.sums) != 1 {
		t.Errorf("names that fall together: sums %v, rows (-want +got):\n%s", fall.sums, diff)
	}
}
