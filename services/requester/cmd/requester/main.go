// Command requester serves the doors.
package main

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/requester"
)

func main() {
	host.Main("requester", requester.Config{}, func(_ context.Context, h *host.Host, c requester.Config) (host.Part, error) {
		return requester.New(requester.Deps{Bus: h.Bus(), View: h.View(), Log: h.Log(), Now: time.Now, Version: host.Version(), Ops: h.Ops(), Access: h.Access()}, c)
	})
}
