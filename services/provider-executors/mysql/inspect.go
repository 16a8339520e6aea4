package mysql

import (
	"context"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Inspect implements engine.Inspector.
func (e *Engine) Inspect(ctx context.Context, j executor.Job) []engine.Finding {
	s, err := e.connect(ctx, j.Config)
	if err != nil {
		return []engine.Finding{{Subject: "login", Err: err}}
	}
	defer s.close()
	all := []engine.Finding{{Subject: "login", Said: s.flavour() + " " + s.version.Text}}
	all = append(all, e.inspectTools(ctx, s, j)...)
	if err := s.hasRoom(ctx); err != nil {
		all = append(all, engine.Finding{Subject: "connections", Err: err})
	}
	all = append(all, s.inspectLog(ctx))
	if j.Config.Method == events.MethodPhysical {
		return append(all, engine.Finding{Subject: "privileges", Said: "enough for a physical copy", Err: s.mayCopyFiles(ctx)})
	}
	databases, _, err := s.chosen(ctx, j)
	if err != nil {
		return append(all, engine.Finding{Subject: "databases", Err: err})
	}
	all = append(all,
		engine.Finding{Subject: "databases", Said: fmt.Sprint(len(databases))},
		engine.Finding{Subject: "privileges", Said: "enough for a logical copy", Err: s.mayDump(ctx, j, databases)})
	return append(all, s.inspectTables(ctx, databases)...)
}

// inspectTools looks for every program that a backup, its proof and a restore need.
func (e *Engine) inspectTools(ctx context.Context, s *server, j executor.Job) []engine.Finding {
	needed := [][]string{s.names("mariadb-dump", "mysqldump"), s.names("mariadb", "mysql")}
	if j.Config.Method == events.MethodPhysical {
		needed = [][]string{s.names("mariadb-backup", "xtrabackup"), s.names("mbstream", "xbstream")}
	}
	if j.Proof == events.ProofRestored {
		needed = append(needed, s.names("mariadbd", "mysqld"))
	}
	var all []engine.Finding
	for _, names := range needed {
		f := engine.Finding{Subject: "tool " + names[0]}
		if names[0] == "mbstream" || names[0] == "xbstream" { // it has no version
			_, f.Err = e.Programs.Find(names...)
		} else {
			var p program
			p, f.Err = e.fitting(ctx, s, names...)
			f.Said = p.version.Text
		}
		all = append(all, f)
	}
	return all
}

func (s *server) inspectLog(ctx context.Context) engine.Finding {
	on, err := s.logs(ctx)
	f := engine.Finding{Subject: "binary log", Said: "off: copies have no position in it", Err: err}
	if on {
		f.Said = "on"
	}
	return f
}

// inspectTables says which tables a snapshot does not hold still. They are backed up all the same.
func (s *server) inspectTables(ctx context.Context, databases []schema) []engine.Finding {
	if len(databases) == 0 {
		return nil
	}
	n, err := s.otherEngines(ctx, namesOf(databases))
	switch {
	case err != nil:
		return []engine.Finding{{Subject: "tables", Err: err}}
	case n == 0:
		return []engine.Finding{{Subject: "tables", Said: "all of them have transactions"}}
	}
	return []engine.Finding{{Subject: "tables", Err: rejected(
		"%d tables have no transactions, so the copy may hold them as of different moments: ALTER TABLE … ENGINE=InnoDB, or stop their writers in a pre hook", n)}}
}
