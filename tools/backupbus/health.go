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

// health is what the API says of how well an instance is backed up.
type health struct {
	Instance    string   `json:"instance"`
	SuccessRate *float64 `json:"successRate,omitempty"`
	LastGood    *struct {
		BackupID   string    `json:"backupId"`
		Time       time.Time `json:"time"`
		AgeSeconds int64     `json:"ageSeconds"`
		Proof      string    `json:"proof,omitempty"`
	} `json:"lastGoodBackup,omitempty"`
	Since time.Time `json:"since"`
	Slots struct {
		Due       int `json:"due"`
		Succeeded int `json:"succeeded"`
		Failed    int `json:"failed"`
		Missed    int `json:"missed"`
		Pending   int `json:"pending"`
		Spared    int `json:"spared"`
	} `json:"slots"`
}

func newInstanceHealth(o *options) *cobra.Command {
	var days int
	c := &cobra.Command{
		Use: "health [INSTANCE]", Short: "Show the age of the last good backup and how many due slots succeeded", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				list, err := listInstances(cmd.Context(), o.client())
				if err != nil {
					return err
				}
				for _, i := range list {
					names = append(names, i.Instance)
				}
			}
			all := make([]health, len(names))
			for i, name := range names {
				path := fmt.Sprintf("/instances/%s/health?days=%d", url.PathEscape(name), days)
				if err := o.client().call(cmd.Context(), http.MethodGet, path, nil, &all[i]); err != nil {
					return err
				}
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "INSTANCE\tLAST GOOD\tPROOF\tRATE\tDUE\tSUCCEEDED\tFAILED\tMISSED\tPENDING\tSPARED")
				for _, h := range all {
					age, proof, rate := "never", "-", "-"
					if h.LastGood != nil {
						age, proof = (time.Duration(h.LastGood.AgeSeconds)*time.Second).String()+" ago", dash(h.LastGood.Proof)
					}
					if h.SuccessRate != nil {
						rate = fmt.Sprintf("%.1f%%", 100**h.SuccessRate)
					}
					s := h.Slots
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", h.Instance, age, proof, rate, s.Due, s.Succeeded, s.Failed, s.Missed, s.Pending, s.Spared)
				}
				return nil
			})
		},
	}
	c.Flags().IntVar(&days, "days", 30, "how far back slots are counted, 1 to 90")
	return c
}
