package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// systemDatabases are the server's own; a logical copy does not hold them.
var systemDatabases = []string{"information_schema", "mysql", "performance_schema", "sys"}

// schema is one database of the server.
type schema struct{ name, charset, collation string }

func (s *server) schemas(ctx context.Context) ([]schema, error) {
	rows, err := s.rows(ctx, "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME")
	if err != nil {
		return nil, failure(err)
	}
	var all []schema
	for _, r := range rows {
		if !slices.Contains(systemDatabases, r[0]) {
			all = append(all, schema{r[0], r[1], r[2]})
		}
	}
	return all, nil
}

// chosen are the databases that a job is about. single: it is about one by its name, so the copy of it can
// be put back under another.
func (s *server) chosen(ctx context.Context, j executor.Job) (all []schema, single bool, err error) {
	found, err := s.schemas(ctx)
	if err != nil {
		return nil, false, err
	}
	names := j.Config.Databases
	if j.Database != "" {
		if len(names) > 0 && !slices.Contains(names, j.Database) {
			return nil, false, notFound("the database is not among those of the instance: add it to the instance's databases")
		}
		names = []string{j.Database}
	}
	if len(names) == 0 {
		return found, false, nil
	}
	for _, n := range names {
		i := slices.IndexFunc(found, func(f schema) bool { return f.name == n })
		if i < 0 {
			return nil, false, notFound("a database of the instance does not exist on the server, or its account may not see it: correct the instance's databases, or grant the account its privileges")
		}
		all = append(all, found[i])
	}
	return all, len(names) == 1, nil
}

func namesOf(all []schema) []string {
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

// size is a guess at the bytes in the tables of the databases.
func (s *server) size(ctx context.Context, databases []string) (int64, error) {
	// The hint, a comment to MariaDB: MySQL would store what it finds out, which moves its log and with it the fingerprint.
	n, err := s.one(ctx, "SELECT /*+ SET_VAR(information_schema_stats_expiry=0) */ CAST(SUM(DATA_LENGTH) AS UNSIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ("+values(databases)+")")
	if err != nil || n == "" {
		return 0, failure(err)
	}
	return strconv.ParseInt(n, 10, 64)
}

// otherEngines counts the tables that no transaction protects.
func (s *server) otherEngines(ctx context.Context, databases []string) (int, error) {
	n, err := s.one(ctx, `SELECT COUNT(*) FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON t.ENGINE = e.ENGINE
		WHERE t.TABLE_TYPE <> 'VIEW' AND NOT (e.TRANSACTIONS <=> 'YES') AND t.TABLE_SCHEMA IN (`+values(databases)+")")
	if err != nil {
		return 0, failure(err)
	}
	return strconv.Atoi(n)
}

// logs tells that the server writes a binary log.
func (s *server) logs(ctx context.Context) (bool, error) {
	on, err := s.one(ctx, "SELECT @@GLOBAL.log_bin")
	return on == "1", failure(err)
}

// hasRoom sees that there is a connection left for the tool.
func (s *server) hasRoom(ctx context.Context) error {
	used, err := s.one(ctx, "SELECT VARIABLE_VALUE FROM "+s.statusTable()+" WHERE VARIABLE_NAME = 'Threads_connected'")
	if err != nil {
		return failure(err)
	}
	most, err := s.one(ctx, "SELECT @@GLOBAL.max_connections")
	if err != nil {
		return failure(err)
	}
	now, err1 := strconv.Atoi(used)
	limit, err2 := strconv.Atoi(most)
	if err1 == nil && err2 == nil && now >= limit {
		return fmt.Errorf("%w: %d of %d are used", ofNumber(1040), now, limit)
	}
	return s.accountHasRoom(ctx)
}

// accountHasRoom is hasRoom for the account's own limit. Which sessions of the same name are of another account is not
// to be seen: only those from the same place count.
func (s *server) accountHasRoom(ctx context.Context) error {
	all, err := s.rows(ctx, "SELECT CONNECTION_ID(), @@SESSION.max_user_connections, @@GLOBAL.max_user_connections")
	if err != nil || len(all) == 0 {
		return failure(err)
	}
	own, limit := all[0][0], all[0][1]
	most, err := strconv.Atoi(limit)
	if err != nil || most <= 0 {
		return nil //nolint:nilerr // no limit
	}
	if limit == all[0][2] { // the one for all, which some need not keep
		held, err := s.grants(ctx)
		if err != nil || held.global("SUPER") || held.global("CONNECTION ADMIN") {
			return err
		}
	}
	sessions, err := s.rows(ctx, "SHOW PROCESSLIST") // id, user, host; see alive
	if err != nil {
		return failure(err)
	}
	mine := slices.IndexFunc(sessions, func(r []string) bool { return r[0] == own })
	if mine < 0 {
		return nil
	}
	used := 0
	for _, r := range sessions {
		if r[1] == sessions[mine][1] && placeOf(r[2]) == placeOf(sessions[mine][2]) {
			used++
		}
	}
	if used >= most {
		return fmt.Errorf("%w: %d of the account's %d are used", ofNumber(1226), used, most)
	}
	return nil
}

// placeOf is the host of a session without its port.
func placeOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		return host[:i]
	}
	return host
}
