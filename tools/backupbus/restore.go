package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

type restore struct {
	RestoreID string `json:"restoreId"`
	BackupID  string `json:"backupId"`
	Target    struct {
		Instance string `json:"instance"`
	} `json:"target"`
	State         string    `json:"state"`
	EndTime       time.Time `json:"endTime"`
	DurationMs    *int64    `json:"durationMs"`
	RestoredBytes *int64    `json:"restoredBytes"`
	Progress      *progress `json:"progress"`
	Error         *failure  `json:"error"`
}

func newRestore(o *options) *cobra.Command {
	c := &cobra.Command{Use: "restore", Short: "Put a copy back"}
	c.AddCommand(newRestoreCreate(o), newRestoreExport(o))
	return c
}

func newRestoreCreate(o *options) *cobra.Command {
	var w waiting
	var target, database string
	var overwrite bool
	c := &cobra.Command{
		Use: "create BACKUP --to INSTANCE", Short: "Restore a backup into a registered instance", Args: cobra.ExactArgs(1),
		Example: "  backupbus restore create bk_oa2dry5sym5ypupjn6gheq6nlr --to orders-copy --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			if target == "" {
				return &exit{exitUsage, errors.New("name the instance to restore into with --to")}
			}
			body := map[string]any{"target": map[string]any{"instance": target, "overwrite": overwrite}}
			if database != "" {
				body["target"].(map[string]any)["database"] = database
			}
			var r receipt
			if err := o.client().call(cmd.Context(), http.MethodPost, "/backups/"+url.PathEscape(args[0])+":restore", body, &r); err != nil {
				return err
			}
			path := "/restores/" + r.RestoreID
			if !w.wait {
				return describe(cmd, o, path, describeRestore)
			}
			answer, err := w.until(cmd, o, path, func(a json.RawMessage) (bool, *progress, error) {
				var r restore
				err := json.Unmarshal(a, &r)
				return !r.EndTime.IsZero(), r.Progress, err
			})
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return describeRestore(w, answer) }); err != nil {
				return err
			}
			var done restore
			if err := json.Unmarshal(answer, &done); err != nil {
				return err
			}
			if done.Error != nil {
				return &exit{exitFailed, fmt.Errorf("restore %s: %s", done.RestoreID, done.Error)}
			}
			return nil
		},
	}
	w.flags(c)
	c.Flags().StringVar(&target, "to", "", "instance to restore into")
	c.Flags().StringVar(&database, "database", "", "name of the database there; default: the name in the copy")
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace a target that holds data")
	return c
}

func describeRestore(w io.Writer, answer json.RawMessage) error {
	var r restore
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "restore\t%s\nbackup\t%s\nto\t%s\nstate\t%s\n", r.RestoreID, r.BackupID, r.Target.Instance, r.State)
	if r.Progress != nil {
		_, _ = fmt.Fprintf(w, "progress\t%s\n", r.Progress)
	}
	if r.RestoredBytes != nil {
		_, _ = fmt.Fprintf(w, "restored\t%s\n", size(r.RestoredBytes))
	}
	if r.DurationMs != nil {
		_, _ = fmt.Fprintf(w, "took\t%s\n", time.Duration(*r.DurationMs)*time.Millisecond)
	}
	if r.Error != nil {
		_, _ = fmt.Fprintf(w, "error\t%s\n", r.Error)
	}
	return nil
}
