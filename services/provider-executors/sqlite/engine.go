package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Provider is the name under which instances ask for this engine.
const Provider = "sqlite"

// Config says what the engine may touch. The zero value works.
type Config struct {
	// Roots, if any, are the only folders in whose trees databases may be read and restored, symbolic
	// links resolved. Empty: whatever the process may reach.
	Roots []string

	// BusyTimeout is how long to wait for another program's lock on a database. 0: 30 s.
	BusyTimeout time.Duration
}

// Deps is what the engine is given; all of it is needed.
type Deps struct {
	Now func() time.Time
}

// Engine backs up and restores SQLite databases. See the package for what it promises.
type Engine struct {
	config Config
	now    func() time.Time
	roots  roots
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.Inspector      = (*Engine)(nil)
	_ engine.ChangeDetector = (*Engine)(nil)
)

// New makes the engine. The error holds an events.Failure.
func New(d Deps, c Config) (*Engine, error) {
	if d.Now == nil {
		return nil, errors.New("sqlite engine: no clock")
	}
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 30 * time.Second
	}
	allowed, err := resolveRoots(c.Roots)
	if err != nil {
		return nil, fmt.Errorf("sqlite engine: %w", err)
	}
	return &Engine{config: c, now: d.Now, roots: allowed}, nil
}

// Inspect implements engine.Inspector: each file is opened and the first page of it read.
func (e *Engine) Inspect(ctx context.Context, j executor.Job) []engine.Finding {
	found, err := e.files(j.Config, j.Database)
	if err != nil {
		return []engine.Finding{{Subject: "databases", Err: err}}
	}
	var all []engine.Finding
	for _, f := range found {
		finding := engine.Finding{Subject: "database " + f.name}
		s, err := e.begin(ctx, f.path)
		if finding.Err = err; err == nil {
			finding.Said = fmt.Sprintf("%d pages of %d bytes can be read", s.pages, s.pageSize)
			_ = s.Close()
		}
		all = append(all, finding)
	}
	return append(all, engine.Finding{Subject: "tool", Said: tool.Name + " " + tool.Version})
}

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}
