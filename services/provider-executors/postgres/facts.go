package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// facts are what a server says of itself and of the user.
type facts struct {
	version   tool.Version
	superuser bool
	bypassRLS bool
	replicate bool
	standby   bool
	free      int  // connections that the server would still give the user
	own       *int // those that the role's CONNECTION LIMIT leaves; nil without one
	walLevel  string
	senders   int // max_wal_senders
	spaces    int // tablespaces beside the server's own
}

const factsQuery = `SELECT current_setting('server_version_num')::int, rolsuper, rolbypassrls, rolreplication, pg_is_in_recovery(),
	current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END
		- CASE WHEN rolsuper OR EXISTS (SELECT 1 FROM pg_roles p WHERE p.rolname = 'pg_use_reserved_connections' AND pg_has_role(p.oid, 'usage')) THEN 0
			ELSE coalesce(current_setting('reserved_connections', true)::int, 0) END -- PostgreSQL 16 and newer
		- (SELECT count(*)::int FROM pg_stat_activity WHERE datid IS NOT NULL),
	current_setting('wal_level'), current_setting('max_wal_senders')::int,
	CASE WHEN NOT rolsuper AND rolconnlimit >= 0 THEN rolconnlimit - (SELECT count(*)::int FROM pg_stat_activity WHERE usesysid = r.oid AND backend_type IN ('client backend', 'walsender')) END,
	(SELECT count(*)::int FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))
	FROM pg_roles r WHERE rolname = current_user`

func factsOf(ctx context.Context, c *pgx.Conn) (facts, error) {
	var f facts
	var number int
	err := c.QueryRow(ctx, factsQuery).Scan(&number, &f.superuser, &f.bypassRLS, &f.replicate, &f.standby, &f.free, &f.walLevel, &f.senders, &f.own, &f.spaces)
	if err != nil {
		return facts{}, failure("ask the server about itself", err)
	}
	f.version = tool.Version{Major: number / 10000, Minor: number % 10000, Text: fmt.Sprintf("%d.%d", number/10000, number%10000)}
	return f, nil
}

// oldest is the first major version that the engine knows.
const oldest = 12

// position is a place in the server's log: its LSN and, on a primary, the timeline.
func position(ctx context.Context, c *pgx.Conn) (string, error) {
	var p string
	err := c.QueryRow(ctx, `SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn()::text, '')
		ELSE pg_current_wal_lsn()::text || ' timeline ' || ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END`).Scan(&p)
	return p, failure("ask the server for its position", err)
}
