package mysql

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// pieces are what strings are made of, so that every way to end one early is tried.
var pieces = []string{"'", `\`, `"`, "`", ";", "--", "-- ", "#", "/*", "*/", "/*!50003 ", "),(", "(", ")", "\n", "\x00", "VALUES", "INSERT INTO `t` VALUES (1);\n", "DELIMITER ;;\n", "é", "\xff", "0x", ""}

func TestScan_CountsWhatTheServerCounts(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MariaDB)
	db := srv.Root()
	run := func(q string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatalf("%.100s: %v", q, err)
		}
	}
	run("CREATE DATABASE d")
	want := map[table]int64{}
	for n := range 6 {
		name := "t" + strings.Repeat(pieces[n%4], n) + fmt.Sprint(n)
		quoted := "d." + quote(name)
		run("CREATE TABLE " + quoted + " (id INT AUTO_INCREMENT PRIMARY KEY, a LONGTEXT CHARACTER SET latin1, b LONGBLOB, c VARCHAR(9) AS (')('))")
		for i := range 60 * n {
			var text strings.Builder
			for k := range 1 + i%5 {
				text.WriteString(pieces[(i*7+k*(n+3)+n)%len(pieces)])
			}
			// Bytes and not text: latin1 takes every one.
			run("INSERT INTO "+quoted+" (a, b) VALUES (CONVERT(X'"+fmt.Sprintf("%x", text.String())+"' USING latin1), ?)", []byte(text.String()))
		}
		var count int64
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+quoted).Scan(&count); err != nil {
			t.Fatal(err)
		}
		want[table{"d", name}] = count
	}
	for _, options := range [][]string{{"--hex-blob"}, {"--skip-extended-insert"}, {"--complete-insert", "--default-character-set=binary"}} {
		args := append([]string{"--no-defaults", "--socket=" + srv.Socket, "-uroot", "-p" + mysqltest.RootPassword}, options...)
		dump, err := exec.Command("mariadb-dump", append(args, "--databases", "d")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []int{1, 2, 3, 7, 4096, len(dump)} { // cut anywhere
			got := newScan()
			for rest := dump; len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := got.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if diff := cmp.Diff(want, got.rows, cmp.AllowUnexported(table{})); diff != "" {
				t.Fatalf("%v in pieces of %d (-server +scan):\n%s", options, piece, diff)
			}
			if diff := cmp.Diff([]string{"d"}, namesOf(got.databases)); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func TestScan_SumsAreThoseOfTheRowsInAnyOrderAndPieces(t *testing.T) {
	t.Parallel()
	sum := func(dump string, piece int) uint64 {
		s := newScan()
		for rest := dump; len(rest) > 0; {
			n := min(piece, len(rest))
			_, _ = s.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		return s.sums[table{"", "t"}]
	}
	const a, b, c = `(1,'a(b;''c\\')`, `(2,'it\'s',0x00),`, `(NULL,f(1),'')`
	whole := "INSERT INTO `t` VALUES " + b + a + "," + b + c + ";\n"
	want := sum(whole, len(whole))
	for name, same := range map[string]string{
		"another order":   "INSERT INTO `t` VALUES " + c + "," + b + b + a + ";\n",
		"two statements":  "INSERT INTO `t` VALUES\n" + b + a + ";\nINSERT INTO `u` VALUES (9);\nINSERT INTO `t` VALUES " + b + "\n" + c + ";",
		"without a space": "INSERT INTO `t` VALUES" + b + b + a + "," + c + ";",
		"the columns":     "INSERT INTO `t` (`a`, `VALUES (`) VALUES " + b + b + a + "," + c + ";",
	} {
		for piece := range 20 {
			if got := sum(same, piece+1); got != want {
				t.Errorf("%s in pieces of %d: %x of %x", name, piece+1, got, want)
			}
		}
	}
	for name, other := range map[string]string{
		"a byte":        strings.Replace(whole, "it", "is", 1),
		"one of two":    strings.Replace(whole, b, "", 1),
		"both of two":   strings.ReplaceAll(whole, b, ""),
		"a third":       strings.Replace(whole, b, b+b, 1),
		"another split": strings.Replace(whole, ",f(1),''", ",f(1,'')", 1),
	} {
		if sum(other, 7) == want {
			t.Errorf("%s was not seen", name)
		}
	}
}

func TestScan_SumsLeaveOutTheSignOfAZeroAndOfNothingElse(t *testing.T) {
	t.Parallel()
	sum := func(values string, piece int) uint64 {
		s := newScan()
		dump := "INSERT INTO `t` VALUES (1," + values + "),(" + values + ",'x');\n"
		for rest := dump; len(rest) > 0; {
			n := min(piece, len(rest))
			_, _ = s.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if !s.whole() || s.rows[table{"", "t"}] != 2 {
			t.Errorf("%s in pieces of %d: %d rows", values, piece, s.rows[table{"", "t"}])
		}
		return s.sums[table{"", "t"}]
	}
	for piece := range 12 {
		for zero, same := range map[string]string{"-0": "0", "-0.000": "0.000", "-0,-0,2": "0,0,2"} {
			if sum(zero, piece+1) != sum(same, 100) {
				t.Errorf("%s is not %s in pieces of %d", zero, same, piece+1)
			}
		}
		for one, other := range map[string]string{"-1": "1", "-0.5": "0.5", "-01": "01", "'-0'": "'0'", "'a',-7,'b'": "'a',7,'b'"} {
			if got := sum(one, piece+1); got == sum(other, 100) || got != sum(one, 100) {
				t.Errorf("%s and %s in pieces of %d", one, other, piece+1)
			}
		}
	}
}

func TestEnds_TheMarkIsTheLastLineAndNoOther(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text string
		want bool
	}{
		{"-- Dump completed\n", true},
		{"x\n-- Dump completed on 2026-01-02  3:04:05\n", true},
		{"x\n-- Dump completed", false},
		{"-- Dump completed\nINSERT INTO t VALUES (1);\n", false},
		{"x -- Dump completed\n", false},
		{"x\n-- Dump completed\n\n", false},
		{"", false},
	}
	for _, c := range cases {
		for _, piece := range []int{1, 5000} {
			e := &ends{}
			text := strings.Repeat("y", 9000) + "\n" + c.text
			for i := 0; i < len(text); i += piece {
				_, _ = e.Write([]byte(text[i:min(i+piece, len(text))]))
			}
			if e.complete() != c.want {
				t.Errorf("%q in pieces of %d: %v", c.text, piece, e.complete())
			}
		}
	}
}

func TestDifferences_TellsEveryKind(t *testing.T) {
	t.Parallel()
	of := func(change func(*contents)) contents {
		c := contents{rows: map[table]int64{{"d", "a"}: 3}, views: map[table]bool{{"d", "v"}: true}, triggers: 1, routines: 1, events: 1, sequences: 1}
		change(&c)
		return c
	}
	whole := of(func(*contents) {})
	if err := whole.differences(of(func(*contents) {})); err != nil {
		t.Errorf("equal ones: %v", err)
	}
	for name, change := range map[string]func(*contents){
		"a row":       func(c *contents) { c.rows[table{"d", "a"}]-- },
		"a table":     func(c *contents) { delete(c.rows, table{"d", "a"}) },
		"a new table": func(c *contents) { c.rows[table{"d", "b"}] = 0 },
		"a view":      func(c *contents) { c.views = nil },
		"a trigger":   func(c *contents) { c.triggers = 0 },
		"a routine":   func(c *contents) { c.routines = 0 },
		"an event":    func(c *contents) { c.events = 0 },
		"a sequence":  func(c *contents) { c.sequences = 0 },
	} {
		if whole.differences(of(change)) == nil {
			t.Errorf("%s was not missed", name)
		}
	}
}

func TestLike_IsThatOfGrants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{`shop\_a`, "shop_a", true}, {`shop\_a`, "shopxa", false}, {"shop_a", "shopxa", true},
		{"s%", "shop", true}, {"s%", "xs", false}, {"a.b", "axb", false}, {`\%`, "%", true}, {`\%`, "x", false},
	} {
		if like(c.pattern, c.name) != c.want {
			t.Errorf("%q LIKE %q: %v", c.name, c.pattern, !c.want)
		}
	}
}

// mysqlTables are statements as MySQL's own server writes them.
const mysqlTables = "CREATE TABLE `plain` (\n  `id` int NOT NULL,\n  `json` text COMMENT 'a\\n  `x` json',\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n" +
	"CREATE TABLE `doc` (\n  `id` int NOT NULL,\n  `d``oc` json DEFAULT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\n" +
	"CREATE TABLE `made` (\n  `v` json GENERATED ALWAYS AS (json_array(1)) VIRTUAL\n) ENGINE=InnoDB;\n" +
	"CREATE TABLE `of_mariadb` (\n  `doc` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`doc`))\n) ENGINE=InnoDB;\n" +
	"CREATE TABLE `both` (\n  `id` int DEFAULT NULL\n) ENGINE=MRG_MyISAM DEFAULT CHARSET=utf8mb4 UNION=(`a`,`b`);\n" +
	"CREATE TABLE `far` (\n  `id` int DEFAULT NULL\n) ENGINE=FEDERATED DEFAULT CHARSET=utf8mb4 CONNECTION='mysql://u@h/d/t';\n" +
	"CREATE TABLE `said` (\n  `id` int DEFAULT NULL\n) ENGINE=InnoDB COMMENT='ENGINE=FEDERATED';\n"

func TestScan_TellsTheTablesWhoseRowsAreNotCompared(t *testing.T) {
	t.Parallel()
	s := newScan()
	s.database = "d"
	_, _ = s.Write([]byte(mysqlTables))
	names := func(all map[table]bool) (names []string) {
		for t := range all {
			names = append(names, t.name)
		}
		slices.Sort(names)
		return names
	}
	if diff := cmp.Diff([]string{"doc", "made"}, names(s.byNumber)); diff != "" {
		t.Errorf("by number (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"both", "far"}, names(s.elsewhere)); diff != "" {
		t.Errorf("not at all (-want +got):\n%s", diff)
	}

	there := contents{rows: map[table]int64{}, sums: map[table]uint64{}}
	for name := range s.rows {
		there.rows[name] = s.rows[name]
		if s.byNumber[name] { // as after 1.50 became 1.5
			there.sums[name] = 7
		}
	}
	there.rows[table{"d", "both"}] = 3 // the rows of others
	if err := s.differences(there); err != nil {
		t.Error(err)
	}
	if err := s.rowDifferences(there); err != nil {
		t.Error(err)
	}
	there.sums[table{"d", "plain"}] = 7
	if s.rowDifferences(there) == nil {
		t.Error("another sum made no difference")
	}
}
