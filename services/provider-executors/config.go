package executors

import (
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/sqlite"
)

// Config of the executors.
type Config struct {
	// Storages are where copies go: name → URL, as file:///var/backups. An instance names one; "default"
	// is the one for instances that name none.
	Storages map[string]string `yaml:"storages"`
	// Scratch is a private folder for copies that are being checked; it needs room for the largest database.
	Scratch string `yaml:"scratch"`
	// SQLiteRoots, if set, are the only folders in which SQLite databases may be read and restored.
	SQLiteRoots []string `yaml:"sqliteRoots"`
	// Concurrency is how many backups of one provider this process does at once; default 2.
	Concurrency int `yaml:"concurrency"`
	// StallAfter stops an attempt that does not move, default 15 min; Deadline one that runs too long,
	// default 24 h.
	StallAfter time.Duration `yaml:"stallAfter"`
	Deadline   time.Duration `yaml:"deadline"`
	// CancelLimit is how long a tool has to obey a cancel, default 1 min.
	CancelLimit time.Duration `yaml:"cancelLimit"`
	// Backoff are the pauses before the second, third … attempt; default 30 s, 2 min, 10 min.
	Backoff []time.Duration `yaml:"backoff"`
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
	for name, d := range map[string]time.Duration{"stallAfter": c.StallAfter, "deadline": c.Deadline, "cancelLimit": c.CancelLimit} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is negative", name, d))
		}
	}
	for i, d := range c.Backoff {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("backoff[%d]: %s is not a pause", i, d))
		}
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

func (c Config) sqlite() sqlite.Config {
	return sqlite.Config{Storages: c.Storages, ScratchDir: c.Scratch, Roots: c.SQLiteRoots}
}
