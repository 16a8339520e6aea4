package mysql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// evidence is what a proof of RESTORED says that it compared.
func (w *world) evidence(t testing.TB, j executor.Job) events.Evidence {
	t.Helper()
	x := w.executor(t)
	o := executortest.Take(t, x, j)
	found, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	if err != nil {
		t.Fatal(err)
	}
	return found.Evidence
}

func wantEvidence(t testing.TB, got events.Evidence, tables, rows int64, checksums bool) {
	t.Helper()
	want := events.Evidence{Copies: 1, Objects: 1, Tables: tables, Rows: rows, RowChecksums: checksums}
	if got != want {
		t.Errorf("evidence %+v, want %+v", got, want)
	}
}

// changing is a client that loads another word than the dump holds.
const changing = `sed "s/'pear'/'plum'/" | $tool "$@"`

func TestProof_OneChangedValueIsCorruptThoughTheNumbersAgree(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source := database(t, w.srv)
		run(t, w.srv.Root(), "CREATE TABLE "+source+".fruit (name VARCHAR(9))") // without a key
		run(t, w.srv.Root(), "INSERT INTO "+source+".fruit VALUES ('apple'), ('apple'), ('pear'), ('apple'), (NULL)")
		j := w.job(source)
		wantEvidence(t, w.evidence(t, j), 1, 5, true)

		w.replace(t, kind.Client(), changing)
		j.Attempt, j.Proof = 2, events.ProofRestored
		_ = w.failedAt(t, j, events.Corrupt)
	})
}

// failedAt is failed where another attempt has left its copy.
func (w *world) failedAt(t testing.TB, j executor.Job, code events.Code) *executor.Progress {
	t.Helper()
	x := w.executor(t)
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	p := executortest.Finish(t, x, ref)
	executortest.WantCode(t, p.Err, code)
	return &p
}

func TestProof_CopyOfAnotherToolIsComparedByNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	source := database(t, w.srv)
	run(t, w.srv.Root(), "CREATE TABLE "+source+".fruit (name VARCHAR(9))")
	run(t, w.srv.Root(), "INSERT INTO "+source+".fruit VALUES ('apple'), ('pear')")
	j := w.job(source)
	x := w.executor(t)
	o := executortest.Take(t, x, j)

	for name, text := range map[string]string{
		"other": "echo 'mariadb-dump  Ver 10.19 Distrib 10.11.99-MariaDB, for Linux (x86_64)'",
		"none":  "exit 1",
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		w.replace(t, mysqltest.MariaDB.Client(), changing) // which numbers do not show
		w.programs[mysqltest.MariaDB.Dumper()] = path
		found, err := w.executor(t).Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
		if err != nil {
			t.Fatal(err)
		}
		wantEvidence(t, found.Evidence, 1, 2, false)
	}
}

