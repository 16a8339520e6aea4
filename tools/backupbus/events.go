package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func newEvents(o *options) *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "Follow the events of a project"}
	c.AddCommand(newEventsTail(o))
	return c
}

func newEventsTail(o *options) *cobra.Command {
	var since, instance, backup string
	var types []string
	var count int
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, until interrupted",
		Example: "  backupbus events tail --since 1h --type 'backup.*'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if since != "" {
				t, err := moment(since, time.Now())
				if err != nil {
					return &exit{exitUsage, err}
				}
				q.Set("since", t.UTC().Format(time.RFC3339Nano))
			}
			for name, v := range map[string]string{"instance": instance, "backup": backup} {
				if v != "" {
					q.Set(name, v)
				}
			}
			q["type"] = types
			t := &tail{client: o.client(), query: q, left: count, show: printer(cmd.OutOrStdout(), o.output)}
			return t.run(cmd.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&since, "since", "", "start at a time (RFC 3339) or so long ago (10m)")
	f.StringVar(&instance, "instance", "", "of one instance")
	f.StringVar(&backup, "backup", "", "of one backup")
	f.StringArrayVar(&types, "type", nil, "type, or a prefix ending in *; repeatable")
	f.IntVarP(&count, "count", "n", 0, "stop after so many events")
	return c
}

func moment(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--since %q is neither a time as 2026-01-15T02:00:00Z nor a duration as 10m", s)
	}
	return t, nil
}

// tail follows an event stream and goes on where it was when the line is cut.
type tail struct {
	client *client
	query  url.Values
	cursor string
	left   int // events still wanted; 0: no end
	show   func(data []byte) error
}

// errEnough ends a tail that has printed what was asked for.
var errEnough = errors.New("enough")

func (t *tail) run(ctx context.Context) error {
	for first := true; ; first = false {
		err := t.follow(ctx)
		var api *apiError
		switch {
		case errors.Is(err, errEnough), ctx.Err() != nil:
			return nil
		case errors.As(err, &api) && api.Status < 500:
			return err
		case first && t.cursor == "":
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (t *tail) follow(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.client.base+"/events?"+t.query.Encode(), nil)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("--server: %w", err)}
	}
	req.Header.Set("Accept", "text/event-stream")
	if t.cursor != "" {
		req.Header.Set("Last-Event-ID", t.cursor)
	}
	resp, err := t.client.http.Do(req)
	if err != nil {
		return fmt.Errorf("no answer from the server (is `backupbus up` running? --server names its address): %w", unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	return t.read(resp.Body)
}

// read takes the stream apart as the WHATWG rules say, as far as this server uses them.
func (t *tail) read(body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var data []byte
	var id string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if id != "" {
				t.cursor = id
			}
			if len(data) > 2 {
				if err := t.event(data); err != nil {
					return err
				}
			}
			data, id = nil, ""
		case name == "id":
			id = value
		case name == "data":
			data = []byte(value)
		}
	}
	return errors.Join(errors.New("the stream ended"), lines.Err())
}

func (t *tail) event(data []byte) error {
	var kind struct {
		SpecVersion string `json:"specversion"`
	}
	if json.Unmarshal(data, &kind) != nil || kind.SpecVersion == "" {
		return nil // backupbus.reset and the like
	}
	if err := t.show(data); err != nil {
		return err
	}
	if t.left > 0 {
		if t.left--; t.left == 0 {
			return errEnough
		}
	}
	return nil
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
