package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// maxMarker is the length of an application_name.
const maxMarker = 63

// marker is the application_name of every session of one attempt; by it what it left on the server is found.
func marker(kind, id string, attempt int) string {
	m := fmt.Sprintf("backupbus-%s-%d", id, attempt)
	if kind != "" {
		m = "backupbus-" + kind + "-" + id
	}
	if len(m) > maxMarker || strings.ContainsFunc(m, func(r rune) bool { return r < '!' || r > '~' }) {
		sum := sha256.Sum256([]byte(m))
		m = "backupbus-" + hex.EncodeToString(sum[:16])
	}
	return m
}

// Prepare implements engine.Engine.
func (e *Engine) Prepare(ctx context.Context, j executor.Job) (engine.Source, error) {
	s, err := e.server(j.Config)
	if err != nil {
		return nil, err
	}
	if err := refuse(j); err != nil {
		return nil, err
	}
	a := attempt{engine: e, server: s, job: j, marker: marker("", j.BackupID, j.Attempt)}
	c, err := s.reach(ctx, j, a.marker)
	if err != nil {
		return nil, err
	}
	defer bye(ctx, c)
	if a.facts, err = factsOf(ctx, c); err != nil {
		return nil, err
	}
	if err := a.facts.usable(); err != nil {
		return nil, err
	}
	if j.Config.Method == events.MethodPhysical {
		return a.physical(ctx, c)
	}
	return a.logical(ctx, c)
}

// refuse says what no server is needed for.
func refuse(j executor.Job) error {
	switch j.Config.Method {
	case "", events.MethodLogical:
		return nil
	case events.MethodPhysical:
		if named(j) != nil {
			return rejected("a physical copy holds the whole server: name no database, or set the instance's method to LOGICAL")
		}
		return nil
	}
	return rejected("the instance's method is neither LOGICAL nor PHYSICAL: correct it")
}

// needed is how many sessions a backup has open at once, the engine's own among them.
const needed = 3

func (f facts) usable() error {
	switch {
	case f.version.Major < oldest:
		return rejected("the server's version is older than PostgreSQL %d, which this executor does not know: upgrade it", oldest)
	case f.free < needed-1: // the session that asks is counted already
		return unavailable("the server has no connection left for a backup, which needs three: raise max_connections, or wait")
	case f.own != nil && *f.own < needed-1:
		return unavailable("the role has no connection left for a backup, which needs three: raise its CONNECTION LIMIT, or wait")
	}
	return nil
}

// attempt is one backup of one server.
type attempt struct {
	engine *Engine
	server server
	job    executor.Job
	marker string
	facts  facts

	began       time.Time
	position    string
	fingerprint string
	unclean     bool // a tool did not end well: the server may still work for it
}

// mark takes what has to be taken before the first byte is read.
func (a *attempt) mark(ctx context.Context, c *pgx.Conn) (err error) {
	if a.fingerprint, err = fingerprint(ctx, c, a.job); err != nil {
		return err
	}
	a.began = a.engine.Now()
	a.position, err = position(ctx, c)
	return err
}

// closeTime bounds the search for sessions that were left on the server.
const closeTime = 15 * time.Second

// end makes sure that the server does nothing more for the attempt, also when ctx has ended.
func (a *attempt) end(ctx context.Context) error {
	if !a.unclean {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	c, err := a.server.reach(ctx, a.job, "backupbus-end") // not under the marker: it would look for itself
	if err != nil {
		return err // a server that cannot be reached has lost its sessions, or loses them with their lock
	}
	defer bye(ctx, c)
	return dismiss(ctx, c, a.marker)
}

// Sweep implements engine.Sweeper: a dump that waits for a lock outlives its killed client on the server.
func (e *Engine) Sweep(ctx context.Context, j executor.Job) error {
	s, err := e.server(j.Config)
	if err != nil {
		return err
	}
	a := attempt{engine: e, server: s, job: j, marker: marker("", j.BackupID, j.Attempt), unclean: true}
	return a.end(ctx)
}

// dismiss ends every session under the marker but that of c, and waits until they are gone.
func dismiss(ctx context.Context, c *pgx.Conn, marker string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		err := c.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()`, marker).Scan(&n)
		if err != nil {
			return failure("end the sessions that were left", err)
		}
		if n == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), unavailable("a session of the backup is still open on the server: end those whose application_name begins with backupbus"))
		}
	}
}
