package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// stagePrefix begins the name of every database that a restore makes or moves away. All of one restore
// carry its id, so that what a killed process left is found.
const stagePrefix = "_backupbus_"

var plainID = regexp.MustCompile(`^[A-Za-z0-9_]{1,32}$`)

func stageBase(j executor.RestoreJob) string {
	if plainID.MatchString(j.RestoreID) {
		return stagePrefix + j.RestoreID + "_"
	}
	sum := sha256.Sum256([]byte(j.RestoreID))
	return stagePrefix + hex.EncodeToString(sum[:12]) + "_"
}

func stageName(j executor.RestoreJob, what string, i int) string {
	return fmt.Sprintf("%s%s_%d", stageBase(j), what, i)
}

// exchangeTime is how long the sessions of the databases that are replaced may resist.
const exchangeTime = 45 * time.Second

// exchange puts every loaded database under its name, and what stood there aside, in one transaction: a
// crash before its commit leaves all as it was, one after it only what RecoverRestore drops.
func (r *restoring) exchange(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	for {
		for _, s := range r.swaps {
			if _, err := r.vacant(limit, s.to); err != nil { // once more: loading took its time
				return err
			}
		}
		err := r.rename(limit)
		if sqlState(err) != "55006" || limit.Err() != nil {
			return err
		}
	}
}

func (r *restoring) rename(ctx context.Context) error {
	for _, s := range r.swaps {
		if err := evict(ctx, r.admin, s.to); err != nil {
			return err
		}
	}
	tx, err := r.admin.Begin(ctx)
	if err != nil {
		return failure("begin the exchange", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // harmless after the commit
	for _, s := range r.swaps {
		if s.replaces {
			if _, err := tx.Exec(ctx, "ALTER DATABASE "+ident(s.to)+" RENAME TO "+ident(s.old)); err != nil {
				return failure("move the old database away", err)
			}
		}
		if _, err := tx.Exec(ctx, "ALTER DATABASE "+ident(s.stage)+" RENAME TO "+ident(s.to)); err != nil {
			if sqlState(err) == "42P04" {
				err = fmt.Errorf("%w: %w", &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
					Message: "a database of the target's name was made while the copy was loaded: restore under another name"}, err)
			}
			return failure("move the new database in", err)
		}
	}
	if err := r.unmarkRoles(ctx, tx); err != nil {
		return err
	}
	return failure("commit the exchange", tx.Commit(ctx))
}

// evict ends the sessions of a database.
func evict(ctx context.Context, c *pgx.Conn, database string) error {
	_, err := c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, database)
	if sqlState(err) == "42501" {
		return fmt.Errorf("%w: %w", denied("other users are connected to the target and the user may not end their sessions: GRANT pg_signal_backend TO it, or end them"), err)
	}
	return failure("end the sessions of the target", err)
}

// finish drops what was replaced. The copy is in place by then.
func (r *restoring) finish(ctx context.Context) error {
	err := r.undo(ctx)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", internal("the copy is in place, but what it replaced could not be dropped: drop the databases whose names begin with "+stagePrefix), err)
}

// RecoverRestore implements engine.Engine. A restore that was cut before its exchange has changed nothing
// but what is dropped here; one that was cut after it is completed.
func (e *Engine) RecoverRestore(ctx context.Context, j executor.RestoreJob) error {
	if err := e.recoverPhysical(j); err != nil || j.Target.Address == "" {
		return err
	}
	s, err := e.server(j.Target)
	if err != nil {
		return err
	}
	m := marker("restore", j.RestoreID, 0)
	c, err := s.administer(ctx, nil, m)
	if err != nil {
		return err
	}
	defer bye(ctx, c)
	return sweep(ctx, c, j, m)
}

// sweep ends the sessions of a restore and drops its databases and the roles that it made.
func sweep(ctx context.Context, c *pgx.Conn, j executor.RestoreJob, marker string) error {
	if err := dismiss(ctx, c, marker); err != nil {
		return err
	}
	rows, err := c.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, stageBase(j))
	if err != nil {
		return failure("look for what the restore left", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failure("look for what the restore left", err)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, drop(ctx, c, name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return dropRoles(ctx, c, j)
}

func drop(ctx context.Context, c *pgx.Conn, name string) error {
	for {
		if err := evict(ctx, c, name); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+ident(name))
		if sqlState(err) != "55006" || ctx.Err() != nil {
			return failure("drop a database of the restore", err)
		}
	}
}
