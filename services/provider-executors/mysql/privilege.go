package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// grant is one line of SHOW GRANTS: privileges on something.
type grant struct {
	privileges      []string
	database, table string // * is all; database is a pattern of LIKE
	literal         bool   // database is a name
	revoked         bool   // taken from what is granted on everything (MySQL)
}

type grants []grant

// grantForm takes a line apart. What has no object, a role or a proxy, is left out.
var grantForm = regexp.MustCompile("^(GRANT|REVOKE) (.+) ON (\\*|`(?:[^`]|``)*`)\\.(\\*|`(?:[^`]|``)*`) (?:TO|FROM) ")

func (s *server) grants(ctx context.Context) (grants, error) {
	lines, err := s.rows(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, failure(err)
	}
	partial, err := s.rows(ctx, "SHOW VARIABLES LIKE 'partial_revokes'") // since MySQL 8.0.16: with it, no name is a pattern
	if err != nil {
		return nil, failure(err)
	}
	var all grants
	for _, l := range lines {
		if m := grantForm.FindStringSubmatch(l[0]); m != nil {
			all = append(all, grant{
				privileges: splitPrivileges(m[2]), database: unquote(m[3]), table: unquote(m[4]),
				literal: len(partial) > 0 && partial[0][1] == "ON", revoked: m[1] == "REVOKE",
			})
		}
	}
	return all, nil
}

// splitPrivileges takes a list apart. MySQL writes no space between dynamic privileges.
func splitPrivileges(list string) []string {
	all := strings.Split(list, ",")
	for i, p := range all {
		all[i] = strings.TrimSpace(p)
	}
	return all
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '`' && s[0] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], s[:1]+s[:1], s[:1])
}

// covers tells that a line is about all of a database.
func (g grant) covers(database string) bool {
	switch {
	case g.database == "*":
		return true
	case g.table != "*":
		return false
	case g.literal || g.revoked:
		return g.database == database
	}
	return like(g.database, database)
}

func (g grant) holds(privilege string) bool {
	return slices.Contains(g.privileges, "ALL PRIVILEGES") || slices.ContainsFunc(g.privileges, func(p string) bool { return strings.EqualFold(p, privilege) })
}

// global tells that a privilege is held on everything.
func (all grants) global(privilege string) bool {
	return slices.ContainsFunc(all, func(g grant) bool { return g.database == "*" && !g.revoked && g.holds(privilege) })
}

// on tells that a privilege is held on all of a database. One on some of its tables is not enough: the others
// are hidden from the account, and from the tool.
func (all grants) on(privilege, database string) bool {
	held := false
	for _, g := range all {
		if g.holds(privilege) && g.covers(database) {
			if g.revoked {
				return false
			}
			held = true
		}
	}
	return held
}

// everywhere tells that a privilege is held on everything, and taken from no database.
func (all grants) everywhere(privilege string) bool {
	return all.global(privilege) && !slices.ContainsFunc(all, func(g grant) bool { return g.revoked && g.holds(privilege) })
}

// onTable tells that a privilege is held on one table.
func (all grants) onTable(privilege, database, table string) bool {
	return all.on(privilege, database) || slices.ContainsFunc(all, func(g grant) bool {
		return !g.revoked && g.holds(privilege) && g.database == database && g.table == table
	})
}

// like is LIKE for the pattern of a grant, in which \ escapes.
func like(pattern, name string) bool {
	var form strings.Builder
	form.WriteString("^(?s:")
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			form.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '%':
			form.WriteString(".*")
		case r == '_':
			form.WriteString(".")
		default:
			form.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	form.WriteString(")$")
	found, err := regexp.MatchString(form.String(), name)
	return err == nil && found
}

// dumpPrivileges are needed on each database. Without TRIGGER the tool leaves triggers out and says nothing.
var dumpPrivileges = []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"}

// missingForDump lists what the account lacks to dump the databases whole.
func (all grants) missingForDump(mariadb bool, databases []string) (missing []string) {
	for _, p := range dumpPrivileges {
		n := 0
		for _, db := range databases {
			if !all.on(p, db) {
				n++
			}
		}
		switch {
		case n > 0 && n == len(databases):
			missing = append(missing, p)
		case n > 0:
			missing = append(missing, fmt.Sprintf("%s (on %d of the %d databases)", p, n, len(databases)))
		}
	}
	// Without this the tool leaves routines out and says nothing.
	switch {
	case all.global("SELECT"):
	case mariadb && !all.onTable("SELECT", "mysql", "proc") && !all.global("SHOW CREATE ROUTINE"):
		missing = append(missing, "SELECT on mysql.proc")
	case !mariadb && !all.global("SHOW_ROUTINE"):
		missing = append(missing, "SHOW_ROUTINE")
	}
	return missing
}

// seesAll tells that no database is hidden from the account.
func (all grants) seesAll() bool {
	return slices.ContainsFunc([]string{"SHOW DATABASES", "SELECT", "TRIGGER", "EVENT"}, all.everywhere)
}

// lacks is the failure that names what is missing.
func lacks(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return permission("the account lacks the privileges " + strings.Join(missing, ", ") + ": GRANT them; without them the tool would leave things out of the copy, in part without a word")
}
