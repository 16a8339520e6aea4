package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// database is one connection to one database file.
type database struct {
	pool *sql.DB
	*sql.Conn
}

// readOnly opens a database that others may use, without a chance to change or create it.
func readOnly(ctx context.Context, file string, busy time.Duration) (*database, error) {
	return open(ctx, uri(file, busy, url.Values{"mode": {"ro"}}, "query_only(1)"))
}

// private opens a file that nobody else uses or changes: no lock, and no -wal or -shm beside it.
func private(ctx context.Context, file string) (*database, error) {
	return open(ctx, uri(file, 0, url.Values{"mode": {"ro"}, "immutable": {"1"}}, "query_only(1)"))
}

func open(ctx context.Context, dsn string) (*database, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		_ = pool.Close()
		return nil, err
	}
	return &database{pool: pool, Conn: conn}, nil
}

// Close ends the connection and its transaction.
func (d *database) Close() error {
	_ = d.Conn.Close()
	return d.pool.Close()
}

// number reads the one integer that a query returns.
func (d *database) number(ctx context.Context, query string) (int64, error) {
	var n int64
	if err := d.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}

// uri names file for SQLite, whatever characters it has. A file's schema is foreign text: functions
// with side effects are not to be called from it.
func uri(file string, busy time.Duration, q url.Values, pragmas ...string) string {
	q["_pragma"] = append([]string{
		"busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")",
		"trusted_schema(0)",
	}, pragmas...)
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	return u.String()
}
