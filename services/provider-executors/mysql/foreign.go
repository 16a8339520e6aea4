package mysql

import (
	"bytes"
	"regexp"
)

// foreignForm is what stands in front of the text of a routine or library in a language of its own (MySQL): from the
// beginning of its statement to AS, with nothing but characteristics behind the language, so that no body in SQL is
// taken for it (SELECT language AS lang, total AS $total). The text stands between two equal tags, AS $$ … $$ or
// AS $js$ … $js$, and nothing in it means anything to the client program.
var foreignForm = regexp.MustCompile(`(?is)^CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*(?:` + quotedForm + `|[^\s'"` + "`" + `])+\s+)?` +
	`(?:AGGREGATE\s+)?(?:PROCEDURE|FUNCTION|LIBRARY)\b(?:` + quotedForm + `|[^;'"` + "`" + `])*\sLANGUAGE\s+(\w+)` +
	`(?:\s+(?:NOT\s+DETERMINISTIC|DETERMINISTIC|(?:CONTAINS|NO)\s+SQL|(?:READS|MODIFIES)\s+SQL\s+DATA|SQL\s+SECURITY\s+\w+` +
	`|COMMENT\s+(?:` + quotedForm + `)|USING\s*\((?:` + quotedForm + `|[^()'"` + "`" + `])*\)))*\s+AS\s+$`)

// quotedForm is a string or a name in quotes.
const quotedForm = `'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|` + "`[^`]*`"

// foreign is such a text.
type foreign struct{ tag, tail []byte }

// begins tells that the $ behind a piece of code opens a tag.
func (f *foreign) begins(code []byte) bool {
	before := bytes.TrimRight(code, " \t\r\n")
	if len(before) < 2 || !bytes.EqualFold(before[len(before)-2:], []byte("AS")) { // the form costs a look at the whole statement
		return false
	}
	m := foreignForm.FindSubmatch(code)
	if m == nil || bytes.EqualFold(m[1], []byte("SQL")) {
		return false
	}
	f.tag, f.tail = append(f.tag[:0], '$'), f.tail[:0]
	return true
}

// opened takes a byte of the first tag, and tells whether it was the last. Not ok: it belongs to no tag, and what was
// taken for one is code.
func (f *foreign) opened(b byte) (done, ok bool) {
	switch {
	case b == '$', b == '_', b >= '0' && b <= '9', b|0x20 >= 'a' && b|0x20 <= 'z':
		f.tag = append(f.tag, b)
		return b == '$', true
	}
	return false, false
}

// closed takes a byte of the text, and tells whether the second tag has ended with it.
func (f *foreign) closed(b byte) bool {
	if f.tail = append(f.tail, b); len(f.tail) > len(f.tag) {
		f.tail = append(f.tail[:0], f.tail[1:]...)
	}
	return bytes.Equal(f.tail, f.tag)
}
