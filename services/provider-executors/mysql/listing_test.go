package mysql

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// oddDump is a dump of two databases, the first with routines and events of odd SQL modes.
func oddDump(t *testing.T) []byte {
	t.Helper()
	srv := mysqltest.Start(t, mysqltest.MariaDB)
	db, err := srv.Open("root", mysqltest.RootPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE one CHARACTER SET latin2 COLLATE latin2_czech_cs; CREATE DATABASE two; USE one;"+
		"CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('it''s'), ('CREATE EVENT `x` DO 1;;');"+
		"CREATE EVENT e1 ON SCHEDULE EVERY 1 SECOND DO BEGIN INSERT INTO t VALUES ('DELIMITER ;\n'); /* ; */ DELETE FROM t; END;"+
		"SET sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES'; CREATE PROCEDURE p() BEGIN SELECT 'C:\\'; SELECT \"a\" FROM t; END;"+
		"CREATE EVENT \"e2\" ON SCHEDULE EVERY 1 SECOND DO INSERT INTO \"t\" VALUES ('C:\\');"+
		"CREATE EVENT two.e3 ON SCHEDULE EVERY 1 SECOND DO DELETE FROM one.t"); err != nil {
		t.Fatal(err)
	}
	dump, err := exec.CommandContext(t.Context(), "mariadb-dump", "--no-defaults", "--single-transaction", "--socket="+srv.Socket, "-uroot", "-p"+mysqltest.RootPassword, "--routines", "--events", "--databases", "one", "two").Output()
	if err != nil {
		t.Fatal(err)
	}
	return dump
}

func TestListing_OfACopyWithoutOneIsReadFromItsStatements(t *testing.T) {
	t.Parallel()
	dump := oddDump(t)
	l := &listing{scan: newScan()}
	if _, err := l.Write(dump); err != nil {
		t.Fatal(err)
	}
	all, err := l.databases()
	if err != nil || len(all) != 2 || all[0] != (schema{"one", "latin2", "latin2_czech_cs"}) || all[1].name != "two" {
		t.Errorf("%+v, %v", all, err)
	}
	if l.routines != 1 || l.events != 3 {
		t.Errorf("%d routines, %d events", l.routines, l.events)
	}

	for name, torn := range map[string]string{"string": "SELECT 'x", "delimiter": "DELIMITER ;;\nSELECT 1;\n", "statement": "CREATE DATABASE `x`"} {
		l := &listing{scan: newScan()}
		_, _ = l.Write([]byte(torn))
		if _, err := l.databases(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestListing_ComesBeforeTheStatementsAndMayBeLong(t *testing.T) {
	t.Parallel()
	var want []schema
	for range 300 {
		want = append(want, schema{strings.Repeat("é\n`", 20), "latin2", "latin2_czech_cs"})
	}
	for _, piece := range []int{1, 5, 30000} {
		var b bytes.Buffer
		if err := writeListing(&b, want); err != nil {
			t.Fatal(err)
		}
		b.WriteString("-- MariaDB dump 10.19\nSELECT 1;\n-- Dump completed\n")
		l, e := &listing{scan: newScan()}, &ends{}
		for b.Len() > 0 {
			p := b.Next(piece)
			_, _ = l.Write(p)
			_, _ = e.Write(p)
		}
		got, err := l.databases()
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(schema{})); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if err := e.verdict(); err != nil {
			t.Error(err)
		}
	}
	l := &listing{scan: newScan()}
	_ = writeListing(l, want[:1])
	_, _ = l.Write([]byte("CREATE DATABASE `other`;\n"))
	if _, err := l.databases(); err == nil {
		t.Error("a database beside the list was not seen")
	}
}

func TestEventless_LeavesOutTheEventsAndNothingElse(t *testing.T) {
	t.Parallel()
	dump := oddDump(t)
	for _, piece := range []int{1, 2, 3, 7, 4096, len(dump)} {
		var got bytes.Buffer
		e := &eventless{scan: newScan(), to: &got}
		for rest := dump; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := e.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := e.end(); err != nil {
			t.Fatal(err)
		}
		after := newScan()
		_, _ = after.Write(got.Bytes())
		e.events = 0
		if diff := cmp.Diff(e.contents, after.contents, cmp.AllowUnexported(contents{}, table{}, schema{})); diff != "" {
			t.Fatalf("in pieces of %d:\n%s", piece, diff)
		}
		if strings.Contains(got.String(), "EVERY 1 SECOND") || !strings.Contains(got.String(), `SELECT 'C:\'; SELECT "a"`) {
			t.Fatalf("in pieces of %d:\n%s", piece, got.String())
		}
		if cut := len(dump) - got.Len(); cut < 300 || cut > 2000 {
			t.Errorf("%d bytes were left out", cut)
		}
	}
}