// everyType has a column of each type, at the ends of its range, in text that is no UTF-8, without keys, and
// twice.
const everyType = "" +
	"CREATE TABLE numbers (a TINYINT, b SMALLINT UNSIGNED ZEROFILL, c MEDIUMINT, d BIGINT UNSIGNED, e DECIMAL(65,30), f FLOAT, g DOUBLE, h FLOAT(20,3), i BIT(1), j BIT(13), k BIT(64), l BOOLEAN);" +
	"INSERT INTO numbers VALUES (-128, 7, -8388608, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567890, 3.40282e38, 1.7976931348623157e308, 16777217.125, b'1', b'1010', ~0, TRUE)," +
	" (0, 0, 0, 0, -0.000000000000000000000000000001, 1.17549e-38, 2.2250738585072014e-308, 0.001, b'0', b'0', 0, FALSE), (1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, b'1', b'1', 1, 1), (2, 2, 2, 2, 1, 1e-45, 5e-324, 1e9, NULL, NULL, NULL, NULL);" +
	"INSERT INTO numbers (f, g) VALUES (16777217, 1/3), (-0e0, -0e0), (123456.789, 123456789.123456789), (PI(), PI()), (NULL, NULL);" +
	"CREATE TABLE times (a DATE, b TIME(6), c DATETIME(6), d TIMESTAMP(6) NULL, e YEAR, f TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);" +
	"SET SESSION sql_mode='', time_zone='+05:30'; INSERT INTO times VALUES ('9999-12-31', '-838:59:59.999999', '1000-01-01 00:00:00.000001', '2038-01-19 08:44:07.999999', 2155, '2026-03-29 02:30:00'), ('0000-00-00', '00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0, 0), (NULL, NULL, NULL, NULL, NULL, '1970-01-01 05:30:01'), ('2026-02-00', 1, '2026-00-00', NULL, 1901, NOW());" +
	"CREATE TABLE bytes (a BINARY(5), b VARBINARY(300), c TINYBLOB, d MEDIUMBLOB, e LONGBLOB);" +
	"INSERT INTO bytes VALUES ('x', X'00FF270A5C22', X'', REPEAT(X'0027', 70000), REPEAT('\\\\', 400000)), (NULL, NULL, NULL, NULL, NULL);" +
	"CREATE TABLE words (a CHAR(9), b VARCHAR(99), c LONGTEXT, d ENUM('', 'a,b', 'it''s', 'ä'), e SET('x', 'y', 'ö')) DEFAULT CHARSET=utf8mb4;" +
	"INSERT INTO words VALUES ('  x  ', 'tail  ', REPEAT('é\\'\\\\\\n), (', 40000), 'it''s', 'x,ö'), ('', '', '', '', ''), (NULL, NULL, NULL, NULL, NULL), ('😀', '\\0\\Z', '\\t', 'nothing of these', '');" +
	"CREATE TABLE latin (a VARCHAR(20) CHARACTER SET latin1, b TEXT CHARACTER SET latin2, c TEXT CHARACTER SET sjis, d TEXT CHARACTER SET gbk, e TEXT CHARACTER SET utf16, f TEXT CHARACTER SET koi8r);" +
	"INSERT INTO latin VALUES (X'E4F6FC808182', X'B1E6', X'95B6835C', X'C4E35C', X'00E9D83DDE00', X'C0C1'), (X'27', X'5C', X'5C27', X'27', X'0027', X'5C');" +
	"CREATE TABLE places (a POINT, b GEOMETRY, c POLYGON, d GEOMETRYCOLLECTION);" +
	"INSERT INTO places VALUES (POINT(1, -2.5), ST_GeomFromText('LINESTRING(0 0, 1.5 1e-10)', 4326), ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')), (NULL, NULL, NULL, NULL);" +
	"CREATE TABLE made (a INT, b INT AS (a * 2) STORED, c VARCHAR(30) AS (CONCAT('(', a, '''')) VIRTUAL, d DOUBLE INVISIBLE, e TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6));" +
	"INSERT INTO made (a, d) VALUES (1, 0.1), (1, 0.1), (NULL, NULL);" +
	"CREATE TABLE numbered (id INT AUTO_INCREMENT PRIMARY KEY, x INT); SET sql_mode='NO_AUTO_VALUE_ON_ZERO'; INSERT INTO numbered VALUES (0, 1), (-5, 2), (7, 3);" +
	"CREATE TABLE parted (id INT, x INT) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO parted SELECT a.d * 7 + b.d, b.d FROM (SELECT 1 AS d UNION SELECT 2 UNION SELECT 3) a, (SELECT 1 AS d UNION SELECT 4) b;" +
	"CREATE TABLE unsafe (id INT, t TEXT) ENGINE=MyISAM; INSERT INTO unsafe VALUES (1, 'a'), (1, 'a');" +
	"CREATE DEFINER=`no body`@`no.where` VIEW sight AS SELECT a FROM made;" +
	"CREATE TABLE filled (a INT); CREATE TRIGGER more BEFORE INSERT ON filled FOR EACH ROW SET NEW.a = NEW.a + 1; INSERT INTO filled VALUES (1), (2)"

// everyTypeOf is what one kind alone has.
var everyTypeOf = map[mysqltest.Kind]string{
	mysqltest.MariaDB: "CREATE TABLE own (f UUID, g INET6, j JSON); INSERT INTO own VALUES ('123e4567-e89b-12d3-a456-426655440000', '::ffff:1.2.3.4', '{\"a\": [1, 2.50, null], \"b\": \"\\\\u00e9\"}'), (NULL, NULL, '[]');" +
		"CREATE TABLE kept (a INT) WITH SYSTEM VERSIONING; INSERT INTO kept VALUES (1), (2); DELETE FROM kept WHERE a = 1;" +
		"CREATE SEQUENCE counting START WITH 7; SELECT NEXTVAL(counting)",
	mysqltest.MySQL: "CREATE TABLE own (v VECTOR(3), p POINT SRID 4326); INSERT INTO own VALUES (STRING_TO_VECTOR('[1e-30,2.5,-3]'), ST_SRID(POINT(1, 2), 4326)), (NULL, NULL);" +
		"SET sql_generate_invisible_primary_key=1; CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (7), (7)",
}

