package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// listingStart begins the executor's own first line in the dump of several databases. A restore overwrites by
// this list and not by what it makes of the tool's statements.
const listingStart = "-- backupbus databases: "

// maxListing bounds the line: 64,000 databases with the longest of names.
const maxListing = 32 << 20

type listed struct {
	Name      string `json:"name"`
	Charset   string `json:"charset"`
	Collation string `json:"collation"`
}

func writeListing(w io.Writer, all []schema) error {
	var list []listed
	for _, s := range all {
		list = append(list, listed{s.name, s.charset, s.collation})
	}
	line, err := json.Marshal(list) // line breaks are escaped
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", listingStart, line)
	}
	return err
}

// listing finds the databases of a dump that passes.
type listing struct {
	*scan
	line  []byte // the first
	ended bool
}

func (l *listing) Write(p []byte) (int, error) {
	if !l.ended {
		end := bytes.IndexByte(p, '\n')
		l.ended = end >= 0 || len(l.line) > maxListing
		if end < 0 {
			end = len(p)
		}
		l.line = append(l.line, p[:end]...)
	}
	return l.scan.Write(p)
}

// databases are those that the dump fills.
func (l *listing) databases() ([]schema, error) {
	doc, ok := bytes.CutPrefix(l.line, []byte(listingStart))
	if !ok { // an older copy, or one that was made by hand
		if !l.whole() {
			return nil, rejected("which databases the copy overwrites cannot be told: its statements cannot be followed to their end. Restore it by hand, by the line in its manifest")
		}
		return l.scan.databases, nil
	}
	var list []listed
	if err := json.Unmarshal(doc, &list); err != nil {
		return nil, corrupt("the list of databases at the beginning of the copy cannot be read: the copy cannot be used", err)
	}
	var all []schema
	for _, d := range list {
		all = append(all, schema{d.Name, d.Charset, d.Collation})
	}
	for _, d := range l.scan.databases {
		if l.whole() && !slices.Contains(namesOf(all), d.name) {
			return nil, corrupt("the copy fills a database that is not in its own list: it cannot be trusted", fmt.Errorf("it fills %q", d.name))
		}
	}
	return all, nil
}

// eventless passes a dump on without its events, which a server with a running scheduler would execute.
type eventless struct {
	*scan
	to   io.Writer
	held []byte // of the current statement
}

// maxHeld is more than a server takes as one statement for an event. Rows are not held.
const maxHeld = 64 << 20

func (e *eventless) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, ended := e.advance(rest)
		e.held, rest = append(e.held, rest[:n]...), rest[n:]
		if ended && e.event {
			e.held = e.held[:0]
		}
		if ended || e.inData() || len(e.held) > maxHeld {
			if _, err := e.to.Write(e.held); err != nil {
				return 0, err
			}
			e.held = e.held[:0]
		}
	}
	return len(p), nil
}

// end passes on what stands behind the last statement.
func (e *eventless) end() error {
	_, err := e.to.Write(e.held)
	e.held = nil
	return err
}
