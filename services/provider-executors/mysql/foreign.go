package mysql

import (
	"bytes"
	"regexp"
)

// foreignForm is what stands in front of the text of a routine or library in a language of its own (MySQL). The text
// stands between two equal tags, AS $$ … $$ or AS $js$ … $js$, and nothing in it means anything to the client program.
var foreignForm = regexp.MustCompile(`(?is)\bLANGUAGE\s+\w+\s.*\bAS\s+$`)

// foreign is such a text.
type foreign struct{ tag, tail []byte }

// begins tells that the $ behind a piece of code opens a tag.
func (f *foreign) begins(code []byte) bool {
	if !foreignForm.Match(code) {
		return false
	}
	f.tag, f.tail = append(f.tag[:0], '$'), f.tail[:0]
	return true
}

// opened takes a byte of the first tag, and tells whether it was the last.
func (f *foreign) opened(b byte) bool {
	f.tag = append(f.tag, b)
	return b == '$'
}

// closed takes a byte of the text, and tells whether the second tag has ended with it.
func (f *foreign) closed(b byte) bool {
	if f.tail = append(f.tail, b); len(f.tail) > len(f.tag) {
		f.tail = append(f.tail[:0], f.tail[1:]...)
	}
	return bytes.Equal(f.tail, f.tag)
}
