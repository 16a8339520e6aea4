package mysql

import (
	"bytes"
	"regexp"
	"slices"
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
	byNumber  map[table]bool   // those whose rows may have another text when they are dumped again
	elsewhere map[table]bool   // those whose rows belong to other tables or servers: none is in a dump
	views     map[table]bool
	triggers  int
	routines  int // with MySQL's libraries
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
		"(?:SQL\\s+SECURITY\\s+\\w+\\s+)?(?:AGGREGATE\\s+)?(?:JSON\\s+RELATIONAL\\s+DUALITY\\s+)?(TABLE|VIEW|TRIGGER|PROCEDURE|FUNCTION|PACKAGE|LIBRARY|EVENT|SEQUENCE)\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?(" + quotedName + ")?")
)

var (
	// rowStart makes a column with the time of the insert, in a table whose history MariaDB keeps.
	rowStart = []byte(" GENERATED ALWAYS AS ROW START")
	// jsonForm is a column of MySQL's own type, in which 1.50 becomes 1.5 when it is loaded. MariaDB's is a text.
	jsonForm = regexp.MustCompile("(?im)^\\s*" + quotedName + "\\s+json\\b")
	// engineForm stands behind the columns. A line break within a text is escaped.
	engineForm = regexp.MustCompile(`(?m)^\).*?\bENGINE=(\w+)`)
)

// elsewhereEngines keep no rows of their own, and the tools dump none (man mariadb-dump: "engines that manage
// external data").
var elsewhereEngines = []string{"MRG_MYISAM", "MRG_ISAM", "CONNECT", "OQGRAPH", "SPIDER", "VP", "FEDERATED"}

// created is called at the end of a statement that makes a table.
func (s *scan) created(name table) {
	s.rows[name] += 0
	if bytes.Contains(s.text, rowStart) || jsonForm.Match(s.text) || len(s.text) >= maxText {
		s.byNumber[name] = true
	}
	if m := engineForm.FindSubmatch(s.text); m != nil && slices.Contains(elsewhereEngines, strings.ToUpper(string(m[1]))) {
		s.elsewhere[name] = true
	}
}

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
		s.created(name)
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
