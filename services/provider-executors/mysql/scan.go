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
	databases []schema        // that the stream creates, in its order
	made      map[table]bool  // tables, views and sequences
	rows      map[table]int64 // of each base table
	views     map[table]bool
	triggers  int
	routines  int
	events    int
	sequences int
}

// scan reads a dump that passes, statement by statement, as the client program would, and counts what it
// creates and the rows that it inserts. It knows strings, comments, versioned comments and DELIMITER, so
// that a row or a procedure may hold any text.
type scan struct {
	contents
	database string            // that the stream has chosen
	event    bool              // the statement that ended last creates one
	mode     string            // SQL mode, by which \ and " mean one thing or another
	saved    map[string]string // variables in which the stream keeps a mode

	state     state
	text      []byte // code of the current statement
	delimiter string
	matched   int // bytes of the delimiter that were seen
	quote     byte
	version   []byte // digits of a versioned comment
	into      table  // of the current INSERT
	depth     int
	inserted  int64
	ended     bool // a statement, by the last byte
}

type state uint8

const (
	inCode state = iota
	afterSlash
	afterSlashStar
	afterDash
	afterDashes
	inVersion
	inComment
	inCommentStar
	inLine
	afterStar
	inQuotes
	inEscape
	inDelimiter
	inRows
	inRowsQuotes
	inRowsEscape
)

// maxText bounds what is kept of one statement; what is created is named at its beginning.
const maxText = 1 << 20

func newScan() *scan {
	return &scan{delimiter: ";", saved: map[string]string{}, contents: contents{rows: map[table]int64{}, views: map[table]bool{}, made: map[table]bool{}}}
}

// Write never fails.
func (s *scan) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, _ := s.advance(rest)
		rest = rest[n:]
	}
	return len(p), nil
}

// advance reads to the end of a statement or of p, whichever comes first.
func (s *scan) advance(p []byte) (n int, ended bool) {
	s.ended = false
	i := 0
	for i < len(p) && !s.ended {
		switch s.state {
		case inRows:
			i += s.inRows(p[i:])
		case inRowsQuotes:
			i += s.inRowsQuotes(p[i:])
		case inRowsEscape:
			s.state = inRowsQuotes
			i++
		default:
			if s.step(p[i]) {
				i++
			}
		}
	}
	return i, s.ended
}

// whole tells that the stream ended between two statements. If not, the scan and the client program do not
// read it alike, or it was cut off.
func (s *scan) whole() bool {
	return s.state == inCode && s.delimiter == ";" && s.matched == 0 && len(bytes.TrimSpace(s.text)) == 0
}

// inRows goes through the rows of an INSERT to the next string or to the end of the statement.
func (s *scan) inRows(p []byte) int {
	for i, b := range p {
		switch b {
		case '\'':
			s.state = inRowsQuotes
			return i + 1
		case '(':
			if s.depth == 0 {
				s.inserted++
			}
			s.depth++
		case ')':
			s.depth--
		case ';':
			s.rows[s.into] += s.inserted
			s.event = false
			s.begin()
			return i + 1
		}
	}
	return len(p)
}

func (s *scan) inRowsQuotes(p []byte) int {
	for i, b := range p {
		if b == '\'' { // a doubled one opens the next string at once
			s.state = inRows
			return i + 1
		}
		if b == '\\' && s.escapes('\'') {
			s.state = inRowsEscape
			return i + 1
		}
	}
	return len(p)
}

// begin is in front of a statement.
func (s *scan) begin() {
	s.text, s.state, s.matched, s.depth, s.inserted, s.ended = s.text[:0], inCode, 0, 0, 0, true
}

// step takes one byte outside of the rows. False: look at it again in the new state.
func (s *scan) step(b byte) bool {
	switch s.state {
	case inCode:
		return s.code(b)
	case afterSlash:
		return s.slash(b)
	case afterSlashStar:
		return s.slashStar(b)
	case inVersion:
		return s.inVersion(b)
	case afterStar: // the end of a versioned comment is no text
		s.state = inCode
		if b == '/' {
			s.add(' ')
			return true
		}
		s.add('*')
		return false
	case afterDash:
		s.state = afterDashes
		if b != '-' {
			s.state = inCode
			s.add('-')
			return false
		}
	case afterDashes:
		s.state = inLine
		if b > ' ' {
			s.state = inCode
			s.add('-', '-')
		}
		return false
	case inLine:
		if b == '\n' {
			s.state = inCode
		}
	case inComment:
		if b == '*' {
			s.state = inCommentStar
		}
	case inCommentStar:
		s.commentStar(b)
	case inQuotes:
		s.quoted(b)
	case inEscape:
		s.add(b)
		s.state = inQuotes
	case inDelimiter:
		s.delimiterLine(b)
	}
	return true
}

