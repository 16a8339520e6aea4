// Command notifier delivers events to webhooks.
package main

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier"
)

func main() {
	host.Main("notifier", notifier.Config{}, func(ctx context.Context, h *host.Host, c notifier.Config) (host.Part, error) {
		return notifier.New(ctx, notifier.Deps{Bus: h.Bus(), Log: h.Log(), Now: time.Now, Metrics: h.Metrics(), Access: h.Access()}, c)
	})
}
