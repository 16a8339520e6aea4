package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// roleMark is the comment of a role from its making to the end of the restore, by which a restore that was
// cut finds those that it made.
func roleMark(j executor.RestoreJob) string { return "backupbus restore " + j.RestoreID }

// makeRoles makes the roles of the copy that the target does not have, with their passwords, settings and
// memberships. Those that are there are left alone in every respect: a restore changes nobody's password
// and makes nobody a member of anything.
func (r *restoring) makeRoles(ctx context.Context) error {
	o, _ := part(r.copy.Manifest, globalsPart)
	if err := check(ctx, r.program, r.copy, o); err != nil {
		return err
	}
	script, err := unpackSmall(ctx, r.copy, o)
	if err != nil {
		return err
	}
	present, err := roleNames(ctx, r.admin)
	if err != nil {
		return err
	}
	for _, statement := range statements(string(script)) {
		role, made := roleOf(statement)
		if role == "" || slices.Contains(present, role) || words(statement)[0] == "COMMENT" {
			continue
		}
		if !made {
			if err := run(ctx, r.admin, statement); err != nil {
				return err
			}
			continue
		}
		// In one transaction: a role without its mark would be nobody's.
		err := run(ctx, r.admin, "BEGIN", statement, "COMMENT ON ROLE "+ident(role)+" IS "+literal(roleMark(r.job)), "COMMIT")
		if err != nil {
			_, _ = r.admin.Exec(context.WithoutCancel(ctx), "ROLLBACK")
			return err
		}
	}
	return nil
}

func roleNames(ctx context.Context, c *pgx.Conn) ([]string, error) {
	rows, err := c.Query(ctx, `SELECT rolname FROM pg_roles`)
	if err != nil {
		return nil, failure("list the roles", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, failure("list the roles", err)
}

// marked are the roles that the restore made.
func marked(ctx context.Context, c interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, j executor.RestoreJob) ([]string, error) {
	rows, err := c.Query(ctx, `SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $1`, roleMark(j))
	if err != nil {
		return nil, failure("look for the restore's roles", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, failure("look for the restore's roles", err)
}

// unmarkRoles gives the roles that were made the comments that they had.
func (r *restoring) unmarkRoles(ctx context.Context, tx pgx.Tx) error {
	if !r.globals {
		return nil
	}
	names, err := marked(ctx, tx, r.job)
	if err != nil {
		return err
	}
	comments, err := r.comments(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		statement, ok := comments[name]
		if !ok {
			statement = "COMMENT ON ROLE " + ident(name) + " IS NULL"
		}
		if _, err := tx.Exec(ctx, statement); err != nil {
			return failure("keep the roles", err)
		}
	}
	return nil
}

func (r *restoring) comments(ctx context.Context) (map[string]string, error) {
	o, _ := part(r.copy.Manifest, globalsPart)
	script, err := unpackSmall(ctx, r.copy, o)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, statement := range statements(string(script)) {
		if role, _ := roleOf(statement); role != "" && words(statement)[0] == "COMMENT" {
			all[role] = statement
		}
	}
	return all, nil
}

// dropRoles removes the roles of a restore that did not come to its end; its databases are gone by then.
func dropRoles(ctx context.Context, c *pgx.Conn, j executor.RestoreJob) error {
	names, err := marked(ctx, c, j)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := run(ctx, c, "DROP ROLE "+ident(name)); err != nil {
			return err
		}
	}
	return nil
}