func TestProof_EveryTypeOfColumnHasTheSameChecksum(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, other := database(t, w.srv), database(t, w.srv)
		db, err := w.srv.Open("root", mysqltest.RootPassword, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, statement := range strings.Split(everyType+";"+everyTypeOf[kind], ";") {
			run(t, db, statement)
		}
		tables, rows := counted(t, w, source)
		wantEvidence(t, w.evidence(t, w.job(source)), tables, rows, true)

		fill(t, w.srv, other, 30)
		j := w.job(source, other) // with the names of the databases in the stream
		j.Attempt = 2
		wantEvidence(t, w.evidence(t, j), tables+1, rows+30, true)
	})
}

func TestProof_ColumnsThatTheServerFillsItselfAreNotCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	source := database(t, w.srv)
	run(t, w.srv.Root(), "CREATE TABLE "+source+".followed (a INT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, till TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, till)) WITH SYSTEM VERSIONING")
	run(t, w.srv.Root(), "INSERT INTO "+source+".followed (a) VALUES (1), (2)")
	run(t, w.srv.Root(), "UPDATE "+source+".followed SET a = 3 WHERE a = 2")
	wantEvidence(t, w.evidence(t, w.job(source)), 1, 2, false)
}

func TestProof_TablesThatShowTheRowsOfOthersAreNotCounted(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, other := database(t, w.srv), database(t, w.srv)
		run(t, w.srv.Root(), "CREATE TABLE "+source+".a (id INT, t TEXT) ENGINE=MyISAM")
		run(t, w.srv.Root(), "CREATE TABLE "+source+".b (id INT, t TEXT) ENGINE=MyISAM")
		run(t, w.srv.Root(), "CREATE TABLE "+source+".both (id INT, t TEXT) ENGINE=MERGE UNION=("+source+".a, "+source+".b) INSERT_METHOD=LAST COMMENT='not\n) ENGINE=InnoDB'")
		run(t, w.srv.Root(), "INSERT INTO "+source+".a VALUES (1, 'a'), (2, 'b')")
		run(t, w.srv.Root(), "INSERT INTO "+source+".both VALUES (3, ') ENGINE=FEDERATED')")
		run(t, w.srv.Root(), "CREATE TABLE "+other+".c (id INT, t TEXT) ENGINE=MyISAM")
		run(t, w.srv.Root(), "CREATE TABLE "+source+".away (id INT, t TEXT) ENGINE=MERGE UNION=("+other+".c)") // of a database that is not in the copy
		wantEvidence(t, w.evidence(t, w.job(source)), 2, 3, true)
	})
}

// counted are the tables of a database and their rows.
func counted(t testing.TB, w *world, name string) (tables, rows int64) {
	t.Helper()
	for _, row := range query(t, w.srv.Root(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE')", name) {
		var n int64
		if _, err := fmt.Sscan(query(t, w.srv.Root(), "SELECT COUNT(*) FROM "+quote(name)+"."+quote(row[0]))[0][0], &n); err != nil {
			t.Fatal(err)
		}
		tables, rows = tables+1, rows+n
	}
	return tables, rows
}

func TestProof_WritersDuringTheDumpMakeNoDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	source := database(t, w.srv)
	fill(t, w.srv, source, 2000)
	for _, name := range []string{"a_accounts", "z_accounts"} {
		run(t, w.srv.Root(), "CREATE TABLE "+source+"."+name+" (id INT PRIMARY KEY, money INT)")
		run(t, w.srv.Root(), "INSERT INTO "+source+"."+name+" SELECT seq, 100 FROM "+numbers(20))
	}
	transfers := transferring(t, w, source)
	before := transfers.Load()
	got := w.evidence(t, w.job(source))
	if transfers.Load() == before {
		t.Error("nothing was written during the backup: the test proves nothing")
	}
	wantEvidence(t, got, 3, 2040, true)
}
