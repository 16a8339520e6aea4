package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// preview is what the commands read of what a retention would do.
type preview struct {
	Instance string `json:"instance"`
	Name     string `json:"name"`
	Backups  []struct {
		BackupID  string    `json:"backupId"`
		Time      time.Time `json:"time"`
		SizeBytes *int64    `json:"sizeBytes"`
		Keep      bool      `json:"keep"`
		Why       string    `json:"why"`
	} `json:"backups"`
}

func newRetention(o *options) *cobra.Command {
	c := &cobra.Command{Use: "retention", Short: "See what the retention of schedules keeps and deletes"}
	c.AddCommand(&cobra.Command{
		Use: "preview [INSTANCE]", Short: "Show which backups of schedules would be kept and deleted now; nothing is changed", Args: cobra.MaximumNArgs(1),
		Long: "Shows which backups of the schedules would be kept and deleted now, with the reason; nothing is changed.\n" +
			"Backups that were asked for by hand belong to no schedule: no retention deletes them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			instance := ""
			if len(args) == 1 {
				instance = args[0]
			}
			all, err := previews(cmd, o, instance)
			if err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error { return tablePreviews(w, all) })
		},
	})
	return c
}

func previews(cmd *cobra.Command, o *options, instance string) ([]json.RawMessage, error) {
	cl := o.client()
	if instance != "" { // a name misspelt is not an instance without schedules
		if err := cl.call(cmd.Context(), http.MethodGet, "/instances/"+url.PathEscape(instance), nil, nil); err != nil {
			return nil, err
		}
	}
	list, err := listSchedules(cmd.Context(), cl, instance)
	if err != nil {
		return nil, err
	}
	all := []json.RawMessage{}
	for _, a := range list {
		s, err := readSchedule(a)
		if err != nil {
			return nil, err
		}
		var answer json.RawMessage
		if err := cl.call(cmd.Context(), http.MethodGet, "/schedules/"+s.ScheduleID+"/preview", nil, &answer); err != nil {
			return nil, err
		}
		all = append(all, answer)
	}
	return all, nil
}

func tablePreviews(w io.Writer, all []json.RawMessage) error {
	_, _ = fmt.Fprintln(w, "INSTANCE\tSCHEDULE\tBACKUP\tTIME\tSIZE\tVERDICT\tWHY")
	for _, a := range all {
		var p preview
		if err := json.Unmarshal(a, &p); err != nil {
			return err
		}
		if len(p.Backups) == 0 {
			_, _ = fmt.Fprintf(w, "%s\t%s\t-\t-\t-\t-\tno proven backup yet\n", p.Instance, dash(p.Name))
		}
		for _, b := range p.Backups {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Instance, dash(p.Name), b.BackupID, b.Time.UTC().Format(time.RFC3339),
				size(b.SizeBytes), map[bool]string{true: "keep", false: "DELETE"}[b.Keep], b.Why)
		}
	}
	return nil
}
