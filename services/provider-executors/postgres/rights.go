package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// rightsQuery counts, in the database of the session, what pg_dump would stumble over, and names the first. Tables of
// extensions are not dumped.
const rightsQuery = `WITH seen AS (
		SELECT c.oid, c.relkind, NOT has_schema_privilege(n.oid, 'USAGE') AS closed, format('%I.%I', n.nspname, c.relname) AS name
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
	judged AS (SELECT name,
		closed OR CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(oid, 'SELECT') ELSE NOT has_table_privilege(oid, 'SELECT') END AS closed,
		relkind <> 'S' AND row_security_active(oid) AS hidden FROM seen)
	SELECT count(*) FILTER (WHERE closed), count(*) FILTER (WHERE hidden),
		(coalesce(array_agg(name ORDER BY name) FILTER (WHERE closed), '{}'))[1:$1::int], (coalesce(array_agg(name ORDER BY name) FILTER (WHERE hidden), '{}'))[1:$1::int]
	FROM judged`

// lacking are the rights that a database's dump would need and the user does not have.
type lacking struct {
	closed, hidden           int
	closedNames, hiddenNames []string // the first, as database: schema.table
}

func (l *lacking) look(ctx context.Context, c *pgx.Conn, database string) error {
	var closed, hidden int
	var closedNames, hiddenNames []string
	if err := c.QueryRow(ctx, rightsQuery, mostNamed).Scan(&closed, &hidden, &closedNames, &hiddenNames); err != nil {
		return failure("look at the user's rights", err)
	}
	l.closed += closed
	l.hidden += hidden
	for _, n := range closedNames {
		l.closedNames = append(l.closedNames, database+": "+n)
	}
	for _, n := range hiddenNames {
		l.hiddenNames = append(l.hiddenNames, database+": "+n)
	}
	return nil
}

// which names what is lacking to who asks for it; events do not repeat names.
func (l *lacking) which() string {
	all, count := l.closedNames, l.closed
	if l.closed == 0 {
		all, count = l.hiddenNames, l.hidden
	}
	all = all[:min(len(all), mostNamed)]
	text := strings.Join(all, ", ")
	if more := count - len(all); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// mostNamed is how many of what is lacking are named.
const mostNamed = 20

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
func (s server) readable(ctx context.Context, all []database, marker string) (l lacking, err error) {
	for _, d := range all {
		c, err := s.connect(ctx, d.Name, marker)
		if err != nil {
			return l, err
		}
		err = l.look(ctx, c, d.Name)
		bye(ctx, c)
		if err != nil {
			return l, err
		}
	}
	return l, l.failure()
}
