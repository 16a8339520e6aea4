package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// proveLoads loads the dump into a scratch server and compares what is there with what passed.
func (e *Engine) proveLoads(ctx context.Context, c engine.Copy, o archive.Object) error {
	mariadb := ofMariaDB(c.Manifest)
	client, err := e.find(ctx, (&server{mariadb: mariadb}).names("mariadb", "mysql")...)
	if err != nil {
		return err
	}
	dir, err := c.Scratch(2*o.SourceBytes + scratchOwn)
	if err != nil {
		return err
	}
	s, err := e.bootScratch(ctx, dir, mariadb)
	if err != nil {
		return err
	}
	return errors.Join(s.proveLoads(ctx, client, c, o), s.stop())
}

func (s *scratchServer) proveLoads(ctx context.Context, client program, c engine.Copy, o archive.Object) error {
	if o.Database != "" {
		if err := s.do(ctx, "CREATE DATABASE "+quote(o.Database)); err != nil {
			return failure(err)
		}
	}
	passed := newScan()
	passed.database = o.Database
	if err := load(ctx, client, s.options, o.Database, c, o, func(to io.Writer) io.Writer { return io.MultiWriter(to, passed) }); err != nil {
		return err
	}
	if !passed.whole() {
		return corrupt("the statements of the copy cannot be followed to their end: it cannot be trusted", fmt.Errorf("delimiter %q, SQL mode %q", passed.delimiter, passed.mode))
	}
	there, err := s.contents(ctx)
	if err != nil {
		return failure(err)
	}
	if diff := passed.differences(there); diff != nil {
		return corrupt("the copy was loaded into a scratch server, and what is there is not what the copy holds: it cannot be trusted", diff)
	}
	return nil
}

// contents is what the server holds beside its own.
func (s *server) contents(ctx context.Context) (contents, error) {
	there := contents{rows: map[table]int64{}, views: map[table]bool{}}
	own := "('" + strings.Join(systemDatabases, "', '") + "')"
	tables, err := s.rows(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN "+own)
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
			if there.rows[name], err = s.number(ctx, "SELECT COUNT(*) FROM "+quote(name.database)+"."+quote(name.name)); err != nil {
				return there, err
			}
		}
	}
	for _, kind := range []struct {
		into  *int
		query string
	}{
		{&there.triggers, "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN "},
		{&there.routines, "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN "},
		{&there.events, "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN "},
	} {
		n, err := s.number(ctx, kind.query+own)
		if err != nil {
			return there, err
		}
		*kind.into = int(n)
	}
	return there, nil
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
		if got, ok := there.rows[t]; !ok || got != n {
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
