// Command provider-executors takes, deletes, checks and restores backups.
package main

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/services/host"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/remote"
)

func main() {
	host.Main("provider-executors", executors.Config{}, func(ctx context.Context, h *host.Host, c executors.Config) (host.Part, error) {
		return executors.New(ctx, executors.Deps{Bus: h.Bus(), Log: h.Log(), Now: time.Now, Openers: remote.Openers()}, c)
	})
}
