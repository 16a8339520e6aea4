package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	subscribe "github.com/backupbus/backupbus/events/client"
)

func newEvents(o *options) *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "Follow and replay the events of a project"}
	c.AddCommand(newEventsTail(o), newEventsReplay(o), newEventsConsumer(o))
	return c
}

// interest is the flags that say which events are wanted.
type interest struct {
	types                           []string
	instance, backup, filter, since string
	count                           int
}

func (i *interest) flags(f *pflag.FlagSet) {
	f.StringVar(&i.since, "since", "", "start at a time (RFC 3339) or so long ago (10m)")
	f.StringVar(&i.instance, "instance", "", "of one instance")
	f.StringVar(&i.backup, "backup", "", "of one backup")
	f.StringArrayVar(&i.types, "type", nil, "type, or a prefix ending in *; repeatable")
	f.StringVar(&i.filter, "filter", "", "CESQL over the attributes, as \"severitynumber >= 13\"")
	f.IntVarP(&i.count, "count", "n", 0, "stop after so many events")
}

// errEnough ends what has printed as many events as were asked for.
var errEnough = errors.New("enough")

// config is the subscription, and what to do with each event of it.
func (i *interest) config(o *options, w, notes io.Writer) (subscribe.Config, func(context.Context, subscribe.Message) error, error) {
	c := subscribe.Config{Server: o.server, Project: o.project, Types: i.types, Instance: i.instance, Backup: i.backup, Filter: i.filter}
	c.Reset = func(_ context.Context, why subscribe.Reset) {
		text := "the start lies before the history limit: of what is older only the last events are left"
		if why == subscribe.CursorUnknown {
			text = "the cursor is of another log: everything comes again"
		}
		_, _ = fmt.Fprintln(notes, "note:", text) // a note that cannot be written stops nothing
	}
	token, err := o.token()
	if err != nil {
		return c, nil, err
	}
	c.Token = token.Reveal()
	if i.since != "" {
		var err error
		if c.Since, err = moment("since", i.since, time.Now()); err != nil {
			return c, nil, &exit{exitUsage, err}
		}
	}
	print, left := printer(w, o.output), i.count
	return c, func(_ context.Context, m subscribe.Message) error {
		if err := print(m.Raw); err != nil {
			return err
		}
		if left--; left == 0 {
			return errEnough
		}
		return nil
	}, nil
}

func newEventsTail(o *options) *cobra.Command {
	var i interest
	var progress bool
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, until interrupted",
		Example: "  backupbus events tail --since 1h --type 'backup.*'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, show, err := i.config(o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := o.client().answers(cmd.Context()); err != nil {
				return err
			}
			conf.Progress = progress
			return told(cmd.Context(), subscribe.Subscribe(cmd.Context(), conf, show))
		},
	}
	i.flags(c.Flags())
	c.Flags().BoolVar(&progress, "progress", false, "progress of running backups and restores too")
	return c
}

func newEventsReplay(o *options) *cobra.Command {
	var i interest
	var until, cursor string
	c := &cobra.Command{
		Use: "replay", Short: "Print stored events, the oldest first, and end",
		Example: "  backupbus events replay --since 2026-01-15T00:00:00Z --until 2026-01-16T00:00:00Z -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, show, err := i.config(o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if until != "" {
				if conf.Until, err = moment("until", until, time.Now()); err != nil {
					return &exit{exitUsage, err}
				}
			}
			conf.Cursor = cursor
			if err := o.client().answers(cmd.Context()); err != nil {
				return err
			}
			next, err := subscribe.Replay(cmd.Context(), conf, show)
			if next != "" { // on its own: what is printed may be read by a program
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "go on with --cursor %s\n", next)
			}
			return told(cmd.Context(), err)
		},
	}
	i.flags(c.Flags())
	c.Flags().StringVar(&until, "until", "", "end before a time (RFC 3339) or so long ago (10m)")
	c.Flags().StringVar(&cursor, "cursor", "", "go on after this cursor")
	return c
}

// told turns how a subscription ended into how the command ends.
func told(ctx context.Context, err error) error {
	var refused *subscribe.Refused
	switch {
	case errors.Is(err, errEnough), ctx.Err() != nil:
		return nil
	case errors.As(err, &refused):
		return &apiError{Status: refused.Status, Reason: refused.Reason, Detail: refused.Detail}
	}
	return err
}

func moment(flag, s string, now time.Time) (time.Time, error) {
	var ago span
	if err := ago.Set(s); err == nil {
		return now.Add(-time.Duration(ago) * time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--%s %q is neither a time as 2026-01-15T02:00:00Z nor a duration as 10m", flag, s)
	}
	return t, nil
}

func printer(w io.Writer, format string) func([]byte) error {
	switch format {
	case "json":
		return func(data []byte) error { _, err := fmt.Fprintf(w, "%s\n", data); return err }
	case "yaml":
		return func(data []byte) error {
			var v any
			if err := yaml.Unmarshal(data, &v); err != nil {
				return err
			}
			b, err := yaml.Marshal(v)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "---\n%s", b)
			return err
		}
	}
	return func(data []byte) error {
		var e struct {
			Time    time.Time `json:"time"`
			Type    string    `json:"type"`
			Subject string    `json:"subject"`
			State   string    `json:"state"`
			Attempt int       `json:"attempt"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(e.Type, "dev.backupbus."), ".v1")
		_, err := fmt.Fprintf(w, "%s  %-28s %-16s %s\n", e.Time.UTC().Format("15:04:05.000"), name, dash(e.State), e.Subject)
		return err
	}
}
