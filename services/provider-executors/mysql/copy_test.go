package mysql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// awkward is a database with what breaks naive tools. Its own name has to be quoted everywhere.
const awkward = "" +
	"CREATE TABLE `it's a \"table\" -- with ``quotes`` ; Ünïcödé` (id INT PRIMARY KEY, `col``umn` TEXT, b BLOB) DEFAULT CHARSET=utf8mb4;" +
	"INSERT INTO `it's a \"table\" -- with ``quotes`` ; Ünïcödé` VALUES (1, 'a''b\\\\ \\n-- Dump completed\\n', X'00FF270A5C'), (2, '),(', X''), (3, '/* not a comment', NULL), (4, 'INSERT INTO `x` VALUES (1);', X'C328');" +
	"CREATE TABLE empty_one (id INT);" +
	"CREATE TABLE wide (id INT PRIMARY KEY, b LONGBLOB); INSERT INTO wide VALUES (1, REPEAT(X'00', 3000000)), (2, REPEAT('\\'', 100000));" +
	"SET SESSION sql_mode=''; CREATE TABLE zero_dates (d DATETIME, e DATE); INSERT INTO zero_dates VALUES ('0000-00-00 00:00:00', '0000-00-00');" +
	"CREATE TABLE `generated` (a INT, b INT AS (a * 2) STORED, c VARCHAR(20) AS (CONCAT('(', 'x', ')')) VIRTUAL, `values` INT); INSERT INTO `generated` (a, `values`) VALUES (1, 2), (3, 4);" +
	"CREATE TABLE latin (s VARCHAR(20)) DEFAULT CHARSET=latin1; INSERT INTO latin VALUES (X'E4F6FC80');" +
	"CREATE TABLE bits (b BIT(8), v VARBINARY(9), g POINT, f DOUBLE, j JSON); INSERT INTO bits VALUES (b'10101', 'x\\'y', POINT(1, 2), 1e300, '{\"a\": [1, 2]}');" +
	"CREATE VIEW v1 AS SELECT id FROM wide; CREATE VIEW v2 AS SELECT id + 1 AS `weird (id)` FROM v1;" +
	"CREATE DEFINER=`no body`@`no.where` VIEW v3 AS SELECT 1;" +
	"CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 2;" +
	"CREATE DEFINER=`no body`@`no.where` PROCEDURE odd() BEGIN /* it's; */ SELECT 'DELIMITER ;;\nUSE `x`;\n-- Dump completed\n'; # isn't it\n INSERT INTO empty_one VALUES (1), (2); -- don't\nUSE_IT: LOOP LEAVE USE_IT; END LOOP; END;" +
	"create trigger lower before insert on empty_one for each row begin set new.id = new.id + 1; end;" +
	"INSERT INTO empty_one SELECT 1 FROM DUAL WHERE 0;" +
	// Last and without a semicolon, which MySQL would keep as a part of it, and its tool write where none may stand.
	"CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO INSERT INTO empty_one VALUES (1)"

// awkwardOf is what one kind alone has.
var awkwardOf = map[mysqltest.Kind]string{
	mysqltest.MariaDB: "CREATE SEQUENCE counting START WITH 7",
	mysqltest.MySQL: "SET sql_generate_invisible_primary_key=1; CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (7), (7); SET sql_generate_invisible_primary_key=0;" +
		"CREATE TABLE modern (id INT PRIMARY KEY, doc JSON DEFAULT (JSON_OBJECT('a', 1)), hidden INT INVISIBLE DEFAULT 3, word VARCHAR(9), near VECTOR(3), place POINT NOT NULL SRID 4326," +
		" KEY loud ((UPPER(word))), KEY parts ((CAST(doc->'$.n' AS UNSIGNED ARRAY))), KEY off (word) INVISIBLE, KEY down (id DESC), CONSTRAINT small CHECK (id < 1000));" +
		"INSERT INTO modern (id, word, near, place) VALUES (1, 'x', STRING_TO_VECTOR('[1,2.5,-3]'), ST_SRID(POINT(1, 2), 4326)), (2, NULL, NULL, ST_SRID(POINT(3, 4), 4326));" +
		"CREATE LIBRARY said COMMENT 'it''s' LANGUAGE JAVASCRIPT AS $$ export function f(n) { /* isn't */ return \"DELIMITER ;;\\n;;\" + `$` } $$;" +
		"CREATE FUNCTION script(n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT AS $js$ let x = 'it'; return \"isn't $$;\" $js$;" +
		"CREATE JSON RELATIONAL DUALITY VIEW documents AS SELECT JSON_DUALITY_OBJECT('_id': id, 'word': word) FROM modern",
}

