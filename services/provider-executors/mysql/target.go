package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// markPrefix begins the name of the table that is made first and dropped last in a database that a restore
// fills. Only a database that has it is ever dropped by RecoverRestore.
const markPrefix = "_backupbus_restore_"

func markOf(restoreID string) (string, error) {
	token, err := events.Token(restoreID)
	if err != nil {
		return "", fmt.Errorf("name of the restore: %w", err)
	}
	return markPrefix + token, nil
}

// target is a database that a restore fills, as it was before.
type target struct {
	schema      // charset is empty if there was none
	empty  bool // nothing is in it, or it does not exist
}

func (t target) existed() bool { return t.charset != "" }

// look finds out what is in the databases.
func (s *server) look(ctx context.Context, names []string) ([]target, error) {
	found, err := s.schemas(ctx)
	if err != nil {
		return nil, err
	}
	var all []target
	for _, n := range names {
		if slices.Contains(systemDatabases, strings.ToLower(n)) {
			return nil, rejected("the target is one of the server's own databases: choose another name")
		}
		t := target{schema: schema{name: n}, empty: true}
		if i := slices.IndexFunc(found, func(f schema) bool { return f.name == n }); i >= 0 {
			t.schema = found[i]
			if t.empty, err = s.isEmpty(ctx, n); err != nil {
				return nil, err
			}
		}
		all = append(all, t)
	}
	return all, nil
}

func (s *server) isEmpty(ctx context.Context, database string) (bool, error) {
	n, err := s.one(ctx, `SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?)
		+ (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?)
		+ (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?)`, database, database, database)
	return n == "0", failure(err)
}

// make makes the database of a target anew, with the mark in it.
func (r *restoring) make(ctx context.Context, t target) error {
	if !t.empty {
		if err := r.do(ctx, "DROP DATABASE "+quote(t.name)); err != nil {
			return failure(err)
		}
	}
	created := !t.empty || !t.existed()
	if created {
		if err := r.do(ctx, "CREATE DATABASE "+quote(t.name)); err != nil {
			return failure(err)
		}
	}
	err := r.do(ctx, "CREATE TABLE "+quote(t.name)+"."+quote(r.mark)+" (a INT) ENGINE=InnoDB COMMENT='"+t.again()+"'")
	if err != nil && created { // without the mark nobody would know it again
		err = errors.Join(err, r.do(context.WithoutCancel(ctx), "DROP DATABASE "+quote(t.name)))
	}
	return failure(err)
}

// again is how the target is to be made anew after a failure; empty if it was not there, or overwritten.
func (t target) again() string {
	if !t.existed() || !t.empty {
		return ""
	}
	return t.charset + " " + t.collation
}

// undo drops what was begun. What was there, and empty, is there again.
func (r *restoring) undo(ctx context.Context, begun []target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	for _, t := range begun {
		if err := r.clear(ctx, t.name, t.again()); err != nil {
			return err
		}
	}
	return nil
}

// clear drops a database that has the mark. again is the mark's comment: what it is to be made anew with.
func (r *restoring) clear(ctx context.Context, name, again string) error {
	marked, err := r.marked(ctx)
	if err != nil {
		return err
	}
	if _, ours := marked[name]; !ours {
		return nil
	}
	if err := r.do(ctx, "DROP DATABASE "+quote(name)); err != nil {
		return failure(err)
	}
	charset, collation, ok := strings.Cut(again, " ")
	if !ok || !plainName(charset) || !plainName(collation) {
		return nil
	}
	return failure(r.do(ctx, "CREATE DATABASE "+quote(name)+" CHARACTER SET "+charset+" COLLATE "+collation))
}

// plainName tells the name of a character set from anything else.
func plainName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
}

// marked are the databases that have the mark, with its comment.
func (r *restoring) marked(ctx context.Context) (map[string]string, error) {
	found, err := r.rows(ctx, "SELECT TABLE_SCHEMA, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_NAME = ?", r.mark)
	if err != nil {
		return nil, failure(err)
	}
	all := map[string]string{}
	for _, f := range found {
		all[f[0]] = f[1]
	}
	return all, nil
}

// RecoverRestore implements engine.Engine.
func (e *Engine) RecoverRestore(ctx context.Context, j executor.RestoreJob) error {
	mark, err := markOf(j.RestoreID)
	if err != nil {
		return err
	}
	if j.Target.DataDir != "" {
		if err := recoverFolder(j.Target.DataDir, mark); err != nil {
			return err
		}
	}
	if j.Target.Address == "" {
		return nil
	}
	s, err := e.connect(ctx, j.Target)
	if err != nil {
		return err
	}
	defer s.close()
	r := &restoring{server: s, mark: mark}
	all, err := r.marked(ctx)
	if err != nil {
		return err
	}
	for name, again := range all {
		if err := r.clear(ctx, name, again); err != nil {
			return err
		}
	}
	return nil
}
