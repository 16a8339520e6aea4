package mysql

import (
	"bytes"
	"regexp"
	"strings"
)

// table names a table of a dump. The database is empty where the stream does not choose one.
type table struct{ database, name string }

// contents are what a dump creates.
type contents struct {
	databases []schema         // that the stream creates, in its order
	made      map[table]bool   // tables, views and sequences
	rows      map[table]int64  // of each base table
	sums      map[table]uint64 // of its rows, in whatever order; nil: not known
	periods   map[table]bool   // those in which the server itself fills columns, at every insert
	views     map[table]bool
	triggers  int
	routines  int
	events    int
	sequences int
}

const (
	// quotedName has its second form under ANSI_QUOTES.
	quotedName = "(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\")"
	definer    = "(?:DEFINER\\s*=\\s*(?:" + quotedName + "|[^\\s@`\"]+)(?:@(?:" + quotedName + "|[^\\s`\"]+))?\\s+)?"
)

var (
	modeForm     = regexp.MustCompile(`(?i)(@?\w+)\s*=\s*('[^']*'|@@?\w+)`)
	useForm      = regexp.MustCompile("^USE\\s+(`(?:[^`]|``)*`)")
	databaseForm = regexp.MustCompile("^CREATE DATABASE\\s+(?:IF NOT EXISTS\\s+)?(`(?:[^`]|``)*`)(?:\\s+DEFAULT CHARACTER SET (\\w+)(?:\\s+COLLATE (\\w+))?)?")
	createForm   = regexp.MustCompile("(?i)^CREATE\\s+(?:OR\\s+REPLACE\\s+)?(?:ALGORITHM\\s*=\\s*\\w+\\s+)?" + definer +
		"(?:SQL\\s+SECURITY\\s+\\w+\\s+)?(?:AGGREGATE\\s+)?(TABLE|VIEW|TRIGGER|PROCEDURE|FUNCTION|PACKAGE|EVENT|SEQUENCE)\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?(" + quotedName + ")?")
)

// rowStart makes a column with the time of the insert, in a table whose history MariaDB keeps.
var rowStart = []byte(" GENERATED ALWAYS AS ROW START")

// statement is called at the end of one.
func (s *scan) statement() {
	s.event = false
	if bytes.HasPrefix(s.text, []byte("SET ")) {
		s.set()
		return
	}
	if m := useForm.FindSubmatch(s.text); m != nil {
		s.database = unquote(string(m[1]))
		return
	}
	if m := databaseForm.FindSubmatch(s.text); m != nil {
		s.databases = append(s.databases, schema{unquote(string(m[1])), string(m[2]), string(m[3])})
		return
	}
	m := createForm.FindSubmatch(s.text)
	if m == nil {
		return
	}
	name, kind := table{s.database, unquote(string(m[2]))}, strings.ToUpper(string(m[1]))
	if kind == "TABLE" || kind == "VIEW" || kind == "SEQUENCE" {
		s.made[name] = true
	}
	switch kind {
	case "TABLE":
		s.rows[name] += 0
		if bytes.Contains(s.text, rowStart) {
			s.periods[name] = true
		}
	case "VIEW":
		s.views[name] = true
		delete(s.rows, name) // older tools create a table in place of the view at first
	case "TRIGGER":
		s.triggers++
	case "EVENT":
		s.events++
		s.event = true
	case "SEQUENCE":
		s.sequences++
	default:
		s.routines++
	}
}

// set follows the SQL mode through a SET, which may keep it in a variable and put it back.
func (s *scan) set() {
	for _, m := range modeForm.FindAllSubmatch(s.text, -1) {
		variable, value := strings.ToUpper(string(m[1])), strings.ToUpper(string(m[2]))
		switch {
		case value == "@@SQL_MODE":
			s.saved[variable] = s.mode
		case variable == "SQL_MODE" && value[0] == '@':
			s.mode = s.saved[value]
		case variable == "SQL_MODE":
			s.mode = strings.Trim(value, "'")
		}
	}
}

// nameAt is the quoted name at the beginning of text.
func nameAt(text []byte) string {
	for i := 1; i < len(text); i++ {
		if text[i] != '`' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '`' {
			i++
			continue
		}
		return unquote(string(text[:i+1]))
	}
	return ""
}
