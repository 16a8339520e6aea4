// Command status-tracker keeps the view in Redis in step with the log.
package main

import (
	"time"

	"context"

	"github.com/backupbus/backupbus/services/host"
	tracker "github.com/backupbus/backupbus/services/status-tracker"
)

func main() {
	host.Main("status-tracker", tracker.Config{}, func(_ context.Context, h *host.Host, c tracker.Config) (host.Part, error) {
		return tracker.New(tracker.Deps{Bus: h.Bus(), View: h.View(), Log: h.Log(), Metrics: h.Metrics(), Now: time.Now}, c)
	})
}
