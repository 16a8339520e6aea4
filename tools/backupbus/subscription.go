package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// subscription is what the commands read of one; json and yaml output show all that the server sent.
type subscription struct {
	ID       string   `json:"id"`
	Sink     string   `json:"sink"`
	Types    []string `json:"types"`
	Filters  []any    `json:"filters"`
	Disabled bool     `json:"disabled"`
	Config   struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"config"`
	Settings struct {
		Ordering    string   `json:"ordering"`
		ContentMode string   `json:"contentMode"`
		Format      string   `json:"format"`
		Signing     []string `json:"signing"`
	} `json:"protocolsettings"`
	Status struct {
		State       string    `json:"state"`
		Reason      string    `json:"reason"`
		Circuit     string    `json:"circuit"`
		Rate        int       `json:"allowedRatePerMinute"`
		Pending     int       `json:"pendingDeliveries"`
		Failures    int       `json:"consecutiveFailures"`
		FilterErrs  int       `json:"filterErrors"`
		LastSuccess time.Time `json:"lastSuccessTime"`
		PublicKeys  []string  `json:"publicKeys"`
	} `json:"status"`
	SigningSecret string `json:"signingSecret"`
}

func newSubscription(o *options) *cobra.Command {
	c := &cobra.Command{Use: "subscription", Short: "Send events to webhooks: create, list, change, test and replay subscriptions",
		Long: "Send events to webhooks: create, list, change, test and replay subscriptions.\n" +
			"A subscription is named by its id, or by its name."}
	c.AddCommand(newSubscriptionCreate(o), newSubscriptionList(o), newSubscriptionDescribe(o), newSubscriptionUpdate(o), newSubscriptionDelete(o),
		newSubscriptionSwitch(o, "enable", false), newSubscriptionSwitch(o, "disable", true), newSubscriptionRotate(o),
		newSubscriptionTest(o), newSubscriptionReplay(o), newSubscriptionDeliveries(o))
	return c
}

func newSubscriptionCreate(o *options) *cobra.Command {
	var h hook
	c := &cobra.Command{
		Use: "create SINK", Short: "Send events to a URL, or by e-mail; prints the signing secret of a URL, once", Args: cobra.ExactArgs(1),
		Example: "  backupbus subscription create https://hooks.example.com/backups --name pager --type dev.backupbus.backup.failed.v1\n" +
			"  backupbus subscription create https://hooks.example.com/chat --name chat --format slack --filter 'severitynumber >= 13'\n" +
			"  backupbus subscription create mailto:ops@example.com --name ops --type dev.backupbus.backup.failed.v1",
		RunE: func(cmd *cobra.Command, args []string) error {
			h.Sink = args[0]
			return o.answered(cmd, http.MethodPost, "/subscriptions", h.body(), describeSubscription)
		},
	}
	h.flags(c)
	return c
}

func newSubscriptionUpdate(o *options) *cobra.Command {
	var h hook
	c := &cobra.Command{
		Use: "update SUBSCRIPTION", Short: "Change what the flags name", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			patch := h.body()
			if h.Sink == "" {
				delete(patch, "protocol")
			}
			if len(patch) == 0 {
				return &exit{exitUsage, errors.New("nothing to change: name it with flags")}
			}
			return o.answered(cmd, http.MethodPatch, path, patch, describeSubscription)
		},
	}
	h.flags(c)
	c.Flags().StringVar(&h.Sink, "sink", "", "another URL or address")
	return c
}

func newSubscriptionSwitch(o *options, verb string, disabled bool) *cobra.Command {
	short := map[bool]string{true: "Send nothing until it is enabled; what matches is kept for a replay", false: "Send from now on; nothing that was missed is sent by itself"}
	return &cobra.Command{Use: verb + " SUBSCRIPTION", Short: short[disabled], Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			return o.answered(cmd, http.MethodPatch, path, map[string]any{"disabled": disabled}, describeSubscription)
		}}
}

func newSubscriptionDescribe(o *options) *cobra.Command {
	return &cobra.Command{Use: "describe SUBSCRIPTION", Short: "Show one subscription", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			return o.answered(cmd, http.MethodGet, path, nil, describeSubscription)
		}}
}

func newSubscriptionDelete(o *options) *cobra.Command {
	return &cobra.Command{Use: "delete SUBSCRIPTION", Short: "Take a subscription out; what waits is not sent", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSubscription(cmd.Context(), o.client(), args[0])
			if err != nil {
				return err
			}
			if err := o.client().call(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "deleted", strings.TrimPrefix(path, "/subscriptions/"))
			return err
		}}
}

func newSubscriptionList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List subscriptions",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := listSubscriptions(cmd.Context(), o.client())
			if err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "SUBSCRIPTION\tNAME\tSTATE\tPENDING\tSINK")
				for _, a := range all {
					s, err := readSubscription(a)
					if err != nil {
						return err
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", s.ID, dash(s.Config.Name), s.Status.State, s.Status.Pending, dash(s.Sink))
				}
				return nil
			})
		}}
}

func listSubscriptions(ctx context.Context, c *client) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for cursor := ""; ; {
		q := url.Values{"limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page struct {
			Subscriptions []json.RawMessage `json:"subscriptions"`
			NextCursor    string            `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, "/subscriptions?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Subscriptions...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

// findSubscription is the path of the subscription that a person names by its id or its name.
func findSubscription(ctx context.Context, c *client, name string) (string, error) {
	if strings.HasPrefix(name, "su_") {
		return "/subscriptions/" + url.PathEscape(name), nil
	}
	all, err := listSubscriptions(ctx, c)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		s, err := readSubscription(a)
		if err != nil {
			return "", err
		}
		if s.Config.Name == name {
			return "/subscriptions/" + s.ID, nil
		}
	}
	return "", &exit{exitConflict, fmt.Errorf("there is no subscription %s: `backupbus subscription list` shows all", name)}
}

