package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// deadLetter is what the commands read of a dead letter; json and yaml output show all that the server sent.
type deadLetter struct {
	Sequence       string              `json:"sequence"`
	Service        string              `json:"service"`
	Reason         string              `json:"reason"`
	Error          string              `json:"error"`
	Time           time.Time           `json:"time"`
	Stream         string              `json:"stream"`
	StreamSequence string              `json:"streamSequence"`
	Subject        string              `json:"subject"`
	Deliveries     int                 `json:"deliveries"`
	Headers        map[string][]string `json:"headers"`
	Body           string              `json:"body"`
	BodyBase64     string              `json:"bodyBase64"`
}

func newDeadLetter(o *options) *cobra.Command {
	c := &cobra.Command{Use: "dead-letter", Short: "List, show and redrive messages that could not be used",
		Long: "List, show and redrive messages that could not be used. They are kept for 30 days.\n" +
			"Those that name no project, or cannot be read, are in project _: --project _."}
	c.AddCommand(newDeadLetterList(o), newDeadLetterShow(o), newDeadLetterRedrive(o))
	return c
}

func newDeadLetterList(o *options) *cobra.Command {
	var service, reason string
	c := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := listDeadLetters(cmd, o.client(), service, reason)
			if err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error { return tableDeadLetters(w, all) })
		},
	}
	c.Flags().StringVar(&service, "service", "", "of one service: requester, tracker, notifier, exec-…")
	c.Flags().StringVar(&reason, "reason", "", "of one reason: unreadable, internal, max_deliveries, forbidden_content …")
	return c
}

func newDeadLetterShow(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "show SEQUENCE", Short: "Show one with the message as it was received", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return describe(cmd, o, "/dead-letters/"+url.PathEscape(args[0]), describeDeadLetter)
		},
	}
}

func newDeadLetterRedrive(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "redrive SEQUENCE", Short: "Give a command to the requester again; the dead letter stays", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer json.RawMessage
			if err := o.client().call(cmd.Context(), http.MethodPost, "/dead-letters/"+url.PathEscape(args[0])+":redrive", nil, &answer); err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error {
				var r struct{ Sequence, Outcome string }
				if err := json.Unmarshal(answer, &r); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(w, "dead letter\t%s\noutcome\t%s\n", r.Sequence, r.Outcome)
				return nil
			})
		},
	}
}

func listDeadLetters(cmd *cobra.Command, c *client, service, reason string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for cursor := ""; ; {
		q := url.Values{"limit": {"100"}}
		for name, v := range map[string]string{"cursor": cursor, "service": service, "reason": reason} {
			if v != "" {
				q.Set(name, v)
			}
		}
		var page struct {
			DeadLetters []json.RawMessage `json:"deadLetters"`
			NextCursor  string            `json:"nextCursor"`
		}
		if err := c.call(cmd.Context(), http.MethodGet, "/dead-letters?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.DeadLetters...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

func tableDeadLetters(w io.Writer, all []json.RawMessage) error {
	_, _ = fmt.Fprintln(w, "SEQUENCE\tTIME\tSERVICE\tREASON\tSUBJECT\tERROR")
	for _, a := range all {
		var d deadLetter
		if err := json.Unmarshal(a, &d); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Sequence, d.Time.UTC().Format(time.RFC3339), d.Service, d.Reason, dash(d.Subject), dash(d.Error))
	}
	return nil
}

func describeDeadLetter(w io.Writer, answer json.RawMessage) error {
	var d deadLetter
	if err := json.Unmarshal(answer, &d); err != nil {
		return err
	}
	body := d.Body
	if d.BodyBase64 != "" {
		body = "base64:" + d.BodyBase64
	}
	rows := [][2]string{
		{"dead letter", d.Sequence}, {"time", d.Time.UTC().Format(time.RFC3339)}, {"service", d.Service}, {"reason", d.Reason}, {"error", d.Error},
		{"message", d.Stream + " " + d.StreamSequence}, {"subject", d.Subject}, {"deliveries", fmt.Sprint(d.Deliveries)},
	}
	var names []string
	for name := range d.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		rows = append(rows, [2]string{name, strings.Join(d.Headers[name], ", ")})
	}
	for _, r := range append(rows, [2]string{"body", body}) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", r[0], dash(r[1]))
	}
	return nil
}
