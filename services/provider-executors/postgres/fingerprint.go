package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
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
	return fingerprint(ctx, c, j)
}

// fingerprint is the state of the server and what of it is asked for.
func fingerprint(ctx context.Context, c *pgx.Conn, j executor.Job) (string, error) {
	state, err := stateOf(ctx, c)
	if err != nil || state == "" {
		return "", err
	}
	asked, err := askedOf(ctx, c, j)
	if err != nil {
		return "", err
	}
	return state + "/" + asked, nil
}

// askedOf is a digest of what the copy would be made of: the method, the databases that are named and those
// that this means now, and the user, on whose rights it depends whether passwords are in it.
func askedOf(ctx context.Context, c *pgx.Conn, j executor.Job) (string, error) {
	asked := struct {
		Method, User   string
		Whole          bool
		Named, Present []string
	}{Method: string(j.Config.Method), User: j.Config.User, Whole: named(j) == nil, Named: slices.Sorted(slices.Values(named(j)))}
	if asked.Method == "" {
		asked.Method = string(events.MethodLogical)
	}
	rows, err := c.Query(ctx, `SELECT datname FROM pg_database d WHERE `+wantedDatabases+` ORDER BY datname`, named(j))
	if err != nil {
		return "", failure("list the databases", err)
	}
	if asked.Present, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return "", failure("list the databases", err)
	}
	doc, err := json.Marshal(asked)
	if err != nil {
		return "", fmt.Errorf("take the fingerprint: %w", err)
	}
	return hexSum(doc), nil
}

func stateOf(ctx context.Context, c *pgx.Conn) (string, error) {
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
