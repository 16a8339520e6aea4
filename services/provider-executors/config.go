package executors

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Config of the executors.
type Config struct {
	// Storages are where copies go: name → URL, as file:///var/backups or s3://bucket?region=eu-central-1
	// (package remote lists the forms). An instance names one; "default" is the one for instances that
	// name none.
	Storages map[string]string `yaml:"storages"`
	// Scratch is a private folder for copies that are being checked; it needs room for the largest database.
	Scratch string `yaml:"scratch"`
	// ScratchAccount runs scratch servers when the executor is root, which PostgreSQL refuses to be; default postgres.
	ScratchAccount string `yaml:"scratchAccount"`
	// DataRoots, if set, are the only folders below which physical copies of servers may be restored.
	DataRoots []string `yaml:"dataRoots"`
	// LockWait is how long a dump of PostgreSQL waits for a lock that another session holds; default 5 min.
	LockWait time.Duration `yaml:"lockWait"`
	// SQLiteRoots, if set, are the only folders in which SQLite databases may be read and restored.
	SQLiteRoots []string `yaml:"sqliteRoots"`

	// Tools says where programs lie that are not on PATH: name → absolute path, as pg_dump: /opt/pg17/bin/pg_dump.
	Tools map[string]string `yaml:"tools"`
	// Credentials bounds what an instance's credentialRef may name.
	Credentials Credentials `yaml:"credentials"`
	// Identities is a file of age identities, by which encrypted copies are proven and restored.
	Identities string `yaml:"identities"`
	// Hooks are what instances may name to be run around their backups.
	Hooks engine.Hooks `yaml:"hooks"`

	Compression Compression `yaml:"compression"`
	// BytesPerSecond bounds what goes to each storage; 0: no bound.
	BytesPerSecond int64 `yaml:"bytesPerSecond"`
	// MinSizeRatio fails a backup whose copy is smaller than this share of the last good one; 0: off.
	MinSizeRatio float64 `yaml:"minSizeRatio"`

	// CopyStallAfter fails a further copy (copyTo) of which no byte moves, default 2 min; CopyDeadline bounds all
	// further copies of one backup together, default 12 h. The backup stands without them.
	CopyStallAfter time.Duration `yaml:"copyStallAfter"`
	CopyDeadline   time.Duration `yaml:"copyDeadline"`

	// Limits bound what this process does at once beyond Concurrency, over all providers.
	Limits Limits `yaml:"limits"`
	// Concurrency is how many backups of one provider this process does at once; default 2.
	Concurrency int `yaml:"concurrency"`
	// StallAfter stops an attempt that does not move, in its proof too, and a verification, default 15 min; Deadline
	// one that runs too long, default 24 h.
	StallAfter time.Duration `yaml:"stallAfter"`
	Deadline   time.Duration `yaml:"deadline"`
	// CancelLimit is how long a tool has to obey a cancel, default 1 min.
	CancelLimit time.Duration `yaml:"cancelLimit"`
	// Backoff are the pauses before the second, third … attempt; default 30 s, 2 min, 10 min.
	Backoff []time.Duration `yaml:"backoff"`
}

// Credentials are the names that an instance may use for its password. Empty lists allow all: set them
// where other people than the operator register instances.
type Credentials struct {
	Roots     []string `yaml:"roots"`     // folders of credential files
	Variables []string `yaml:"variables"` // environment variables of this process
}

// Limits: 0 is none. A backup that meets one stays ENQUEUED. They are those of one process: two executors together
// do twice as much.
type Limits struct {
	Total      int `yaml:"total"`      // backups of all engines together
	PerServer  int `yaml:"perServer"`  // backups that read from one address
	PerStorage int `yaml:"perStorage"` // backups that write to one storage
}

// Compression of new copies. The format is zstd always.
type Compression struct {
	// Program: auto (default) takes the zstd program if it is installed, which stores fewer bytes; builtin never
	// does; a path names it.
	Program string `yaml:"program"`
	Level   int    `yaml:"level"`   // 1 to 19; 0: 3, and of the built-in one 1
	Threads int    `yaml:"threads"` // default 2
}

const maxConcurrency = 64

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var errs []error
	if len(c.Storages) == 0 {
		errs = append(errs, errors.New("storages: name at least one, as default: file:///var/backups"))
	}
	if c.Scratch == "" {
		errs = append(errs, errors.New("scratch: name a private folder for copies that are being checked"))
	}
	if c.Concurrency < 0 || c.Concurrency > maxConcurrency {
		errs = append(errs, fmt.Errorf("concurrency: %d is not between 1 and %d", c.Concurrency, maxConcurrency))
	}
	for name, d := range map[string]time.Duration{"stallAfter": c.StallAfter, "deadline": c.Deadline, "cancelLimit": c.CancelLimit, "lockWait": c.LockWait,
		"copyStallAfter": c.CopyStallAfter, "copyDeadline": c.CopyDeadline} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is negative", name, d))
		}
	}
	for i, d := range c.Backoff {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("backoff[%d]: %s is not a pause", i, d))
		}
	}
	for name, h := range c.Hooks {
		if err := h.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("hooks.%s: %w", name, err))
		}
	}
	for name, path := range c.Tools {
		if !filepath.IsAbs(path) {
			errs = append(errs, fmt.Errorf("tools.%s: %s is not an absolute path", name, path))
		}
	}
	if c.Limits.Total < 0 || c.Limits.PerServer < 0 || c.Limits.PerStorage < 0 {
		errs = append(errs, errors.New("limits: a negative number is no limit; 0 is none"))
	}
	if c.MinSizeRatio < 0 || c.MinSizeRatio > 1 {
		errs = append(errs, fmt.Errorf("minSizeRatio: %v is not between 0 and 1", c.MinSizeRatio))
	}
	if c.BytesPerSecond < 0 {
		errs = append(errs, errors.New("bytesPerSecond: a negative number is no bound; 0 is none"))
	}
	return errors.Join(errs...)
}

func (c Config) concurrency() int {
	if c.Concurrency == 0 {
		return 2
	}
	return c.Concurrency
}

func (c Config) runner() executor.Config {
	return executor.Config{StallAfter: c.StallAfter, Deadline: c.Deadline, CancelLimit: c.CancelLimit, Backoff: c.Backoff}
}

// compression finds the zstd program.
func (c Config) compression(p tool.Programs) (archive.Compression, error) {
	z := archive.Compression{Program: c.Compression.Program, Level: c.Compression.Level, Threads: c.Compression.Threads}
	switch z.Program {
	case "", "auto":
		path, err := p.Find("zstd")
		if err != nil && p["zstd"] != "" {
			return z, fmt.Errorf("tools.zstd: %w", err)
		}
		z.Program = path // empty: built in
	case "builtin":
		z.Program = ""
	default:
		path, err := tool.Programs{"zstd": z.Program}.Find("zstd")
		if err != nil {
			return z, fmt.Errorf("compression.program: %w", err)
		}
		z.Program = path
	}
	return z, nil
}
