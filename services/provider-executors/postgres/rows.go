package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// tablesQuery lists the tables whose rows a dump carries, with the columns that it carries of them by name: their
// order may change when an inherited table comes back. Partitions count for their parent, and what belongs
// to an extension comes with the extension. It tells whether the rows can be compared by their text: that of
// money is of the locale in which it is dumped and loaded. Last, whether the server has no rows of it: unlogged
// tables cannot be read on a standby, and pg_dump leaves them empty there.
const tablesQuery = `SELECT format('%I.%I', n.nspname, c.relname),
		(SELECT coalesce(string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname COLLATE "C"), '')
			FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
		NOT EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = c.oid AND NOT a.attisdropped
			AND 'money'::regtype IN (y.oid, y.typbasetype, y.typelem)),
		c.relpersistence = 'u' AND pg_is_in_recovery()
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY 1`

// counted are the rows of a database's tables: how many, and the sums of their hashes for those that have one.
type counted struct {
	rows map[string]int64
	sums map[string]string
}

// countRows counts the rows of every table in the transaction of the session.
func countRows(ctx context.Context, c *pgx.Conn) (map[string]int64, error) {
	r := counting{conn: c, alive: engine.Alive(ctx)}
	got, err := r.all(ctx)
	return got.rows, err
}

// sumRows counts the rows and adds up their hashes, in one pass over each table and in the transaction of the
// session, if it is in one.
//
// The hash of a row is that of its text, in which the settings of a session of the engine (pgxConfig) leave
// nothing open; the sum is the same in every order of rows. The text is made by the types' own output
// functions, as in a dump: a cast could be anybody's function.
func sumRows(ctx context.Context, c *pgx.Conn) (counted, error) {
	r := counting{conn: c, alive: engine.Alive(ctx)}
	var got int64
	if err := c.QueryRow(ctx, hashQuery).Scan(&got); err != nil {
		return counted{}, failure("hash a text", err)
	}
	r.sums = got == hashKnown
	return r.all(ctx)
}

// The server's hash differs by the order of bytes in its machine's words. Where it is another than this one,
// a scratch server elsewhere could find other sums, so none are made.
const (
	hashQuery = `SELECT hashtextextended('backupbus' COLLATE "C", 0)`
	hashKnown = -4917611882626011663
)

// counting is a pass over the tables of a database.
type counting struct {
	conn  *pgx.Conn
	sums  bool
	alive func()
}

// table is one that is counted; names are quoted by the server.
type table struct {
	name, columns string
	sum, empty    bool
}

// nothing is what would be found in an empty table.
func (t table) nothing() found {
	f := found{}
	if t.sum {
		zero := "0"
		f.sum = &zero
	}
	return f
}

// countAtOnce is how many tables one query counts.
const countAtOnce = 100

func (r counting) all(ctx context.Context) (counted, error) {
	rows, err := r.conn.Query(ctx, tablesQuery)
	if err != nil {
		return counted{}, failure("list the tables", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		err = row.Scan(&t.name, &t.columns, &t.sum, &t.empty)
		t.sum = t.sum && r.sums
		return t, err
	})
	if err != nil {
		return counted{}, failure("list the tables", err)
	}
	got := counted{rows: make(map[string]int64, len(tables)), sums: map[string]string{}}
	tables = slices.DeleteFunc(tables, func(t table) bool {
		if t.empty {
			got.add(t.name, t.nothing())
		}
		return t.empty
	})
	for len(tables) > 0 {
		n := min(len(tables), countAtOnce)
		if err := r.some(ctx, tables[:n], &got); err != nil {
			return counted{}, err
		}
		tables = tables[n:]
	}
	return got, nil
}

// some counts tables. One whose rows are too large for a sum is counted without: those of the same query are
// tried again, each alone.
func (r counting) some(ctx context.Context, tables []table, to *counted) error {
	err := r.attempt(ctx, tables, to)
	switch {
	case !r.sums || !tooLarge(err):
		return err
	case len(tables) == 1:
		return r.query(ctx, []table{{name: tables[0].name}}, to)
	}
	for i := range tables {
		if err := r.some(ctx, tables[i:i+1], to); err != nil {
			return err
		}
	}
	return nil
}

// attempt is a query after whose error the transaction of the session goes on.
func (r counting) attempt(ctx context.Context, tables []table, to *counted) error {
	if r.conn.PgConn().TxStatus() == 'I' { // no transaction
		return r.query(ctx, tables, to)
	}
	if err := run(ctx, r.conn, "SAVEPOINT counting"); err != nil {
		return err
	}
	err := r.query(ctx, tables, to)
	if err != nil && r.conn.IsClosed() {
		return err
	}
	if err != nil {
		return errors.Join(err, run(ctx, r.conn, "ROLLBACK TO SAVEPOINT counting", "RELEASE SAVEPOINT counting"))
	}
	return run(ctx, r.conn, "RELEASE SAVEPOINT counting")
}

// tooLarge tells whether the text of a row did not fit: into what a value may be, or into memory.
func tooLarge(err error) bool {
	var raw *pgconn.PgError
	if !errors.As(err, &raw) {
		return false
	}
	switch raw.Code {
	case "54000":
		return true
	case "53200":
		return ofState(raw).Retryable // not the table of locks
	case "XX000": // of a request for memory beyond the largest value, which has no state of its own
		return strings.Contains(raw.Message, "invalid memory alloc request size")
	}
	return false
}

func (r counting) query(ctx context.Context, tables []table, to *counted) error {
	var q strings.Builder
	for i, t := range tables {
		if i > 0 {
			q.WriteString(" UNION ALL ")
		}
		sum := "NULL"
		if t.sum {
			sum = fmt.Sprintf(`coalesce(sum(hashtextextended(textin(record_out(ROW(%s))) COLLATE "C", 0)), 0)::text`, t.columns)
		}
		fmt.Fprintf(&q, "SELECT %d, count(*), %s FROM ONLY %s t", i, sum, t.name)
	}
	defer engine.Living(r.alive)() // LockWait bounds a lock, TCP keep-alive a server that is gone
	rows, err := r.conn.Query(ctx, q.String())
	if err != nil {
		return failure("count the rows", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		err = row.Scan(&f.table, &f.rows, &f.sum)
		return f, err
	})
	if err != nil {
		return failure("count the rows", err)
	}
	for _, f := range found {
		to.add(tables[f.table].name, f)
	}
	return nil
}

// found is the answer for one table; without a sum it was only counted.
type found struct {
	table int
	rows  int64
	sum   *string
}

// add: a manifest holds UTF-8. Of names that fall together in it only the number of rows is known.
func (c *counted) add(name string, f found) {
	name = strings.ToValidUTF8(name, "\uFFFD")
	_, again := c.rows[name]
	c.rows[name] += f.rows
	switch {
	case again:
		delete(c.sums, name)
	case f.sum != nil:
		c.sums[name] = *f.sum
	}
}
