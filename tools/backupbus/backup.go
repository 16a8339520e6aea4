package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events"
)

// backup is what the commands read of a backup; json and yaml output show all that the server sent.
type backup struct {
	BackupID     string           `json:"backupId"`
	Instance     string           `json:"instance"`
	State        string           `json:"state"`
	Trigger      string           `json:"trigger"`
	Description  string           `json:"description"`
	Held         bool             `json:"held"`
	Attempt      int              `json:"attempt"`
	MaxAttempts  int              `json:"maxAttempts"`
	EnqueuedTime time.Time        `json:"enqueuedTime"`
	EndTime      time.Time        `json:"endTime"`
	DurationMs   *int64           `json:"durationMs"`
	SizeBytes    *int64           `json:"sizeBytes"`
	Proof        string           `json:"proof"`
	Evidence     *events.Evidence `json:"evidence"`
	Copy         string           `json:"copy"`
	Copies       []copied         `json:"copies"`
	Consistency  time.Time        `json:"consistencyTime"`
	ScheduleID   string           `json:"scheduleId"`
	DueTime      time.Time        `json:"dueTime"`
	WindowEnd    time.Time        `json:"windowEndTime"`
	SkipReason   string           `json:"skipReason"`
	SkipMessage  string           `json:"skipMessage"`
	CoveredBy    string           `json:"coveredByBackupId"`
	Overdue      *overdue         `json:"overdue"`
	Error        *failure         `json:"error"`
	Progress     *progress        `json:"progress"`
	Verification string           `json:"verification"`
	Check        *check           `json:"check"`
	Checksum     *struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	} `json:"checksum"`
}

type copied struct {
	Storage string           `json:"storage"`
	State   events.CopyState `json:"state"`
	Error   *failure         `json:"error"`
	Remains bool             `json:"remains"`
}

