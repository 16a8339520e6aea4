package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events/bus"
	executors "github.com/backupbus/backupbus/services/provider-executors"
)

func newNATSConfig() *cobra.Command {
	var keys string
	var outsiders []string
	c := &cobra.Command{
		Use:   "nats-config",
		Short: "Print who may what on a NATS of your own, for its configuration",
		Long: "For services that run apart: accounts, users and their rights, to be included by the configuration of nats-server.\n" +
			"It holds public keys only. The seed of each user is a file of the folder --keys, made if it is missing. A project's\n" +
			"programs get a user with --outsider, and take their events from the consumers that are named there.",
		Example: "  backupbus nats-config --keys keys --outsider shop=warehouse,ledger > rights.conf",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keys == "" {
				return &exit{exitUsage, errors.New("--keys: name the folder of the users' seeds; it is made if it is missing")}
			}
			var all []bus.Outsider
			for _, text := range outsiders {
				project, names, _ := strings.Cut(text, "=")
				o := bus.Outsider{Project: project}
				if names != "" {
					o.Consumers = strings.Split(names, ",")
				}
				all = append(all, o)
			}
			if err := bus.CheckOutsiders(all); err != nil {
				return &exit{exitUsage, fmt.Errorf("--outsider: %w", err)}
			}
			return bus.WriteServerConfig(cmd.OutOrStdout(), bus.Topology{Executors: executors.Providers()}, all,
				func(user string) (string, error) { return bus.UserKey(keys, user) })
		},
	}
	c.Flags().StringVar(&keys, "keys", "", "folder of the users' seeds, as requester.nk")
	c.Flags().StringArrayVar(&outsiders, "outsider", nil, "a project whose programs may connect, and their consumers: PROJECT[=CONSUMER,...]; may be repeated")
	return c
}
