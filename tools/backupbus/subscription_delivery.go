package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newSubscriptionRotate(o *options) *cobra.Command {
	var overlap span
	var scheme string
	c := &cobra.Command{Use: "rotate-secret SUBSCRIPTION", Short: "Make a new signing secret and print it, once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			body := map[string]any{}
			if cmd.Flags().Changed("overlap") {
				body["overlapSeconds"] = int64(overlap)
			}
			if scheme != "" {
				body["scheme"] = scheme
			}
			return o.answered(cmd, http.MethodPost, path+":rotateSecret", body, func(w io.Writer, answer json.RawMessage) error {
				var a struct {
					SigningSecret            string    `json:"signingSecret"`
					PublicKeys               []string  `json:"publicKeys"`
					PreviousSecretExpireTime time.Time `json:"previousSecretExpireTime"`
				}
				if err := json.Unmarshal(answer, &a); err != nil {
					return err
				}
				rows(w, [][2]string{{"signing secret", a.SigningSecret}, {"public key", strings.Join(a.PublicKeys, " ")}, {"the old one signs until", shownTime(a.PreviousSecretExpireTime)}})
				return nil
			})
		}}
	c.Flags().Var(&overlap, "overlap", "how long the old secret signs too, as 2h (default 1d, at most 7d)")
	c.Flags().StringVar(&scheme, "scheme", "", "v1 (default) or v1a")
	return c
}

func newSubscriptionTest(o *options) *cobra.Command {
	return &cobra.Command{Use: "test SUBSCRIPTION", Short: "Send a test event and show what came back", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			var outcome struct {
				Outcome    string `json:"outcome"`
				StatusCode int    `json:"statusCode"`
				DurationMs int64  `json:"durationMs"`
				Body       string `json:"responseBodyPreview"`
			}
			err = o.answered(cmd, http.MethodPost, path+":test", nil, func(w io.Writer, answer json.RawMessage) error {
				if err := json.Unmarshal(answer, &outcome); err != nil {
					return err
				}
				status := ""
				if outcome.StatusCode > 0 {
					status = strconv.Itoa(outcome.StatusCode)
				}
				rows(w, [][2]string{{"outcome", outcome.Outcome}, {"status", status}, {"took", fmt.Sprintf("%d ms", outcome.DurationMs)}, {"answer", dash(outcome.Body)}})
				return nil
			})
			if err == nil && o.output == "table" && outcome.Outcome != "SUCCESS" {
				return &exit{exitFailed, nil}
			}
			return err
		}}
}

func newSubscriptionReplay(o *options) *cobra.Command {
	var ids, states, types []string
	var from, to string
	var most int
	c := &cobra.Command{Use: "replay SUBSCRIPTION", Short: "Send events once more: some by their ids, or those of a time", Args: cobra.ExactArgs(1),
		Example: "  backupbus subscription replay pager --from 2026-01-15T00:00:00Z --state suppressed\n  backupbus subscription replay pager --event bk_…-failed-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			body := map[string]any{}
			if len(ids) > 0 {
				body["eventIds"] = ids
			}
			if from != "" {
				body["from"], body["to"] = from, to
				if to == "" {
					body["to"] = time.Now().UTC().Format(time.RFC3339)
				}
			}
			for i := range states {
				states[i] = strings.ToUpper(states[i])
			}
			for name, v := range map[string][]string{"states": states, "types": types} {
				if len(v) > 0 {
					body[name] = v
				}
			}
			if most > 0 {
				body["maxEvents"] = most
			}
			return o.answered(cmd, http.MethodPost, path+":replay", body, func(w io.Writer, answer json.RawMessage) error {
				var a struct {
					ReplayID string `json:"replayId"`
				}
				err := json.Unmarshal(answer, &a)
				rows(w, [][2]string{{"replay", a.ReplayID}})
				return err
			})
		}}
	f := c.Flags()
	f.StringSliceVar(&ids, "event", nil, "id of an event (repeatable)")
	f.StringVar(&from, "from", "", "events from this time on, as 2026-01-15T00:00:00Z")
	f.StringVar(&to, "to", "", "and before this one (default now)")
	f.StringSliceVar(&states, "state", nil, "only those whose delivery is in this state, as suppressed or dead (repeatable)")
	f.StringSliceVar(&types, "type", nil, "only this type (repeatable)")
	f.IntVar(&most, "max", 0, "so many at most")
	return c
}

func newSubscriptionDeliveries(o *options) *cobra.Command {
	var state, kind string
	var limit int
	c := &cobra.Command{Use: "deliveries SUBSCRIPTION", Short: "List what was sent, what waits and what failed, of the last 30 days", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if state != "" {
				q.Set("state", state)
			}
			if kind != "" {
				q.Set("type", kind)
			}
			return o.answered(cmd, http.MethodGet, path+"/deliveries?"+q.Encode(), nil, listDeliveries)
		}}
	f := c.Flags()
	f.StringVar(&state, "state", "", "pending, in_flight, retrying, delivered, dead or suppressed")
	f.StringVar(&kind, "type", "", "of one event type")
	f.IntVar(&limit, "limit", 100, "so many at most, up to 1000")
	return c
}

func listDeliveries(w io.Writer, answer json.RawMessage) error {
	var a struct {
		Deliveries []struct {
			EventID         string    `json:"eventId"`
			State           string    `json:"state"`
			Reason          string    `json:"reason"`
			NextAttemptTime time.Time `json:"nextAttemptTime"`
			Attempts        []struct {
				Outcome    string `json:"outcome"`
				StatusCode int    `json:"statusCode"`
			} `json:"attempts"`
		} `json:"deliveries"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "EVENT\tSTATE\tATTEMPTS\tLAST\tNEXT")
	for _, d := range a.Deliveries {
		last := ""
		if n := len(d.Attempts); n > 0 {
			last = d.Attempts[n-1].Outcome
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", d.EventID, strings.TrimSpace(d.State+" "+d.Reason), len(d.Attempts), dash(last), dash(shownTime(d.NextAttemptTime)))
	}
	return nil
}
