package mysql

import (
	"bytes"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// scan reads a dump that passes, statement by statement, as the client program would, and counts what it
// creates (statement.go) and the rows that it inserts (rows.go). It knows strings, comments, versioned
// comments and DELIMITER, so that a row or a procedure may hold any text.
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
	foreign   foreign
	into      table // of the current INSERT
	depth     int
	inserted  int64
	sum       uint64        // of the hashes of its rows
	row       xxhash.Digest // of a row that came in pieces
	torn      bool          // such a one is at hand
	zero      []byte        // of a number in it that may be -0
	ended     bool          // a statement, by the last byte
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
	inTag
	inForeign
	inRows
	inRowsQuotes
	inRowsEscape
	inRowsZero
)

// maxText bounds what is kept of one statement; what is created is named at its beginning.
const maxText = 1 << 20

func newScan() *scan {
	return &scan{delimiter: ";", saved: map[string]string{}, contents: contents{
		rows: map[table]int64{}, sums: map[table]uint64{}, byNumber: map[table]bool{}, elsewhere: map[table]bool{}, views: map[table]bool{}, made: map[table]bool{},
	}}
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
		case inRows, inRowsQuotes, inRowsEscape, inRowsZero:
			i += s.inRows(p[i:])
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

// begin is in front of a statement.
func (s *scan) begin() {
	s.text, s.state, s.matched, s.ended = s.text[:0], inCode, 0, true
	s.depth, s.inserted, s.sum, s.torn = 0, 0, 0, false
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
	case inTag:
		done, ok := s.foreign.opened(b)
		switch {
		case !ok:
			s.state = inCode
			s.add(s.foreign.tag...)
			return false
		case done:
			s.state = inForeign
		}
	case inForeign:
		if s.foreign.closed(b) {
			s.state = inCode
		}
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
	case '$':
		if s.foreign.begins(s.text) {
			s.state = inTag
			return true
		}
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
			s.keepRow([]byte{b})
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
