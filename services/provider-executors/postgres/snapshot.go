package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// exportSnapshot begins the transaction from whose snapshot the rows are read and the dump is made. It
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