func fillAwkward(t testing.TB, w *world, name string) {
	t.Helper()
	db, err := w.srv.Open("root", mysqltest.RootPassword, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run(t, db, awkward)
	run(t, db, awkwardOf[w.srv.Kind])
}

func restored(t *testing.T, w *world, j executor.Job) {
	t.Helper()
	j.Proof = events.ProofRestored
	o := executortest.Take(t, w.executor(t), j)
	if o.Proof != events.ProofRestored {
		t.Errorf("proof %s", o.Proof)
	}
}

func TestBackup_AwkwardContentIsRestoredEqual(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		run(t, w.srv.Root(), "ALTER DATABASE "+source+" CHARACTER SET latin2 COLLATE latin2_czech_cs")
		fillAwkward(t, w, source)
		run(t, w.srv.Root(), "DROP DATABASE "+target)
		restored(t, w, w.job(source))

		x, j := w.executor(t), w.job(source)
		j.Attempt = 2
		o := executortest.Take(t, x, j)
		w.restore(t, x, o, w.config(target), nil)
		if diff := cmp.Diff(shape(t, w, source), shape(t, w, target)); diff != "" {
			t.Errorf("restored (-want +got):\n%s", diff)
		}
	})
}

// shape is everything of a database that its copy has to hold, without its name.
func shape(t testing.TB, w *world, name string) []string {
	t.Helper()
	db := w.srv.Root()
	var all []string
	add := func(q string, args ...any) {
		for _, row := range query(t, db, q, args...) {
			text := strings.ReplaceAll(fmt.Sprintf("%.4000q", row), name, "{}")
			all = append(all, strings.ReplaceAll(text, " CHARACTER SET latin2 COLLATE ", " COLLATE ")) // MySQL says it or not
		}
	}
	add("SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", name)
	for _, row := range query(t, db, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY 1", name) {
		object := quote(name) + "." + quote(row[0])
		add("SHOW CREATE TABLE " + object)
		if row[1] != "VIEW" || row[0] == "v2" {
			add("SELECT * FROM " + object + " ORDER BY 1")
		}
	}
	add("SELECT TRIGGER_NAME, ACTION_STATEMENT, DEFINER, SQL_MODE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? ORDER BY 1", name)
	add("SELECT ROUTINE_NAME, ROUTINE_TYPE, TRIM(TRAILING ';' FROM ROUTINE_DEFINITION), DEFINER, SQL_MODE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? ORDER BY 1", name)
	add("SELECT EVENT_NAME, EVENT_DEFINITION, DEFINER, INTERVAL_VALUE, STARTS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 1", name)
	if w.srv.Kind == mysqltest.MySQL {
		add("SELECT LIBRARY_NAME, LIBRARY_DEFINITION, LIBRARY_COMMENT FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = ? ORDER BY 1", name)
	}
	return all
}

// restore puts a copy into a target by the backup account.
func (w *world) restore(t testing.TB, x *engine.Executor, o lifecycle.Outcome, target events.InstanceConfig, change func(*executor.RestoreJob)) {
	t.Helper()
	executortest.Restore(t, x, restoreJob(o, target, change))
}

func (w *world) tryRestore(t testing.TB, x *engine.Executor, o lifecycle.Outcome, target events.InstanceConfig, change func(*executor.RestoreJob)) error {
	t.Helper()
	_, err := x.Restore(t.Context(), restoreJob(o, target, change))
	return err
}

func restoreJob(o lifecycle.Outcome, target events.InstanceConfig, change func(*executor.RestoreJob)) executor.RestoreJob {
	j := executor.RestoreJob{RestoreID: testRestore + fmt.Sprint(databases.Add(1)), BackupID: testBackup, Source: *o.Ref, Checksum: o.Checksum, Target: target}
	if change != nil {
		change(&j)
	}
	return j
}

