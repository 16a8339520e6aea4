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
	schema        // charset is empty if there was none
	empty  bool   // nothing is in it, or it does not exist
	want   schema // what it is to be; no charset: what the server or the stream gives it
}

func (t target) existed() bool { return t.charset != "" }

// learnCase asks how the server compares names.
func (r *restoring) learnCase(ctx context.Context) error {
	how, err := r.one(ctx, "SELECT @@GLOBAL.lower_case_table_names")
	r.folds = how != "0"
	return failure(err)
}

func (r *restoring) same(a, b string) bool { return a == b || r.folds && strings.EqualFold(a, b) }

// look finds out what is in the databases.
func (r *restoring) look(ctx context.Context, into []schema) ([]target, error) {
	found, err := r.schemas(ctx)
	if err != nil {
		return nil, err
	}
	var all []target
	for _, w := range into {
		n := w.name
		if slices.Contains(systemDatabases, strings.ToLower(n)) {
			return nil, rejected("the target is one of the server's own databases: choose another name")
		}
		if slices.ContainsFunc(all, func(t target) bool { return r.same(t.want.name, n) }) {
			return nil, rejected("two databases of the copy have the same name to the server, which disregards case: restore it to a server that does not")
		}
		t := target{schema: schema{name: n}, empty: true, want: w}
		if i := slices.IndexFunc(found, func(f schema) bool { return r.same(f.name, n) }); i >= 0 {
			t.schema = found[i]
			if t.empty, err = r.isEmpty(ctx, t.name); err != nil {
				return nil, err
			}
		}
		all = append(all, t)
	}
	return all, nil
}

func (s *server) isEmpty(ctx context.Context, database string) (bool, error) {
	held := []string{"TABLES WHERE TABLE_SCHEMA", "ROUTINES WHERE ROUTINE_SCHEMA", "EVENTS WHERE EVENT_SCHEMA"}
	if s.hasLibraries() {
		held = append(held, "LIBRARIES WHERE LIBRARY_SCHEMA")
	}
	for _, kind := range held {
		n, err := s.one(ctx, "SELECT COUNT(*) FROM information_schema."+kind+" = ?", database)
		if err != nil || n != "0" {
			return false, failure(err)
		}
	}
	return true, nil
}

// drop drops what is overwritten, and keeps what is known of its fate.
func (r *restoring) drop(ctx context.Context, name string) error {
	err := r.do(ctx, "DROP DATABASE "+quote(name))
	switch {
	case err == nil:
		r.old = gone
	case !isRefusal(err) || slices.Contains(halfDone, numberOf(err)):
		r.old = max(r.old, perhapsGone)
	}
	return failure(err)
}

// halfDone are the refusals by which a DROP DATABASE ends in the middle: killed, timed out, or the folder would
// not go.
var halfDone = []int{1010, 1053, 1317, 1927, 1969, 3024}

// defaults are the clause for the character set of new tables.
func (s schema) defaults() string {
	if !plainName(s.charset) || !plainName(s.collation) {
		return ""
	}
	return " CHARACTER SET " + s.charset + " COLLATE " + s.collation
}

// make makes the database of a target anew, with the mark in it.
func (r *restoring) make(ctx context.Context, t target) error {
	if !t.empty {
		if err := r.drop(ctx, t.name); err != nil {
			return err
		}
	}
	created := !t.empty || !t.existed()
	if created {
		if err := r.do(ctx, "CREATE DATABASE "+quote(t.name)+t.want.defaults()); err != nil {
			return failure(err)
		}
	}
	err := r.do(ctx, "CREATE TABLE "+quote(t.name)+"."+quote(r.mark)+" (a INT PRIMARY KEY) ENGINE=InnoDB COMMENT='"+t.again()+"'")
	if err != nil && created { // without the mark nobody would know it again
		err = errors.Join(err, r.do(context.WithoutCancel(ctx), "DROP DATABASE "+quote(t.name)))
	}
	if more := t.want.defaults(); err == nil && !created && more != "" { // the mark knows what it was
		err = r.do(ctx, "ALTER DATABASE "+quote(t.name)+more)
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

// undo drops what was begun. What was there, and empty, is there again. A database in which others made tables
// meanwhile stays as it is.
func (r *restoring) undo(ctx context.Context, begun []target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	marked, err := r.marked(ctx)
	if err != nil {
		return err
	}
	var all []error
	for _, t := range begun {
		if !r.has(marked, t.name) {
			continue
		}
		n, err := r.foreign(ctx, t.name)
		switch {
		case err != nil:
		case n > 0: // without the mark, so that no recovery drops it
			r.others = true
			err = r.do(ctx, "DROP TABLE "+quote(t.name)+"."+quote(r.mark))
		default:
			err = r.clear(ctx, t.name, t.again())
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// foreign counts the tables of a database that the restore did not make.
func (r *restoring) foreign(ctx context.Context, name string) (n int, err error) {
	found, err := r.rows(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", name)
	if err != nil {
		return 0, failure(err)
	}
	ours := map[table]bool{r.key(name, r.mark): true}
	if r.filled != nil {
		for t := range r.filled.made {
			ours[r.key(t.database, t.name)] = true
		}
	}
	for _, f := range found {
		if !ours[r.key(name, f[0])] {
			n++
		}
	}
	return n, nil
}

func (r *restoring) has(marked map[string]string, name string) bool {
	for m := range marked {
		if r.same(m, name) {
			return true
		}
	}
	return false
}

func (r *restoring) key(database, name string) table {
	if r.folds {
		return table{strings.ToLower(database), strings.ToLower(name)}
	}
	return table{database, name}
}

// clear drops a database that has the mark. again is the mark's comment: what it is to be made anew with.
func (r *restoring) clear(ctx context.Context, name, again string) error {
	marked, err := r.marked(ctx)
	if err != nil {
		return err
	}
	if !r.has(marked, name) {
		return nil
	}
	if err := r.do(ctx, "DROP DATABASE "+quote(name)); err != nil {
		return failure(err)
	}
	charset, collation, _ := strings.Cut(again, " ")
	clause := schema{charset: charset, collation: collation}.defaults()
	if clause == "" {
		return nil
	}
	return failure(r.do(ctx, "CREATE DATABASE "+quote(name)+clause))
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
	if err := s.sweep(ctx, restoreMarker(j)); err != nil { // what is still being loaded would come after the end
		return err
	}
	r := &restoring{server: s, mark: mark}
	all, err := r.marked(ctx)
	if err != nil {
		return err
	}
	var left []error
	for name, again := range all {
		left = append(left, r.clear(ctx, name, again))
	}
	return errors.Join(left...)
}
