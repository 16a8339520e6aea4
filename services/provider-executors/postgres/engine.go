package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/credential"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Provider is the name that instances of this engine carry.
const Provider = "postgres"

// Deps are what the engine is given. The clock is needed; the others work as zero values.
type Deps struct {
	Now         func() time.Time
	Credentials credential.Resolver
	Programs    tool.Programs // pg_dump, pg_dumpall, pg_restore, pg_basebackup, pg_verifybackup, initdb, postgres
}

// Config are the settings of the engine. The zero value works.
type Config struct {
	// LockWait is how long a dump waits for a lock that another session holds. 0: 5 min.
	LockWait time.Duration
	// ConnectTimeout is how long a server may take to answer. 0: 10 s.
	ConnectTimeout time.Duration
	// ScratchAccount is the user of the machine that runs scratch servers when the executor is root, since
	// PostgreSQL refuses to run as root. Empty: postgres.
	ScratchAccount string
	// BinDirs are patterns of the folders in which versions of PostgreSQL lie side by side. Nil: those of
	// Debian and of the PostgreSQL packages for Red Hat.
	BinDirs []string
	// DataRoots, if any, are the only folders below which physical copies are restored.
	DataRoots []string
}

// Engine backs up and restores PostgreSQL servers. See the package for what it promises.
type Engine struct {
	Deps
	config Config
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.Inspector      = (*Engine)(nil)
	_ engine.ChangeDetector = (*Engine)(nil)
	_ engine.Sweeper        = (*Engine)(nil)
)

// New makes the engine. It reaches no server.
func New(d Deps, c Config) (*Engine, error) {
	if d.Now == nil {
		return nil, errors.New("postgres engine: no clock")
	}
	if c.LockWait < 0 || c.ConnectTimeout < 0 {
		return nil, fmt.Errorf("postgres engine: %w", rejected("the waiting times of the postgres settings are negative: correct lockWait and connectTimeout"))
	}
	if c.LockWait == 0 {
		c.LockWait = 5 * time.Minute
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.ScratchAccount == "" {
		c.ScratchAccount = "postgres"
	}
	if c.BinDirs == nil {
		c.BinDirs = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}
	}
	return &Engine{Deps: d, config: c}, nil
}
