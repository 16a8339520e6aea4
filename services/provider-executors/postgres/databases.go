package postgres

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// database is what CREATE DATABASE and its company need to know; a dump of one database does not hold it.
type database struct {
	Name      string    `json:"name"`
	Owner     string    `json:"owner"`
	Encoding  string    `json:"encoding"`
	Collate   string    `json:"collate"`
	CType     string    `json:"ctype"`
	Provider  string    `json:"provider,omitempty"` // of the locale: i is ICU, b built in
	Locale    string    `json:"locale,omitempty"`
	ConnLimit int       `json:"connLimit"`
	Comment   string    `json:"comment,omitempty"`
	Settings  []setting `json:"settings,omitempty"`
	Private   bool      `json:"private,omitempty"` // the rights are those in Grants alone
	Grants    []grant   `json:"grants,omitempty"`
	Roles     []string  `json:"roles,omitempty"` // that its objects name

	size int64
	free *int // connections that its CONNECTION LIMIT leaves, of others than superusers; nil: without one
}

// setting is one of ALTER DATABASE … SET, or of ALTER ROLE … IN DATABASE … SET.
type setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// grant is a right on the database.
type grant struct {
	To     string `json:"to,omitempty"` // empty: PUBLIC
	Right  string `json:"right"`
	Option bool   `json:"option,omitempty"`
}

// maintenance are the databases that a server has anyway, tried in this order.
var maintenance = []string{"postgres", "template1"}

// reach connects to one of the databases of j: which is of no matter.
func (s server) reach(ctx context.Context, j executor.Job, marker string) (*pgx.Conn, error) {
	try := slices.Concat(named(j), maintenance)
	for i, name := range try {
		c, err := s.connect(ctx, name, marker)
		if sqlState(err) == "3D000" && i < len(try)-1 {
			continue
		}
		return c, err
	}
	return nil, rejected("there is no database to connect to")
}

// named are the databases that j asks for; nil: all.
func named(j executor.Job) []string {
	if j.Database != "" {
		return []string{j.Database}
	}
	return j.Config.Databases
}

// wantedDatabases is the condition on pg_database d of those that $1 names; NULL: of all.
const wantedDatabases = `d.datallowconn AND (CASE WHEN $1::text[] IS NULL THEN NOT d.datistemplate ELSE d.datname = ANY ($1) END)`

const databasesQuery = `SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
	coalesce(to_jsonb(d)->>'datlocprovider', ''), coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', ''),
	d.datconnlimit, coalesce(shobj_description(d.oid, 'pg_database'), ''), d.datacl IS NOT NULL,
	CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END,
	coalesce((SELECT jsonb_agg(jsonb_build_object('role', coalesce(r.rolname, ''), 'name', split_part(c, '=', 1), 'value', substr(c, strpos(c, '=') + 1)) ORDER BY r.rolname, c)
		FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid), '[]'),
	coalesce((SELECT jsonb_agg(jsonb_build_object('to', coalesce(r.rolname, ''), 'right', a.privilege_type, 'option', a.is_grantable) ORDER BY r.rolname, a.privilege_type)
		FROM aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee), '[]'),
	coalesce((SELECT jsonb_agg(DISTINCT r.rolname) FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
		WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid = d.oid AND r.rolname !~ '^pg_'), '[]'),
	(SELECT rolname FROM pg_roles WHERE oid = 10),
	CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit - (SELECT count(*)::int FROM pg_stat_activity WHERE datid = d.oid AND pid <> pg_backend_pid() AND backend_type = 'client backend') END
	FROM pg_database d WHERE ` + wantedDatabases + ` ORDER BY d.datname`

// maxDatabases leaves room for what belongs to no database.
const maxDatabases = 990

// databasesOf lists what j asks for, or all that allow connections and are no templates.
func databasesOf(ctx context.Context, c *pgx.Conn, j executor.Job) ([]database, error) {
	names := named(j)
	rows, err := c.Query(ctx, databasesQuery, names)
	if err != nil {
		return nil, failure("list the databases", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d database, err error) {
		var first string // the server's first role, which the catalogue of dependencies leaves out
		err = row.Scan(&d.Name, &d.Owner, &d.Encoding, &d.Collate, &d.CType, &d.Provider, &d.Locale, &d.ConnLimit, &d.Comment, &d.Private,
			&d.size, &d.Settings, &d.Grants, &d.Roles, &first, &d.free)
		d.Roles = append(d.Roles, first)
		return d, err
	})
	if err != nil {
		return nil, failure("list the databases", err)
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(d database) bool { return d.Name == name }) {
			return nil, &events.Failure{Code: events.NotFound, Category: events.ByUser,
				Message: "the server has no such database, or it allows no connections: correct the instance's databases or the one that was asked for"}
		}
	}
	switch {
	case slices.ContainsFunc(all, func(d database) bool { return !utf8.ValidString(d.Name) }):
		return nil, rejected("the name of a database is not UTF-8: rename it")
	case len(all) == 0:
		return nil, rejected("there is nothing to back up: the server has no database but its templates")
	case len(all) > maxDatabases:
		return nil, rejected("the server has more databases than fit into one copy: name at most %d of them in the instance's databases", maxDatabases)
	}
	return all, nil
}
