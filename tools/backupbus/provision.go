package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events/bus"
	executors "github.com/backupbus/backupbus/services/provider-executors"
)

func newProvision() *cobra.Command {
	var c bus.Config
	var t bus.Topology
	cmd := &cobra.Command{
		Use:   "provision",
		Short: "Make the streams and durables on an external NATS",
		Long: "For services that run apart. It creates what is missing and changes what may be changed, so it can be run again\n" +
			"at any time. `backupbus up` does this by itself.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			c.Client, c.InboxPrefix = "backupbus-provision", bus.InboxPrefix(bus.ProvisionUser)
			t.Executors = executors.Providers()
			b, err := bus.Connect(ctx, c)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := b.Provision(ctx, t); err != nil {
				return err
			}
			s, err := b.State(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "provisioned: log %s with %d events, %d shards of the view, %d days of history\n", s.Epoch, s.Last, s.ViewShards, s.HistoryDays)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "nats", "nats://127.0.0.1:4222", "address of NATS")
	f.StringVar(&c.CredentialsFile, "nats-credentials", "", "file of mode 0600 with a NATS seed or credentials, as provision.nk of nats-config")
	f.IntVar(&t.Replicas, "replicas", 1, "of each stream: 3 in a cluster")
	f.IntVar(&t.ViewShards, "view-shards", 0, "slots of the view in a Redis Cluster; fixed for ever by the first call (default 16)")
	f.IntVar(&t.HistoryDays, "history-days", 0, "keep all events of a backup for so long after its last one; may be raised, never lowered (default 90)")
	f.DurationVar(&t.AckWait, "take-over-after", 0, "when work of a process that died is taken over (default 1m0s)")
	return cmd
}