// oddNames are names of databases that break what is not quoted.
var oddNames = []string{"-x", "--help", "a b'c\"d`e", "\u00fcn\u00ef-\u4f8b", "%s {0} $HOME \\", "DROP"}

func TestBackup_OddNamesOfDatabasesAreRestored(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		srv := mysqltest.Start(t, kind)
		w := newWorld(t, srv)
		for i, name := range oddNames {
			run(t, srv.Root(), "CREATE DATABASE "+quote(name))
			fill(t, srv, name, i)
		}
		all := w.job()
		all.Config.User, all.Config.CredentialRef = "root", "env:ROOT"
		restored(t, w, all)

		x := w.executor(t)
		for i, name := range oddNames {
			j := all
			j.BackupID, j.Database = fmt.Sprintf("bk_%026d", i), name
			o := executortest.Take(t, x, j)
			before := content(t, srv, name)
			if before == "" {
				t.Fatal("nothing to compare")
			}
			run(t, srv.Root(), "DROP DATABASE "+quote(name))
			w.restore(t, x, o, all.Config, nil)
			if got := content(t, srv, name); got != before {
				t.Errorf("%q: content differs", name)
			}
			if i == 2 {
				w.byHand(t, *o.Ref, name, "")
				if got := content(t, srv, name); got != before {
					t.Errorf("%q by hand: content differs", name)
				}
			}
		}
	})
}

// byHand drops a database and runs the line of the manifest as it stands, with what a person has: an
// option file at home. key is a file of the age key.
func (w *world) byHand(t testing.TB, r executor.Ref, name, key string) {
	t.Helper()
	run(t, w.srv.Root(), "DROP DATABASE "+quote(name))
	home := t.TempDir()
	options := "[client]\nsocket=" + w.srv.Socket + "\nuser=root\npassword=" + mysqltest.RootPassword + "\n"
	if err := os.WriteFile(filepath.Join(home, ".my.cnf"), []byte(options), 0o600); err != nil {
		t.Fatal(err)
	}
	var m archive.Manifest
	if err := json.Unmarshal([]byte(w.manifest(t, r)), &m); err != nil {
		t.Fatal(err)
	}
	executortest.ByHand(t, filepath.Dir(w.object(r)), m.Objects[0].Restore, key,
		"HOME="+home, "PATH="+os.Getenv(mysqltest.Folder)+":"+os.Getenv("PATH"))
}

func TestRestore_SeveralDatabasesComeBackTogetherAndByHand(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		one, two := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, one, 50)
		fill(t, w.srv, two, 60)
		run(t, w.srv.Root(), "CREATE VIEW "+two+".across AS SELECT id FROM "+one+".t")
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(one, two))
		want := content(t, w.srv, one) + content(t, w.srv, two)

		err := w.tryRestore(t, x, o, w.config(), nil)
		executortest.WantCode(t, err, events.AlreadyExists)
		err = w.tryRestore(t, x, o, w.config(), func(j *executor.RestoreJob) { j.Database = "elsewhere" })
		executortest.WantCode(t, err, events.ProviderRejected)

		run(t, w.srv.Root(), "DELETE FROM "+one+".t")
		run(t, w.srv.Root(), "DROP DATABASE "+two)
		w.restore(t, x, o, w.config(), func(j *executor.RestoreJob) { j.Overwrite = true })
		if content(t, w.srv, one)+content(t, w.srv, two) != want {
			t.Error("content differs")
		}
		run(t, w.srv.Root(), "DROP DATABASE "+one)
		w.byHand(t, *o.Ref, two, "")
		if content(t, w.srv, one)+content(t, w.srv, two) != want {
			t.Error("content by hand differs")
		}
	})
}

func TestBackup_EmptyDatabaseIsRestoredEmpty(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source := database(t, w.srv)
		restored(t, w, w.job(source))
	})
}

func TestBackup_OfOneDatabaseHoldsNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		one, two := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, one, 5)
		run(t, w.srv.Root(), "CREATE TABLE "+two+".secret_of_two (id INT)")
		j := w.job(one, two)
		j.Database = one
		o := executortest.Take(t, w.executor(t), j)
		if s := w.text(t, *o.Ref); strings.Contains(s, two) || strings.Contains(s, "secret_of_two") || !strings.Contains(s, "CREATE TABLE `t`") {
			t.Errorf("the dump of one:\n%.2000s", s)
		}
	})
}

