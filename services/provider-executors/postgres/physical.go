package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// basePart is the one object of a physical copy.
const basePart = "base.tar"

// baseFlags make one tar of everything: a stream to stdout cannot carry the log beside it, so the log that
// the copy needs is fetched into it at the end, and the manifest with its checksums follows.
var baseFlags = []string{"--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-estimate-size"}

// physical is the source of a backup by pg_basebackup.
type physical struct {
	*attempt
	base  program
	bytes int64
	close func() error
}

func (a *attempt) physical(ctx context.Context, c *pgx.Conn) (engine.Source, error) {
	p := &physical{attempt: a, close: func() error { return a.end(ctx) }}
	var err error
	if p.base, err = a.engine.program(ctx, "pg_basebackup", a.facts.version.Major); err != nil {
		return nil, err
	}
	if err := p.proofPrograms(ctx); err != nil {
		return nil, err
	}
	if err := a.facts.replicable(); err != nil {
		return nil, err
	}
	if err := a.server.replication(ctx, a.marker); err != nil {
		return nil, err
	}
	if err := a.mark(ctx, c); err != nil {
		return nil, err
	}
	err = c.QueryRow(ctx, `SELECT coalesce(sum(CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END), 0)::bigint FROM pg_database`).Scan(&p.bytes)
	if err != nil {
		return nil, failure("measure the server", err)
	}
	return p, nil
}

// proofPrograms looks early for what the proof will need.
func (p *physical) proofPrograms(ctx context.Context) error {
	if p.job.Proof != events.ProofRestored {
		return nil
	}
	_, err := p.engine.scratchPrograms(ctx, p.facts.version.Major)
	return err
}

// replicable tells whether a server can be copied in one stream.
func (f facts) replicable() error {
	switch {
	case f.walLevel == "minimal":
		return rejected("the server's wal_level is minimal, with which its files cannot be copied: set it to replica and restart, or set the instance's method to LOGICAL")
	case f.senders == 0:
		return rejected("the server allows no replication sessions: set max_wal_senders to at least 2 and restart it, or set the instance's method to LOGICAL")
	case f.spaces > 0:
		return rejected("the server has %d tablespaces of its own, which do not fit into one stream: set the instance's method to LOGICAL", f.spaces)
	}
	return nil
}

// replication opens and closes a session of the kind that copies files.
func (s server) replication(ctx context.Context, marker string) error {
	c, err := s.pgxConfig("", marker)
	if err != nil {
		return err
	}
	c.RuntimeParams = map[string]string{"application_name": marker, "replication": "true"}
	conn, err := pgconn.ConnectConfig(ctx, &c.Config)
	switch sqlState(err) {
	case "":
	case "42501", "28000":
		return fmt.Errorf("%w: %w", denied("the user of the instance may not copy the server's files: ALTER ROLE … REPLICATION for it, and a line for database replication in the server's pg_hba.conf"), err)
	}
	if err != nil {
		return s.unreached(ctx, err)
	}
	return failure("end the replication session", conn.Close(context.WithoutCancel(ctx)))
}

// Parts implements engine.Source.
func (p *physical) Parts() []engine.Part {
	return []engine.Part{{
		Name: basePart, Bytes: p.bytes, Stream: p.stream,
		Recipe: "| (umask 077 && mkdir restored && tar -x -C restored -f -)",
	}}
}

// About implements engine.Source.
func (p *physical) About() engine.About {
	return engine.About{
		Kind: engine.Physical, EngineVersion: p.facts.version.Text,
		Tool:            archive.Tool{Name: "pg_basebackup", Version: p.base.version.Text, Flags: baseFlags},
		ConsistencyTime: p.began, Position: p.position, Fingerprint: p.fingerprint,
	}
}

// ScratchNeed implements engine.Scratching.
func (p *physical) ScratchNeed(to events.Proof) int64 {
	if to != events.ProofRestored {
		return 0
	}
	return p.bytes + scratchSelf
}

// Close implements engine.Source.
func (p *physical) Close() error { return p.close() }

func (p *physical) stream(ctx context.Context, w io.Writer) (archive.Content, error) {
	hold, err := p.keepLog(ctx)
	if err != nil {
		return archive.Content{}, err
	}
	defer bye(ctx, hold)
	p.unclean = true
	cmd := p.server.command(p.base.path, p.marker, "", baseFlags...)
	cmd.Stdout = w
	if _, err := tool.Run(ctx, cmd); err != nil {
		return archive.Content{}, fmt.Errorf("copy the files: %w", toolFailure(err, "the copying program ended with an error that the executor does not know: its log has the details"))
	}
	p.unclean = false
	return archive.Content{}, nil
}

// keepLog lets the server keep its log until the session that is returned ends: a checkpoint would otherwise
// remove what is fetched at the end, also on an idle server. The slot is a temporary one and goes with the
// session. A server that has no slot left is copied without; if the log is removed then, the copy fails.
func (p *physical) keepLog(ctx context.Context) (*pgx.Conn, error) {
	c, err := p.server.reach(ctx, p.job, p.marker)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.marker))
	_, err = c.Exec(ctx, `SELECT pg_create_physical_replication_slot($1, true, true)`, "backupbus_"+hex.EncodeToString(sum[:12]))
	if state := sqlState(err); err != nil && state != "53400" && state != "55000" {
		bye(ctx, c)
		return nil, failure("keep the log", err)
	}
	return c, nil
}
