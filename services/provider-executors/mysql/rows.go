package mysql

import "github.com/cespare/xxhash/v2"

// inData tells that the stream is in the rows of an INSERT.
func (s *scan) inData() bool {
	return s.state >= inRows
}

// special are the bytes that mean something between the strings of the rows.
var special = [256]bool{'\'': true, '-': true, '(': true, ')': true, ';': true}

// inRows goes through the rows of an INSERT, to the end of the statement or of p, and keeps their number and
// the sum of their hashes, which is the same in any order.
func (s *scan) inRows(p []byte) int {
	row := 0 // where the row at hand begins in p
	if s.state == inRowsZero {
		row = len(p)
	}
	for i := 0; i < len(p); i++ {
		switch s.state {
		case inRowsEscape:
			s.state = inRowsQuotes
			continue
		case inRowsQuotes:
			i = s.inString(p, i)
			continue
		case inRowsZero:
			if s.zeroGoesOn(p[i]) {
				continue
			}
			row = i
		}
		for i < len(p) && !special[p[i]] {
			i++
		}
		if i == len(p) {
			break
		}
		switch p[i] {
		case '\'':
			s.state = inRowsQuotes
		case '(':
			if s.depth == 0 {
				s.inserted++
				row = i
			}
			s.depth++
		case '-':
			if s.depth > 0 {
				s.keepRow(p[row:i])
				s.zero, s.state = append(s.zero[:0], '-'), inRowsZero
				row = len(p) // until the number has ended
			}
		case ')':
			if s.depth--; s.depth == 0 {
				s.endRow(p[row : i+1])
			}
		case ';':
			s.rows[s.into] += s.inserted
			s.sums[s.into] += s.sum
			s.event = false
			s.begin()
			return i + 1
		}
	}
	if s.depth > 0 {
		s.keepRow(p[row:])
	}
	return len(p)
}

// inString goes through a string from i, to its last byte or that of p.
func (s *scan) inString(p []byte, i int) int {
	for k, b := range p[i:] {
		if b == '\'' { // a doubled one opens the next string at once
			s.state = inRows
			return i + k
		}
		if b == '\\' && s.escapes('\'') {
			s.state = inRowsEscape
			return i + k
		}
	}
	return len(p)
}

// zeroGoesOn takes a byte of what may be the number -0, and tells whether it belongs to it. MySQL loads its own tool's -0
// as 0, so the sign of a zero is left out of the hash.
func (s *scan) zeroGoesOn(b byte) bool {
	if b == '0' || b == '.' {
		s.zero = append(s.zero, b)
		return true
	}
	if len(s.zero) > 1 && (b == ',' || b == ')') {
		s.zero = s.zero[1:]
	}
	s.keepRow(s.zero)
	s.state = inRows
	return false
}

// endRow hashes a row, of which p is the end, or all.
func (s *scan) endRow(p []byte) {
	if !s.torn {
		s.sum += xxhash.Sum64(p)
		return
	}
	_, _ = s.row.Write(p)
	s.sum += s.row.Sum64()
	s.torn = false
}

// keepRow hashes what has come of a row that goes on.
func (s *scan) keepRow(p []byte) {
	if !s.torn {
		s.row.Reset()
		s.torn = true
	}
	_, _ = s.row.Write(p)
}
