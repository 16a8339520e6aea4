package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// contents is what the server holds beside its own.
func (s *server) contents(ctx context.Context) (contents, error) {
	there := contents{rows: map[table]int64{}, elsewhere: map[table]bool{}, views: map[table]bool{}}
	own := "('" + strings.Join(systemDatabases, "', '") + "')"
	tables, err := s.rows(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, IFNULL(ENGINE, '') FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN "+own)
	if err != nil {
		return there, err
	}
	for _, t := range tables {
		name := table{t[0], t[1]}
		switch t[2] {
		case "VIEW":
			there.views[name] = true
		case "SEQUENCE":
			there.sequences++
		default:
			if slices.Contains(elsewhereEngines, strings.ToUpper(t[3])) { // reading it would read others
				there.rows[name], there.elsewhere[name] = 0, true
				continue
			}
			if there.rows[name], err = s.number(ctx, "SELECT COUNT(*) FROM "+quote(name.database)+"."+quote(name.name)); err != nil {
				return there, err
			}
		}
	}
	kinds := []kindOfContent{
		{&there.triggers, "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN "},
		{&there.routines, "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN "},
		{&there.events, "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN "},
	}
	if s.hasLibraries() {
		kinds = append(kinds, kindOfContent{&there.routines, "SELECT COUNT(*) FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA NOT IN "})
	}
	for _, kind := range kinds {
		n, err := s.number(ctx, kind.query+own)
		if err != nil {
			return there, err
		}
		*kind.into += int(n)
	}
	return there, nil
}

// kindOfContent is what is counted by a query that lacks the list of the server's own databases.
type kindOfContent struct {
	into  *int
	query string
}

func (s *server) number(ctx context.Context, query string) (n int64, err error) {
	text, err := s.one(ctx, query)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(text, &n)
	return n, err
}

// differences names up to a few things that are not equal, nil if all are.
func (c contents) differences(there contents) error {
	var all []error
	note := func(format string, args ...any) {
		if len(all) < 5 {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	for t, n := range c.rows {
		if got, ok := there.rows[t]; !ok || got != n && !c.elsewhere[t] {
			note("table %q has %d rows of %d (there: %v)", t, got, n, ok)
		}
	}
	for v := range c.views {
		if !there.views[v] {
			note("view %q is missing", v)
		}
	}
	for _, k := range []struct {
		kind      string
		want, got int
	}{
		{"tables", len(c.rows), len(there.rows)}, {"views", len(c.views), len(there.views)}, {"sequences", c.sequences, there.sequences},
		{"triggers", c.triggers, there.triggers}, {"routines", c.routines, there.routines}, {"events", c.events, there.events},
	} {
		if k.want != k.got {
			note("%d %s of %d", k.got, k.kind, k.want)
		}
	}
	return errors.Join(all...)
}

// rowDifferences names up to a few tables whose rows are not the same, nil if all are.
func (c contents) rowDifferences(there contents) error {
	var all []error
	for t, n := range c.rows {
		if len(all) < 5 && !c.elsewhere[t] && (there.rows[t] != n || there.sums[t] != c.sums[t] && !c.byNumber[t]) {
			all = append(all, fmt.Errorf("the rows of table %q are not the same", t))
		}
	}
	return errors.Join(all...)
}