type overdue struct {
	SinceTime           time.Time `json:"sinceTime"`
	Started             bool      `json:"started"`
	BlockedByBackupID   string    `json:"blockedByBackupId"`
	LastSuccessTime     time.Time `json:"lastSuccessTime"`
	LastSuccessBackupID string    `json:"lastSuccessBackupId"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failure) String() string { return f.Code + ": " + f.Message }

type progress struct {
	Phase      string `json:"phase"`
	Percent    *int   `json:"percent"`
	BytesDone  *int64 `json:"bytesDone"`
	BytesTotal *int64 `json:"bytesTotal"`
}

func (p *progress) String() string {
	switch {
	case p == nil:
		return ""
	case p.Percent != nil:
		return fmt.Sprintf("%s, %d %%", p.Phase, *p.Percent)
	case p.BytesDone != nil:
		return p.Phase + ", " + size(p.BytesDone)
	}
	return p.Phase
}

type receipt struct {
	BackupID  string `json:"backupId"`
	RestoreID string `json:"restoreId"`
	State     string `json:"state"`
}

func newBackup(o *options) *cobra.Command {
	c := &cobra.Command{Use: "backup", Short: "Create, list, describe, verify, hold, cancel and delete backups"}
	c.AddCommand(newBackupCreate(o), newBackupList(o), newBackupDescribe(o), newBackupVerify(o),
		newBackupChange(o, "cancel"), newBackupChange(o, "delete"),
		newBackupHold(o, "hold", true), newBackupHold(o, "release", false))
	return c
}

func newBackupCreate(o *options) *cobra.Command {
	var w waiting
	var description, key string
	var labels map[string]string
	c := &cobra.Command{
		Use: "create INSTANCE", Short: "Ask for a backup", Args: cobra.ExactArgs(1),
		Example: "  backupbus backup create orders --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"instance": args[0]}
			if description != "" {
				body["description"] = description
			}
			if len(labels) > 0 {
				body["labels"] = labels
			}
			cl := o.client()
			cl.key = key
			var r receipt
			if err := cl.call(cmd.Context(), http.MethodPost, "/backups", body, &r); err != nil {
				return err
			}
			return afterBackup(cmd, o, r.BackupID, w)
		},
	}
	w.flags(c)
	c.Flags().StringVar(&description, "description", "", "what the backup is for")
	c.Flags().StringToStringVar(&labels, "label", nil, "key=value, repeatable")
	c.Flags().StringVar(&key, "idempotency-key", "", "sending the same key again gives the same backup")
	return c
}

// afterBackup shows a backup, now or when it has ended.
func afterBackup(cmd *cobra.Command, o *options, id string, w waiting) error {
	path := "/backups/" + id
	if !w.wait {
		return describe(cmd, o, path, describeBackup)
	}
	answer, err := w.until(cmd, o, path, func(a json.RawMessage) (bool, *progress, error) {
		var b backup
		err := json.Unmarshal(a, &b)
		return !b.EndTime.IsZero() || b.State == "SKIPPED", b.Progress, err
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
	return outcome(b)
}

// outcome is the exit code of a backup that has ended.
func outcome(b backup) error {
	switch {
	case b.Proof != "":
		return nil
	case b.State == "SKIPPED":
		return &exit{code: exitSkipped, err: fmt.Errorf("backup %s was skipped: %s", b.BackupID, b.SkipReason)}
	case b.Error != nil:
		return &exit{code: exitFailed, err: fmt.Errorf("backup %s: %s", b.BackupID, b.Error)}
	}
	return &exit{code: exitFailed, err: fmt.Errorf("backup %s is %s", b.BackupID, b.State)}
}

func newBackupList(o *options) *cobra.Command {
	var instance, asOf string
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List backups, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return &exit{exitUsage, fmt.Errorf("--limit %d is not a number of backups", limit)}
			}
			q := url.Values{}
			if instance != "" {
				q.Set("instance", instance)
			}
			if asOf != "" {
				at, err := moment("as-of", asOf, time.Now())
				if err != nil {
					return &exit{exitUsage, err}
				}
				q.Set("asOf", at.UTC().Format(time.RFC3339Nano))
			}
			all, err := listBackups(cmd.Context(), o.client(), q, limit)
			if err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "BACKUP\tINSTANCE\tSTATE\tPROOF\tENQUEUED\tSIZE\tDESCRIPTION")
				for _, a := range all {
					var b backup
					if err := json.Unmarshal(a, &b); err != nil {
						return err
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.BackupID, b.Instance, b.State, dash(b.Proof),
						b.EnqueuedTime.UTC().Format(time.RFC3339), size(b.SizeBytes), dash(b.Description))
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&instance, "instance", "", "of one instance")
	c.Flags().StringVar(&asOf, "as-of", "", "as it was at a time (RFC 3339) or so long ago (10m)")
	c.Flags().IntVar(&limit, "limit", 100, "at most so many")
	return c
}

const pageSize = 100

func listBackups(ctx context.Context, c *client, q url.Values, limit int) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	cursor := ""
	for {
		q.Set("limit", strconv.Itoa(min(pageSize, limit-len(all))))
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page struct {
			Backups    []json.RawMessage `json:"backups"`
			NextCursor string            `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, "/backups?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Backups...)
		cursor = page.NextCursor
		if cursor == "" || len(all) >= limit {
			return all, nil
		}
	}
}

func newBackupDescribe(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "describe BACKUP", Short: "Show one backup", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return describe(cmd, o, "/backups/"+url.PathEscape(args[0]), describeBackup)
		},
	}
}

func newBackupChange(o *options, verb string) *cobra.Command {
	var w waiting
	var reason string
	short := map[string]string{"cancel": "Stop a backup", "delete": "Delete the copy that a backup took"}
	c := &cobra.Command{
		Use: verb + " BACKUP", Short: short[verb], Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/backups/" + url.PathEscape(args[0])
			method, call, body := http.MethodDelete, path, any(nil)
			if verb == "cancel" {
				method, call, body = http.MethodPost, path+":cancel", map[string]string{"reason": reason}
			}
			if err := o.client().call(cmd.Context(), method, call, body, nil); err != nil {
				return err
			}
			if !w.wait {
				return describe(cmd, o, path, describeBackup)
			}
			answer, err := w.until(cmd, o, path, func(a json.RawMessage) (bool, *progress, error) {
				var b backup
				err := json.Unmarshal(a, &b)
				return b.State != "CANCELLING" && b.State != "DELETION_PENDING", nil, err
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
			if want := map[string]string{"cancel": "CANCELLED", "delete": "DELETED"}[verb]; b.State != want {
				return &exit{exitFailed, fmt.Errorf("backup %s is %s", b.BackupID, b.State)}
			}
			return nil
		},
	}
	w.flags(c)
	if verb == "cancel" {
		c.Flags().StringVar(&reason, "reason", "", "why, for those who are told")
	}
	return c
}
