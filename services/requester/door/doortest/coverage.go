// Package doortest is what the tests of all doors have in common: a table of the contract's rows that is held against
// the tests that exist, and conversations as bytes.
package doortest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile(`\bTest[A-Z]\w*`)
	wireName = regexp.MustCompile(`\bwire/(\w+)`)
	rowSpan  = regexp.MustCompile(`\b([A-Za-z])(\d+)(?: - [A-Za-z](\d+))?`)
	columns  = regexp.MustCompile(`\s{2,}`)
)

// Covers reads the table above the only function of coverage_test.go. A line of it is the contract's rows, as
// `B1, B4 - B6`, at least two blanks, and who holds them. Every row from 1 to rows[kind] has to be in a line, and every
// test and every wire/x that is named has to be there.
func Covers(t *testing.T, rows map[string]int) {
	t.Helper()
	here, err := os.ReadFile("coverage_test.go")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(here), "\nfunc ")
	tests := Tests(t, ".")
	for _, name := range testName.FindAllString(table, -1) {
		if !strings.Contains(tests, "\nfunc "+name+"(") {
			t.Errorf("the table names %s, which is not there", name)
		}
	}
	for _, name := range wireName.FindAllStringSubmatch(table, -1) {
		if _, err := os.Stat(wireFile(name[1])); err != nil && name[1] != "x" {
			t.Error(err)
		}
	}
	named := rowsOf(table)
	for kind, most := range rows {
		for n := 1; n <= most; n++ {
			if row := fmt.Sprint(kind, n); !named[row] {
				t.Errorf("%s is in no line of the table", row)
			}
		}
	}
}

// Tests are the sources of all tests of a folder.
func Tests(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func rowsOf(table string) map[string]bool {
	named := map[string]bool{}
	for line := range strings.SplitSeq(table, "\n") {
		entry, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		column := columns.Split(entry, 2)
		if len(column) < 2 || strings.TrimSpace(column[1]) == "" { // nobody holds them, and nothing is said of it
			continue
		}
		for _, span := range rowSpan.FindAllStringSubmatch(column[0], -1) {
			from, _ := strconv.Atoi(span[2])
			to, err := strconv.Atoi(span[3])
			if err != nil { // one row
				to = from
			}
			for n := from; n <= to; n++ {
				named[fmt.Sprint(span[1], n)] = true
			}
		}
	}
	return named
}
