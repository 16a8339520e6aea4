package mysql

import (
	"errors"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/credential"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Provider is the name under which instances ask for this executor.
const Provider = "mysql"

// Config bounds what the engine waits for.
type Config struct {
	// ConnectTimeout is how long a server may take to let the engine in. 0: 10 s.
	ConnectTimeout time.Duration
	// QueryTimeout bounds each question to a server's catalogue. 0: 2 min.
	QueryTimeout time.Duration
	// DataRoots, if any, are the only folders below which physical copies are restored.
	DataRoots []string
}

// Deps is what the engine is given. Only Now is needed.
type Deps struct {
	Now         func() time.Time
	Credentials credential.Resolver
	Programs    tool.Programs
}

// Engine backs up and restores MySQL and MariaDB servers. See the package for what it promises.
type Engine struct {
	Deps
	config Config
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.Inspector      = (*Engine)(nil)
	_ engine.Sweeper        = (*Engine)(nil)
	_ engine.ChangeDetector = (*Engine)(nil)
)

// New makes an engine. It holds nothing open between calls.
func New(d Deps, c Config) (*Engine, error) {
	if d.Now == nil {
		return nil, errors.New("mysql executor: no clock")
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.QueryTimeout <= 0 {
		c.QueryTimeout = 2 * time.Minute
	}
	return &Engine{Deps: d, config: c}, nil
}
