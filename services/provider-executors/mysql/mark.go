package mysql

import (
	"bytes"
	"regexp"
	"strings"
)

const (
	headSize = 16 << 10
	tailSize = 4 << 10

	endMark = "-- Dump completed"
)

// ends keeps the beginning and the end of a dump that passes.
type ends struct {
	head, tail []byte
	own        int  // bytes of listingStart that were seen
	begun      bool // the stream behind the executor's own first line
}

func (e *ends) Write(p []byte) (int, error) {
	if room := headSize - len(e.head); room > 0 {
		h := e.behindListing(p)
		e.head = append(e.head, h[:min(room, len(h))]...)
	}
	if len(p) >= tailSize {
		e.tail = append(e.tail[:0], p[len(p)-tailSize:]...)
		return len(p), nil
	}
	if over := len(e.tail) + len(p) - tailSize; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	e.tail = append(e.tail, p...)
	return len(p), nil
}

// behindListing leaves out the executor's own first line, which may be longer than the head.
func (e *ends) behindListing(p []byte) []byte {
	if e.begun {
		return p
	}
	for i, b := range p {
		switch {
		case e.own == len(listingStart):
			if b == '\n' {
				e.begun = true
				return p[i+1:]
			}
		case b != listingStart[e.own]:
			e.begun = true
			return append([]byte(listingStart[:e.own]), p[i:]...)
		default:
			e.own++
		}
	}
	return nil
}

// lastLine is the last line of a stream that ends with a line break, empty of any other.
func (e *ends) lastLine() string {
	if !bytes.HasSuffix(e.tail, []byte("\n")) {
		return ""
	}
	t := bytes.TrimSuffix(e.tail, []byte("\n"))
	return string(t[bytes.LastIndexByte(t, '\n')+1:])
}

// complete tells that the tool said, on the last line of all, that it has written everything. The same
// line in the middle, in the body of a procedure say, is none.
func (e *ends) complete() bool {
	line := e.lastLine()
	return line == endMark || strings.HasPrefix(line, endMark+" on ")
}

// begins tells that the stream begins as the tool's do.
func (e *ends) begins() bool { return startForm.Match(e.head) }

var (
	startForm = regexp.MustCompile(`(?m)^-- (MariaDB|MySQL) dump `)
	fileForm  = regexp.MustCompile(`(?m)^-- CHANGE (?:MASTER|REPLICATION SOURCE) TO (?:MASTER|SOURCE)_LOG_FILE='([^']+)', (?:MASTER|SOURCE)_LOG_POS=(\d+);`)
	gtidForm  = regexp.MustCompile(`(?m)^-- SET GLOBAL gtid_slave_pos='([^']+)';`)
)

// position is the GTID of the dump's snapshot, else file:position, empty if the dump has neither.
func (e *ends) position() string {
	if all := gtidForm.FindAllSubmatch(e.tail, -1); all != nil {
		return string(all[len(all)-1][1])
	}
	if m := gtidForm.FindSubmatch(e.head); m != nil {
		return string(m[1])
	}
	if m := fileForm.FindSubmatch(e.head); m != nil {
		return string(m[1]) + ":" + string(m[2])
	}
	return ""
}