func (s *scan) code(b byte) bool {
	if s.matched > 0 || b == s.delimiter[0] {
		if done, taken := s.end(b); done || !taken {
			return taken
		}
		return true
	}
	switch b {
	case '/':
		s.state = afterSlash
		return true
	case '*':
		s.state = afterStar
		return true
	case '-':
		s.state = afterDash
		return true
	case '#':
		s.state = inLine
		return true
	case '\'', '"', '`':
		s.state, s.quote = inQuotes, b
	}
	s.add(b)
	if b == '(' || b <= ' ' {
		s.keyword(b)
	}
	return true
}

// end takes a byte that may belong to the delimiter.
func (s *scan) end(b byte) (done, taken bool) {
	if b != s.delimiter[s.matched] {
		s.add([]byte(s.delimiter[:s.matched])...)
		s.matched = 0
		return false, false
	}
	if s.matched++; s.matched < len(s.delimiter) {
		return false, true
	}
	s.statement()
	s.begin()
	return true, true
}

var insertInto = []byte("INSERT INTO `")

// keyword looks whether the word that has ended changes how the rest is to be read.
func (s *scan) keyword(b byte) {
	if len(s.text) == 0 || len(s.text) == maxText {
		return
	}
	text := s.text[:len(s.text)-1]
	switch {
	case b <= ' ' && len(text) == len("DELIMITER") && strings.EqualFold(string(text), "DELIMITER"):
		s.text, s.state = s.text[:0], inDelimiter
	case bytes.HasPrefix(text, insertInto) && bytes.HasSuffix(text, []byte("VALUES")) && s.delimiter == ";":
		s.into = table{s.database, nameAt(text[len("INSERT INTO "):])}
		s.state = inRows
		if b == '(' {
			s.inserted, s.depth = 1, 1
		}
	}
}

func (s *scan) slash(b byte) bool {
	if b != '*' {
		s.state = inCode
		s.add('/')
		return false
	}
	s.state, s.version = afterSlashStar, s.version[:0]
	return true
}

// slashStar tells a versioned comment, whose text is code, from one that is a comment to everybody.
func (s *scan) slashStar(b byte) bool {
	switch b {
	case '!':
		s.state = inVersion
		return true
	case 'M':
		return true
	}
	s.state = inComment
	return false
}

// noVersion is that of no server: what stands behind it is for the client.
const noVersion = "999999"

func (s *scan) inVersion(b byte) bool {
	if b >= '0' && b <= '9' {
		s.version = append(s.version, b)
		return true
	}
	s.state = inCode
	if string(s.version) == noVersion {
		s.state = inComment
	}
	return false
}

func (s *scan) commentStar(b byte) {
	switch b {
	case '/':
		s.state = inCode
	case '*':
	default:
		s.state = inComment
	}
}

func (s *scan) quoted(b byte) {
	s.add(b)
	switch {
	case b == s.quote:
		s.state = inCode
	case b == '\\' && s.escapes(s.quote):
		s.state = inEscape
	}
}

// escapes tells that \ escapes within the quotes, as the client program sees it.
func (s *scan) escapes(quote byte) bool {
	return quote != '`' && !strings.Contains(s.mode, "NO_BACKSLASH_ESCAPES") && (quote != '"' || !strings.Contains(s.mode, "ANSI_QUOTES"))
}

func (s *scan) delimiterLine(b byte) {
	if b != '\n' {
		s.add(b)
		return
	}
	if d := strings.TrimSpace(string(s.text)); d != "" {
		s.delimiter = d
	}
	s.event = false
	s.begin()
}

// add keeps code of the current statement, without the space in front of it.
func (s *scan) add(b ...byte) {
	if len(s.text) == 0 && len(b) == 1 && b[0] <= ' ' || len(s.text) >= maxText {
		return
	}
	s.text = append(s.text, b...)
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

// inData tells that the stream is in the rows of an INSERT.
func (s *scan) inData() bool {
	return s.state == inRows || s.state == inRowsQuotes || s.state == inRowsEscape
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
