package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events"
)

func describe(cmd *cobra.Command, o *options, path string, table func(io.Writer, json.RawMessage) error) error {
	var answer json.RawMessage
	if err := o.client().call(cmd.Context(), http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return table(w, answer) })
}

func describeBackup(w io.Writer, answer json.RawMessage) error {
	var b backup
	if err := json.Unmarshal(answer, &b); err != nil {
		return err
	}
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, dash(value))
		}
	}
	row("backup", b.BackupID)
	row("instance", b.Instance)
	row("state", b.State)
	row("progress", b.Progress.String())
	row("proof", b.Proof)
	if b.Held {
		row("held", "it cannot be deleted until it is released")
	}
	row("compared", compared(b.Evidence))
	row("attempt", fmt.Sprintf("%d of %d", b.Attempt, b.MaxAttempts))
	describeSlot(row, b)
	row("enqueued", b.EnqueuedTime.UTC().Format(time.RFC3339))
	if b.DurationMs != nil {
		row("took", (time.Duration(*b.DurationMs) * time.Millisecond).String())
	}
	if !b.Consistency.IsZero() {
		row("consistent at", b.Consistency.UTC().Format(time.RFC3339Nano))
	}
	if b.SizeBytes != nil {
		row("stored", size(b.SizeBytes))
	}
	row("copy", b.Copy)
	for _, c := range b.Copies[min(1, len(b.Copies)):] {
		said := c.Storage + ", " + string(c.State)
		if c.Error != nil {
			said += ": " + c.Error.String()
		}
		if c.Remains {
			said += " (part of it may remain there)"
		}
		row("copied to", said)
	}
	if b.Checksum != nil {
		row(b.Checksum.Algorithm, b.Checksum.Value)
	}
	if c := b.Check; c != nil {
		said := b.Verification
		if c.EndTime.IsZero() {
			said = "under way"
		}
		row("verification", fmt.Sprintf("%s, run %d by %s", said, c.Run, c.Method))
		if c.Error != nil {
			row("", c.Error.String())
		}
	}
	row("description", b.Description)
	if b.Error != nil {
		row("error", b.Error.String())
	}
	return nil
}

// describeSlot says what is known of a backup that a schedule asked for, or did not.
func describeSlot(row func(name, value string), b backup) {
	row("schedule", b.ScheduleID)
	if !b.DueTime.IsZero() {
		row("due", b.DueTime.UTC().Format(time.RFC3339)+", window until "+b.WindowEnd.UTC().Format(time.RFC3339))
	}
	if b.SkipReason != "" {
		row("skipped", strings.TrimSuffix(b.SkipReason+": "+b.SkipMessage, ": "))
		row("data held by", b.CoveredBy)
	}
	o := b.Overdue
	if o == nil {
		return
	}
	said := "not begun"
	if o.Started {
		said = "still running"
	}
	row("overdue", said+" at "+o.SinceTime.UTC().Format(time.RFC3339))
	row("blocked by", o.BlockedByBackupID)
	if o.LastSuccessBackupID != "" {
		row("last good", o.LastSuccessBackupID+" of "+o.LastSuccessTime.UTC().Format(time.RFC3339))
	}
}

// compared says what a proof of RESTORED has compared: "14 tables, 120318 rows, by checksum".
func compared(e *events.Evidence) string {
	if e == nil || e.Tables == 0 {
		return ""
	}
	by := "by their number"
	if e.RowChecksums {
		by = "by checksum"
	}
	return fmt.Sprintf("%d tables, %d rows, %s", e.Tables, e.Rows, by)
}
