package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/tools/backupbus/up"
)

func newUp() *cobra.Command {
	var o up.Options
	c := &cobra.Command{
		Use:   "up",
		Short: "Run all of backupbus in this process",
		Long: "Runs an embedded NATS and all four services in this process. Everything that is kept lies under --data.\n" +
			"It listens on loopback only. Without access in the settings whoever reaches it may do everything.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			start := time.Now()
			o.OnNATS = func(url string) {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "NATS clients may read events and publish commands on %s\n", url)
			}
			return up.Run(cmd.Context(), o, func(url string) {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "backupbus is ready on %s after %s, data in %s\n", url, time.Since(start).Round(time.Millisecond), o.Data)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "backupbus-data", "folder for everything that is kept")
	f.StringVar(&o.Settings, "config", "", "file with settings of the services (YAML)")
	f.StringVar(&o.Listen, "listen", "", "address of all doors (default 127.0.0.1:8080)")
	f.StringVar(&o.NATS, "nats", "", "address for NATS clients of others, as 127.0.0.1:4222 (default: none)")
	f.StringVar(&o.RedisURL, "redis", "", "keep the view in this Redis instead of memory, as redis://127.0.0.1:6379")
	f.DurationVar(&o.TakeOver, "take-over-after", 0, "when work of a process that died is taken over (default 1m0s)")
	return c
}
