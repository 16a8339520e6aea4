package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// rightsQuery counts, in the database of the session, what pg_dump would stumble over. Tables of
// extensions are not dumped.
const rightsQuery = `WITH seen AS (
		SELECT c.oid, c.relkind, NOT has_schema_privilege(n.oid, 'USAGE') AS closed
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
	SELECT count(*) FILTER (WHERE closed OR CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(oid, 'SELECT') ELSE NOT has_table_privilege(oid, 'SELECT') END),
		count(*) FILTER (WHERE relkind <> 'S' AND row_security_active(oid)) FROM seen`

// lacking are the rights that a database's dump would need and the user does not have.
type lacking struct{ closed, hidden int }

func (l *lacking) look(ctx context.Context, c *pgx.Conn) error {
	var closed, hidden int
	if err := c.QueryRow(ctx, rightsQuery).Scan(&closed, &hidden); err != nil {
		return failure("look at the user's rights", err)
	}
	l.closed += closed
	l.hidden += hidden
	return nil
}

// failure says how many, never which.
func (l *lacking) failure() error {
	switch {
	case l.closed > 0:
		return denied("%d of the tables and sequences cannot be read: %s", l.closed, noRead)
	case l.hidden > 0:
		return denied("%d tables are affected: %s", l.hidden, rowPolicy)
	}
	return nil
}

// readable looks at every database that is to be dumped.
func (s server) readable(ctx context.Context, all []database, marker string) error {
	var l lacking
	for _, d := range all {
		c, err := s.connect(ctx, d.Name, marker)
		if err != nil {
			return err
		}
		err = l.look(ctx, c)
		bye(ctx, c)
		if err != nil {
			return err
		}
	}
	return l.failure()
}
