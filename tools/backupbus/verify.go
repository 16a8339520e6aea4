package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// check is the latest verification of a backup.
type check struct {
	Run     int       `json:"run"`
	Method  string    `json:"method"`
	EndTime time.Time `json:"endTime"`
	Error   *failure  `json:"error"`
}

func newBackupVerify(o *options) *cobra.Command {
	var w waiting
	var method string
	c := &cobra.Command{
		Use: "verify BACKUP", Short: "Prove a stored copy again", Args: cobra.ExactArgs(1),
		Example: "  backupbus backup verify bk_… --method restore-test --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/backups/" + url.PathEscape(args[0])
			body := map[string]string{"method": strings.ReplaceAll(strings.ToUpper(method), "-", "_")}
			var before backup
			if err := o.client().call(cmd.Context(), http.MethodGet, path, nil, &before); err != nil {
				return err
			}
			run := 1
			if before.Check != nil {
				run = before.Check.Run + 1
			}
			if err := o.client().call(cmd.Context(), http.MethodPost, path+":verify", body, nil); err != nil {
				return err
			}
			if !w.wait {
				return describe(cmd, o, path, describeBackup)
			}
			answer, err := w.until(cmd, o, path, func(a json.RawMessage) (bool, *progress, error) {
				var b backup
				err := json.Unmarshal(a, &b)
				return b.Check != nil && b.Check.Run >= run && !b.Check.EndTime.IsZero(), nil, err
			})
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return describeBackup(w, answer) }); err != nil {
				return err
			}
			var b backup
			if err := json.Unmarshal(answer, &b); err != nil {
				return err
			}
			if b.Check.Error != nil {
				return &exit{exitFailed, fmt.Errorf("backup %s: verification failed: %s", b.BackupID, b.Check.Error)}
			}
			return nil
		},
	}
	w.flags(c)
	c.Flags().StringVar(&method, "method", "checksum", "checksum, metadata, or restore-test (loads the copy into a scratch database)")
	return c
}
