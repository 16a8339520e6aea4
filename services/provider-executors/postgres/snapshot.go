package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// exportSnapshot begins the transaction from whose snapshot the rows are counted and the dump is made. It
// lasts as long as the session.
func exportSnapshot(ctx context.Context, c *pgx.Conn, lockWait time.Duration) (string, error) {
	if _, err := c.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return "", failure("begin the snapshot", err)
	}
	if _, err := c.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", max(1, lockWait.Milliseconds()))); err != nil {
		return "", failure("begin the snapshot", err)
	}
	var id string
	err := c.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&id)
	return id, failure("export the snapshot", err)
}

// tablesQuery lists the tables whose rows a dump carries. Partitions count for their parent, and what
// belongs to an extension comes with the extension.
const tablesQuery = `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY 1`

// countAtOnce is how many tables one query counts.
const countAtOnce = 100

// countRows counts the rows of every table in the transaction of the session.
func countRows(ctx context.Context, c *pgx.Conn) (map[string]int64, error) {
	rows, err := c.Query(ctx, tablesQuery)
	if err != nil {
		return nil, failure("list the tables", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, failure("list the tables", err)
	}
	counts := make(map[string]int64, len(names))
	for len(names) > 0 {
		n := min(len(names), countAtOnce)
		if err := countSome(ctx, c, names[:n], counts); err != nil {
			return nil, err
		}
		names = names[n:]
	}
	return counts, nil
}

func countSome(ctx context.Context, c *pgx.Conn, names []string, counts map[string]int64) error {
	var q strings.Builder
	for i, name := range names { // quoted by the server
		if i > 0 {
			q.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&q, "SELECT %d, count(*) FROM ONLY %s", i, name)
	}
	rows, err := c.Query(ctx, q.String())
	if err != nil {
		return failure("count the rows", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i int
		var n int64
		if err := rows.Scan(&i, &n); err != nil {
			return failure("count the rows", err)
		}
		counts[strings.ToValidUTF8(names[i], "\uFFFD")] += n // a manifest holds UTF-8
	}
	return failure("count the rows", rows.Err())
}