// position is how that of the shared server begins: the GTID, or the file of the log.
var position = map[mysqltest.Kind]string{mysqltest.MariaDB: "0-1-", mysqltest.MySQL: "bin.0"}

// TestBackup_InTheMiddleOfTransfersIsOfOneMoment moves money between two tables while copies are made: in
// none of them may any be lost or made.
func TestBackup_InTheMiddleOfTransfersIsOfOneMoment(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, 3000) // between the two in the order of the tool
		fillAccounts(t, w, source)
		transfers := transferring(t, w, source)
		x := w.executor(t)
		for i := range 3 {
			j := w.job(source)
			j.BackupID = fmt.Sprintf("bk_%026d", i)
			before := transfers.Load()
			o := executortest.Take(t, x, j)
			if transfers.Load() == before {
				t.Error("nothing was written during the backup: the test proves nothing")
			}
			if m := w.manifest(t, *o.Ref); !strings.Contains(m, `"position": "`+position[kind]) {
				t.Errorf("no position in %s", m)
			}
			w.restore(t, x, o, w.config(target), func(j *executor.RestoreJob) { j.Overwrite = true })
			if sum := money(t, w.srv, target); sum != allMoney {
				t.Errorf("the money in copy %d: %s of %s", i, sum, allMoney)
			}
		}
	})
}

// fillAccounts makes two tables between which money is moved, which the tools read first and last.
func fillAccounts(t *testing.T, w *world, name string) {
	t.Helper()
	for _, table := range []string{"a_accounts", "z_accounts"} {
		run(t, w.srv.Root(), "CREATE TABLE "+name+"."+table+" (id INT PRIMARY KEY, money INT)")
		run(t, w.srv.Root(), "INSERT INTO "+name+"."+table+" SELECT seq, 100 FROM "+numbers(20))
	}
}

// allMoney is what money is at every moment.
const allMoney = "4000"

func money(t *testing.T, srv *mysqltest.Server, name string) string {
	t.Helper()
	return query(t, srv.Root(), "SELECT (SELECT SUM(money) FROM "+name+".a_accounts) + (SELECT SUM(money) FROM "+name+".z_accounts)")[0][0]
}

// transferring moves money until the test ends, and counts.
func transferring(t *testing.T, w *world, name string) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			tx, err := w.srv.Root().BeginTx(ctx, nil)
			for k, step := range []string{"a_accounts SET money = money - ?", "z_accounts SET money = money + ?"} {
				if err == nil {
					_, err = tx.ExecContext(ctx, "UPDATE "+name+"."+step+" WHERE id = ?", i%7, (i+k)%20+1)
				}
			}
			if err == nil {
				err = tx.Commit()
			}
			if ctx.Err() != nil {
				done <- nil
				return
			}
			if err != nil {
				done <- err
				return
			}
			n.Add(1)
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the first transfers", func() bool { return n.Load() > 10 })
	return &n
}

func TestBackup_TablesWithoutTransactionsAreToldInTheManifest(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source := database(t, w.srv)
		run(t, w.srv.Root(), "CREATE TABLE "+source+".old (id INT) ENGINE=MyISAM")
		o := executortest.Take(t, w.executor(t), w.job(source))
		if m := w.manifest(t, *o.Ref); !strings.Contains(m, "different moments: 1") {
			t.Errorf("manifest %s", m)
		}
	})
}

func TestBackup_TenThousandTables(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MariaDB, "--sync-frm=0", "--table-open-cache=4000", "--innodb-file-per-table=0") // no file for each
	w := newWorld(t, srv)
	run(t, srv.Root(), "CREATE DATABASE many")
	db, err := srv.Open("root", mysqltest.RootPassword, "many")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 100 {
		var all strings.Builder
		for k := range 100 {
			fmt.Fprintf(&all, "CREATE TABLE t%d (id INT) ENGINE=InnoDB;", i*100+k)
		}
		run(t, db, all.String())
	}
	j := w.job("many")
	j.Config.User, j.Config.CredentialRef = "root", "env:ROOT"
	o := executortest.Take(t, w.executor(t), j)
	if n := strings.Count(w.text(t, *o.Ref), "\nCREATE TABLE "); n != 10000 {
		t.Errorf("%d tables in the copy", n)
	}
}
