package mysql

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// provePhysical unpacks the files and lets the tool recover them: it reads its log to the end.
func (e *Engine) provePhysical(ctx context.Context, level events.Proof, c engine.Copy) (engine.Loaded, error) {
	o, err := filesOf(c.Manifest)
	if err != nil {
		return engine.Loaded{}, err
	}
	dir, err := c.Scratch(o.SourceBytes + o.SourceBytes/4 + scratchOwn)
	if err != nil {
		return engine.Loaded{}, err
	}
	if err := e.unpackFiles(ctx, c, o, filepath.Join(dir, "data"), scratchFiles(dir)); err != nil {
		return engine.Loaded{}, err
	}
	if level != events.ProofRestored {
		return engine.Loaded{}, nil
	}
	return e.proveStarts(ctx, dir, ofMariaDB(c.Manifest))
}

// proveStarts starts a server on recovered files and reads every table.
func (e *Engine) proveStarts(ctx context.Context, dir string, mariadb bool) (engine.Loaded, error) {
	daemon, err := e.Programs.Find((&server{mariadb: mariadb}).names("mariadbd", "mysqld")...)
	if err != nil {
		return engine.Loaded{}, err
	}
	// The accounts are the source's, whose passwords nobody here knows.
	s, err := e.startScratch(ctx, daemon, dir, "--skip-grant-tables", "--loose-skip-slave-start", "--loose-skip-replica-start")
	if err != nil {
		return engine.Loaded{}, err
	}
	loaded, err := s.readAll(ctx)
	return loaded, errors.Join(err, s.stop())
}

// readAll checks every table with rows of its own and counts them.
func (s *server) readAll(ctx context.Context) (loaded engine.Loaded, err error) {
	tables, err := s.rows(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ('"+strings.Join(systemDatabases, "', '")+
		"') AND IFNULL(ENGINE, '') NOT IN ('"+strings.Join(elsewhereEngines, "', '")+"')")
	if err != nil {
		return loaded, failure(err)
	}
	for _, t := range tables {
		name := quote(t[0]) + "." + quote(t[1])
		if err := s.check(ctx, name); err != nil {
			return loaded, err
		}
		n, err := s.number(ctx, "SELECT COUNT(*) FROM "+name)
		if err != nil {
			return loaded, failure(err)
		}
		loaded.Tables, loaded.Rows = loaded.Tables+1, loaded.Rows+n
	}
	return loaded, nil
}

func (s *server) check(ctx context.Context, table string) error {
	said, err := s.rows(ctx, "CHECK TABLE "+table)
	if err != nil {
		return failure(err)
	}
	for _, line := range said { // table, op, type, text
		if line[2] == "error" || line[2] == "Error" || line[2] == "status" && line[3] != "OK" {
			return corrupt("a table of the copy is damaged: look at the source with CHECK TABLE; the copy cannot be trusted", fmt.Errorf("%q", line))
		}
	}
	return nil
}
