package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// exchangePace is how long to wait before the next attempt against them.
const exchangePace = 50 * time.Millisecond

// exchangeLast is how long the last attempt may take: the server itself waits 5 s for sessions that end.
const exchangeLast = 10 * time.Second

// held finds what keeps a database from being replaced or dropped however often its sessions are ended.
func held(ctx context.Context, c *pgx.Conn, database string) error {
	var prepared, subscriptions int
	err := c.QueryRow(ctx, `SELECT (SELECT count(*)::int FROM pg_prepared_xacts WHERE database = $1),
		(SELECT count(*)::int FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = $1))`, database).Scan(&prepared, &subscriptions)
	switch {
	case err != nil:
		return failure("look for what holds the database", err)
	case prepared > 0:
		return rejected("the database holds %d prepared transactions, which keep it from being replaced or dropped: COMMIT PREPARED or ROLLBACK PREPARED each that pg_prepared_xacts lists, then try again", prepared)
	case subscriptions > 0:
		return rejected("the database holds %d subscriptions of logical replication, which keep it from being replaced or dropped: DROP SUBSCRIPTION each of them there, then try again", subscriptions)
	}
	return nil
}

// insist repeats what is refused because a database is in use, until it works, the database is held for
// good, or the time is up.
func insist(ctx context.Context, c *pgx.Conn, databases []string, try func(context.Context) error) error {
	limit := time.NewTimer(exchangeTime)
	defer limit.Stop()
	trying, cancel := context.WithTimeout(ctx, exchangeTime+exchangeLast) // longer: what it cuts takes the session with it
	defer cancel()
	tick := time.NewTicker(exchangePace)
	defer tick.Stop()
	for {
		err := try(trying)
		switch {
		case err != nil && !isFailure(err) && trying.Err() != nil && ctx.Err() == nil:
			return fmt.Errorf("%w: %w", ofState(&pgconn.PgError{Code: "55006"}), err)
		case sqlState(err) != "55006":
			return err
		}
		for _, name := range databases {
			if h := held(ctx, c, name); h != nil {
				return fmt.Errorf("%w: %w", h, err)
			}
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// exchange puts every loaded database under its name, and what stood there aside, in one transaction: a
// crash before its commit leaves all as it was, one after it only what RecoverRestore drops.
func (r *restoring) exchange(ctx context.Context) error {
	return insist(ctx, r.admin, r.targets(), func(ctx context.Context) error {
		for _, s := range r.swaps {
			if _, err := r.vacant(ctx, s.to); err != nil { // once more: loading took its time
				return err
			}
		}
		return r.rename(ctx)
	})
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
	err = tx.Commit(ctx)
	if err != nil && sqlState(err) == "" && r.committed(ctx) {
		return nil
	}
	return failure("commit the exchange", err)
}

// committed tells, after the answer to a commit was lost, that it came about: then no database stands under
// its temporary name any more. The session is ended first, which may still be at it.
func (r *restoring) committed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	c, err := r.server.administer(ctx, nil, r.marker)
	if err != nil {
		return false
	}
	defer bye(ctx, c)
	if dismiss(ctx, c, r.marker) != nil {
		return false
	}
	var left int
	err = c.QueryRow(ctx, `SELECT count(*)::int FROM pg_database WHERE starts_with(datname, $1)`, stageBase(r.job)+"new_").Scan(&left)
	return err == nil && left == 0
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
	if err == nil || errors.Is(err, errKept) {
		return err
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
	return s.sweep(ctx, c, j, m)
}

// sweep ends the sessions of a restore and drops its databases and the roles that it made. A replaced
// database that may not be overwritten and was filled at the last moment is kept under another name.
func (s server) sweep(ctx context.Context, c *pgx.Conn, j executor.RestoreJob, marker string) error {
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
		errs = append(errs, s.discard(ctx, c, j, name, marker))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return dropRoles(ctx, c, j)
}

// keptPrefix begins the name of a replaced database that was not dropped; the restore's id follows.
const keptPrefix = stagePrefix + "kept_"

var errKept = errors.New("a replaced database was kept")

// discard drops one database of a restore.
func (s server) discard(ctx context.Context, c *pgx.Conn, j executor.RestoreJob, name, marker string) error {
	var half bool // dropped already but for its files, and closed to everybody
	if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datconnlimit = -2)`, name).Scan(&half); err != nil {
		return failure("look at a database of the restore", err)
	}
	rest, replaced := strings.CutPrefix(name, stageBase(j)+"old_")
	if half || replaced && j.Overwrite {
		return drop(ctx, c, name)
	}
	in, err := s.connect(ctx, name, marker)
	switch {
	case err == nil:
		defer bye(ctx, in)
	case replaced: // never dropped unseen
		return err
	default:
		return drop(ctx, c, name)
	}
	if !replaced {
		err := dropSubscriptions(ctx, in) // which came with it
		bye(ctx, in)
		if dropped := drop(ctx, c, name); dropped != nil {
			return errors.Join(dropped, err)
		}
		return nil
	}
	holds, err := holdsData(ctx, in)
	bye(ctx, in)
	switch {
	case err != nil:
		return err
	case !holds:
		return drop(ctx, c, name)
	}
	kept := keptPrefix + strings.TrimPrefix(stageBase(j), stagePrefix) + rest
	if err := alone(ctx, c, name, "ALTER DATABASE "+ident(name)+" RENAME TO "+ident(kept)); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", &events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
		Message: "the copy is in place, but somebody filled the target while it was loaded; what was there is kept in a database whose name begins with " + keptPrefix + ": take what you need from it, then drop it"}, errKept)
}

// dropSubscriptions removes those of the database, and nothing of the servers that they name.
func dropSubscriptions(ctx context.Context, c *pgx.Conn) error {
	rows, err := c.Query(ctx, `SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		return failure("list the subscriptions", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failure("list the subscriptions", err)
	}
	for _, name := range names {
		of := "SUBSCRIPTION " + ident(name)
		if err := run(ctx, c, "ALTER "+of+" DISABLE", "ALTER "+of+" SET (slot_name = NONE)", "DROP "+of); err != nil {
			return err
		}
	}
	return nil
}

func drop(ctx context.Context, c *pgx.Conn, name string) error {
	return alone(ctx, c, name, "DROP DATABASE IF EXISTS "+ident(name))
}

// alone runs a statement for which a database must not have sessions.
func alone(ctx context.Context, c *pgx.Conn, name, statement string) error {
	return insist(ctx, c, []string{name}, func(ctx context.Context) error {
		if err := evict(ctx, c, name); err != nil {
			return err
		}
		_, err := c.Exec(ctx, statement)
		return failure("drop a database of the restore", err)
	})
}
