package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

var _ engine.Inspector = (*Engine)(nil)

// Inspect implements engine.Inspector.
func (e *Engine) Inspect(ctx context.Context, j executor.Job) []engine.Finding {
	i := &inspection{engine: e, job: j}
	s, err := e.server(j.Config)
	if err == nil {
		err = refuse(j)
	}
	i.add("configuration", "can be used", err)
	if err != nil {
		return append(i.findings, i.tools(ctx, 0)...)
	}
	c, err := s.reach(ctx, j, marker("inspect", j.BackupID, 0))
	i.add("login", "the server lets the user in", err)
	if err != nil {
		return append(i.findings, i.tools(ctx, 0)...)
	}
	defer bye(ctx, c)
	f, err := factsOf(ctx, c)
	if err == nil {
		err = f.usable()
	}
	i.add("server", "PostgreSQL "+f.version.Text, err)
	i.findings = append(i.findings, i.tools(ctx, f.version.Major)...)
	if j.Config.Method == events.MethodPhysical {
		i.physical(ctx, s, f)
	} else {
		i.logical(ctx, c, s, f)
	}
	i.changes(ctx, c)
	return i.findings
}

// inspection gathers what is found.
type inspection struct {
	engine   *Engine
	job      executor.Job
	findings []engine.Finding
}

func (i *inspection) add(subject, said string, err error) {
	if err != nil {
		said = ""
	}
	i.findings = append(i.findings, engine.Finding{Subject: subject, Said: said, Err: err})
}

// tools are the versions of the programs that the job needs.
func (i *inspection) tools(ctx context.Context, major int) []engine.Finding {
	names := []string{"pg_dump", "pg_restore"}
	if named(i.job) == nil {
		names = append(names, "pg_dumpall")
	}
	if i.job.Config.Method == events.MethodPhysical {
		names = []string{"pg_basebackup"}
	}
	var all []engine.Finding
	for _, name := range names {
		p, err := i.engine.program(ctx, name, major)
		all = append(all, engine.Finding{Subject: "tool " + name, Said: p.version.Text, Err: err})
	}
	if i.job.Proof != events.ProofRestored || major == 0 {
		return all
	}
	p, err := i.engine.scratchPrograms(ctx, major)
	return append(all, engine.Finding{Subject: "tool postgres", Said: p.postgres.version.Text, Err: err})
}

func (i *inspection) logical(ctx context.Context, c *pgx.Conn, s server, f facts) {
	all, err := databasesOf(ctx, c, i.job)
	i.add("databases", fmt.Sprintf("%d to back up", len(all)), err)
	if err != nil {
		return
	}
	if f.superuser {
		i.add("privileges", "superuser", nil)
		return
	}
	lacks, err := s.readable(ctx, all, marker("inspect", i.job.BackupID, 0))
	if denied := new(events.Failure); errors.As(err, &denied) && lacks.which() != "" {
		said := *denied
		said.Message += ": " + lacks.which()
		err = &said
	}
	i.add("privileges", "every table can be read; the passwords of roles are left out, which only a superuser may read", err)
}

func (i *inspection) physical(ctx context.Context, s server, f facts) {
	i.add("wal_level", f.walLevel, f.replicable())
	i.add("replication", "the user may copy the server's files", s.replication(ctx, marker("inspect", i.job.BackupID, 0)))
}

func (i *inspection) changes(ctx context.Context, c *pgx.Conn) {
	p, err := fingerprint(ctx, c, i.job)
	said := "unchanged databases are recognised"
	if err == nil && p == "" {
		said = "changes cannot be told, so every backup is made: GRANT pg_monitor to the user, on a primary of version 13 or newer"
	}
	i.add("change detection", said, err)
}
