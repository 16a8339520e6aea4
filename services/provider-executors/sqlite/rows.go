package sqlite

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// countRows counts the rows of every table that holds content of its own; the content of a virtual
// table lies in its shadow tables.
func countRows(ctx context.Context, db *database) (map[string]int64, error) {
	names, err := db.strings(ctx, `SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type IN ('table', 'shadow') ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	counts := make(map[string]int64, len(names))
	for _, name := range names {
		n, err := db.number(ctx, `SELECT count(*) FROM main."`+strings.ReplaceAll(name, `"`, `""`)+`"`)
		if err != nil {
			return nil, err
		}
		counts[name] = n
	}
	return counts, nil
}

// sameRows compares the tables of a copy with what was counted in the source.
func sameRows(ctx context.Context, db *database, want map[string]int64) error {
	got, err := countRows(ctx, db)
	if err != nil {
		return err
	}
	if !maps.Equal(got, want) {
		return damaged(fmt.Errorf("rows by table: %v and not %v", got, want))
	}
	return nil
}

// strings reads the text column that a query returns.
func (d *database) strings(ctx context.Context, query string) ([]string, error) {
	rows, err := d.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
