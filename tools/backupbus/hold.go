package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// newBackupHold keeps a backup from being deleted, or lets it go again.
func newBackupHold(o *options, verb string, held bool) *cobra.Command {
	short := map[bool]string{true: "Keep a backup from being deleted, by anybody or any policy", false: "Let a backup be deleted again"}
	return &cobra.Command{
		Use: verb + " BACKUP", Short: short[held], Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/backups/" + url.PathEscape(args[0])
			if err := o.client().call(cmd.Context(), http.MethodPatch, path, map[string]bool{"held": held}, nil); err != nil {
				return err
			}
			return describe(cmd, o, path, describeBackup)
		},
	}
}