func readSubscription(answer json.RawMessage) (subscription, error) {
	var s subscription
	err := json.Unmarshal(answer, &s)
	return s, err
}

func describeSubscription(w io.Writer, answer json.RawMessage) error {
	s, err := readSubscription(answer)
	if err != nil {
		return err
	}
	types := "all"
	if len(s.Types) > 0 {
		types = strings.Join(s.Types, ", ")
	}
	filters := ""
	if len(s.Filters) > 0 {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s.Filters); err != nil {
			return err
		}
		filters = strings.TrimSpace(b.String())
	}
	slices.Sort(s.Settings.Signing)
	rows(w, [][2]string{{"subscription", s.ID}, {"name", s.Config.Name}, {"description", s.Config.Description}, {"sink", s.Sink}, {"types", types}, {"filters", filters},
		{"format", s.Settings.Format}, {"ordering", s.Settings.Ordering}, {"signing", strings.Join(s.Settings.Signing, ", ")},
		{"state", strings.TrimSpace(s.Status.State + " " + s.Status.Reason)}, {"circuit", s.Status.Circuit}, {"rate", fmt.Sprintf("%d a minute", s.Status.Rate)},
		{"pending", strconv.Itoa(s.Status.Pending)}, {"failures in a row", strconv.Itoa(s.Status.Failures)}, {"filter errors", strconv.Itoa(s.Status.FilterErrs)},
		{"last success", shownTime(s.Status.LastSuccess)}, {"public keys", strings.Join(s.Status.PublicKeys, " ")}, {"signing secret", s.SigningSecret}})
	if s.SigningSecret != "" {
		_, _ = fmt.Fprintln(w, "\tkeep it: it is never shown again")
	}
	return nil
}

// answered makes a call and shows its answer.
func (o *options) answered(cmd *cobra.Command, method, path string, body any, table func(io.Writer, json.RawMessage) error) error {
	var answer json.RawMessage
	if err := o.client().call(cmd.Context(), method, path, body, &answer); err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return table(w, answer) })
}

func rows(w io.Writer, list [][2]string) {
	for _, r := range list {
		if r[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", r[0], dash(r[1]))
		}
	}
}

func shownTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
