package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Fingerprint implements engine.ChangeDetector. A physical copy holds the server's own tables too, whose
// changes nothing tells: it has none.
func (e *Engine) Fingerprint(ctx context.Context, j executor.Job) (string, error) {
	if j.Config.Method == events.MethodPhysical {
		return "", nil
	}
	s, err := e.connect(ctx, j.Config)
	if err != nil {
		return "", err
	}
	defer s.close()
	all, _, err := s.chosen(ctx, j)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return s.fingerprint(ctx, namesOf(all))
}

// fingerprint is of the whole server's log, and of what in the databases no log tells: views, triggers,
// routines, events and defaults lie in files of the server, or in tables that are no InnoDB.
func (s *server) fingerprint(ctx context.Context, databases []string) (string, error) {
	others, err := s.otherEngines(ctx, databases)
	if err != nil || others > 0 {
		return "", err
	}
	lsn, err := s.lsn(ctx)
	if err != nil || lsn == "" {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, s.started, lsn)
	for _, query := range s.definitions(values(databases)) {
		rows, err := s.rows(ctx, query)
		if err != nil {
			return "", failure(err)
		}
		fmt.Fprintf(h, "%q\n", rows)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lsn is where InnoDB's log ends: every change of a row or a table of InnoDB moves it, in the binary log
// or not. Empty: the server does not tell, or writes none.
func (s *server) lsn(ctx context.Context) (string, error) {
	ends := []string{"Innodb_lsn_current"}
	if !s.mariadb {
		// The first counts at once what was written, but from the start of the server; the second is some moments
		// behind, but never goes back.
		ends = []string{"Innodb_log_write_requests", "Innodb_redo_log_current_lsn"}
	}
	rows, err := s.rows(ctx, "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM "+s.statusTable()+
		" WHERE VARIABLE_NAME IN ("+values(ends)+", 'Innodb_redo_log_enabled') ORDER BY 1")
	if err != nil {
		return "", failure(err)
	}
	var lsn []string
	for _, r := range rows {
		switch {
		case r[1] == "OFF":
			return "", nil
		case r[1] != "ON":
			lsn = append(lsn, r[1])
		}
	}
	if len(lsn) < len(ends) {
		return "", nil
	}
	return strings.Join(lsn, " "), nil
}

func (s *server) definitions(list string) []string {
	log := "SELECT @@server_uuid, @@GLOBAL.gtid_executed"
	if s.mariadb {
		log = "SELECT @@hostname, @@port, @@datadir, @@GLOBAL.gtid_binlog_pos"
	}
	return []string{
		log,
		"SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN (" + list + ") ORDER BY 1",
		"SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN (" + list + ") ORDER BY 1, 2",
		"SELECT TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER, ACTION_STATEMENT, SQL_MODE, DEFINER, CREATED FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN (" + list + ") ORDER BY 1, 2",
		"SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_DEFINITION, DTD_IDENTIFIER, SECURITY_TYPE, SQL_MODE, DEFINER, LAST_ALTERED, ROUTINE_COMMENT FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN (" + list + ") ORDER BY 1, 2, 3",
		"SELECT EVENT_SCHEMA, EVENT_NAME, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, SQL_MODE, STARTS, ENDS, STATUS, ON_COMPLETION, DEFINER, LAST_ALTERED, EVENT_COMMENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN (" + list + ") ORDER BY 1, 2",
	}
}
