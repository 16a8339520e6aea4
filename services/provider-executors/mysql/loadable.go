package mysql

import "bytes"

// largestLine is what a row of a dump may take: a server accepts 1 GB at most as one statement
// (max_allowed_packet), and there are names in front of the row. The tool writes a line for each row (MariaDB) or
// statement (MySQL), in whose strings line breaks are escaped; a row that is larger than its usual statement has
// one of its own.
const largestLine = 1<<30 - 1<<19

// loadable ends a dump with a row that no server would take back: the tool itself writes rows of any size, a blob
// in two bytes for each of its own.
type loadable struct {
	limit int
	line  int // bytes of the line at hand
}

func (l *loadable) Write(p []byte) (int, error) {
	first := bytes.IndexByte(p, '\n')
	if first < 0 {
		l.line += len(p)
		return len(p), l.verdict()
	}
	l.line += first
	if err := l.verdict(); err != nil {
		return 0, err
	}
	for rest := p[first+1:]; ; rest = rest[first+1:] {
		if first = bytes.IndexByte(rest, '\n'); first < 0 || len(rest) <= l.limit { // then no line in it is too long
			l.line = len(rest) - 1 - bytes.LastIndexByte(rest, '\n')
			return len(p), l.verdict()
		}
		l.line = first
		if err := l.verdict(); err != nil {
			return 0, err
		}
	}
}

func (l *loadable) verdict() error {
	if l.line <= l.limit {
		return nil
	}
	return rejected("a row of the database takes more than 1 GB in a dump, blobs two bytes for each of theirs, and no server would load it: back the server up with method PHYSICAL, or leave this database out of the instance's databases")
}
