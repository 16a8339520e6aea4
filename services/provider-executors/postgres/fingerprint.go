package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

var _ engine.ChangeDetector = (*Engine)(nil)

// fingerprintQuery is what two sessions see alike only if nothing was committed in between: the snapshot,
// since visibility follows from it, with the ids of running transactions in it. A crash may give an id that
// was lost to another transaction, so the server's start and that of the checkpointer, which a crash of
// a single session renews, stand beside it; so do identity and timeline. NULL makes all of it NULL.
const fingerprintQuery = `SELECT coalesce(
		(SELECT system_identifier::text FROM pg_control_system())
		|| '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
		|| '/' || extract(epoch FROM pg_postmaster_start_time())
		|| '/' || (SELECT extract(epoch FROM min(backend_start)) FROM pg_stat_activity WHERE backend_type = 'checkpointer')
		|| '/' || pg_current_snapshot(), '')`

// Fingerprint implements engine.ChangeDetector. A standby, and a user that may not see the server's own
// processes (pg_monitor), give the empty one.
func (e *Engine) Fingerprint(ctx context.Context, j executor.Job) (string, error) {
	s, err := e.server(j.Config)
	if err != nil {
		return "", err
	}
	c, err := s.reach(ctx, j, marker("", j.BackupID, j.Attempt))
	if err != nil {
		return "", err
	}
	defer bye(ctx, c)
	return fingerprint(ctx, c)
}

func fingerprint(ctx context.Context, c *pgx.Conn) (string, error) {
	var standby bool
	if err := c.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return "", failure("ask whether the server is a standby", err)
	}
	if standby { // running transactions are not listed there
		return "", nil
	}
	var f string
	err := c.QueryRow(ctx, fingerprintQuery).Scan(&f)
	if state := sqlState(err); state == "42501" || state == "42883" { // not allowed, or not there before version 13
		return "", nil
	}
	return f, failure("take the fingerprint", err)
}
