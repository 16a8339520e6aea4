package postgres

import (
	"bytes"
	"context"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// listedTable is the rows of a table in a dump's list (pg_restore -l): schema, table and owner, apart by blanks.
var listedTable = regexp.MustCompile(`(?m)^[0-9]+; [0-9]+ [0-9]+ TABLE DATA (.+)$`)

// loadedQuery lists tables in the words of a dump's list. Not every one need have rows in a dump: an extension
// says which of its tables do, and unlogged ones of a standby do not.
const loadedQuery = `SELECT translate(n.nspname || ' ' || c.relname, E'\n\r', '  '),
		c.relpersistence = 'p' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// compareList compares the tables of a loaded database with those in the list of its dump.
func (p *reloading) compareList(ctx context.Context, c *pgx.Conn, o archive.Object) error {
	var list bytes.Buffer
	cmd := tool.Command{Path: p.restore.path, Args: []string{"--list"}, Stdout: &list}
	if err := feedStart(ctx, p.copy, o, cmd); err != nil {
		return scratchLoadFailure(err)
	}
	loaded, err := loadedTables(ctx, c)
	if err != nil {
		return scratchFailure(err, "the tables that were loaded from the copy cannot be listed: the copy cannot be used")
	}
	if n := loaded.differ(list.String()); n > 0 {
		return corrupt(fmt.Sprintf("%d tables are in the stored dump's list and were not loaded, or the other way round: the copy cannot be used", n), nil)
	}
	return nil
}

// tables are schema and name of what was loaded, and whether the dump has to have rows for it.
type tables map[string]bool

func loadedTables(ctx context.Context, c *pgx.Conn) (tables, error) {
	if _, err := c.Exec(ctx, "SET client_encoding TO 'SQL_ASCII'"); err != nil { // the list has the bytes of the source
		return nil, failure("list the tables", err)
	}
	rows, err := c.Query(ctx, loadedQuery)
	if err != nil {
		return nil, failure("list the tables", err)
	}
	all, name, listed := tables{}, "", false
	_, err = pgx.ForEachRow(rows, []any{&name, &listed}, func() error { all[name] = all[name] || listed; return nil })
	return all, failure("list the tables", err)
}

// differ counts what only one of t and a dump's list has. Where an entry's name ends and its owner begins
// cannot be told if there are blanks in them: every beginning of it that was loaded counts.
func (t tables) differ(list string) (n int) {
	seen := map[string]bool{}
	for _, found := range listedTable.FindAllStringSubmatch(list, -1) {
		entry, known := found[1], false
		for i := range len(entry) {
			if _, ok := t[entry[:i]]; ok && entry[i] == ' ' {
				seen[entry[:i]], known = true, true
			}
		}
		if !known {
			n++
		}
	}
	for name, listed := range t {
		if listed && !seen[name] {
			n++
		}
	}
	return n
}
