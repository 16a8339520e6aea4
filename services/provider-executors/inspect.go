package executors

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Inspector looks at instances as the executors of a process with the same settings would.
type Inspector struct {
	shared    Shared
	providers []Provider
}

// NewInspector opens the storages: that they can be written is the first thing it finds out. Close it. The
// bus is not needed.
func NewInspector(ctx context.Context, d Deps, c Config) (*Inspector, error) {
	if d.Providers == nil {
		d.Providers = providers
	}
	shared, err := openShared(ctx, d.Openers, d.Now, d.Log, c)
	if err != nil {
		return nil, fmt.Errorf("provider-executors: %w", err)
	}
	return &Inspector{shared, d.Providers}, nil
}

// Close closes the storages.
func (i *Inspector) Close() error { return i.shared.Engine.Storages.Close() }

// Storages writes, reads and deletes a small object in each.
func (i *Inspector) Storages(ctx context.Context) []engine.Finding {
	var all []engine.Finding
	for _, name := range i.shared.Engine.Storages.Names() {
		_, err := i.shared.Engine.Storages.Probe(ctx, name)
		all = append(all, engine.Finding{Subject: "storage " + name, Said: "can be written, read and deleted from", Err: err})
	}
	return all
}

// inspecting is what executors of self-hosted engines offer.
type inspecting interface {
	Inspect(ctx context.Context, j executor.Job) []engine.Finding
}

// Instance tells what stands in the way of the backups of an instance, and what does not.
func (i *Inspector) Instance(ctx context.Context, inst events.Instance) []engine.Finding {
	for _, p := range i.providers {
		if p.Name != inst.Provider {
			continue
		}
		e, err := p.Open(ctx, i.shared)
		if err != nil {
			return []engine.Finding{{Subject: "executor", Err: err}}
		}
		defer e.Close()
		if look, ok := e.(inspecting); ok {
			return look.Inspect(ctx, executor.Job{
				BackupID: "doctor", Attempt: 1, Project: inst.Project, Instance: inst.Instance, Config: inst.Config, Proof: inst.Config.SuccessfulWhen,
			})
		}
		return []engine.Finding{{Subject: "executor", Said: "its provider has nothing to be looked at from here"}}
	}
	return []engine.Finding{{Subject: "executor", Err: errors.New("this program has no executor for provider " + inst.Provider + ": look from one that has")}}
}
