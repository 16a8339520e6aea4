package main

import (
	"context"
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

// schedule is what the commands read of a schedule; json and yaml output show all that the server sent.
type schedule struct {
	ScheduleID   string         `json:"scheduleId"`
	Instance     string         `json:"instance"`
	Name         string         `json:"name"`
	Database     string         `json:"database"`
	Outcome      string         `json:"outcome"`
	Config       scheduleConfig `json:"config"`
	ExpireAfter  int64          `json:"expireAfterSeconds"`
	NextDueTimes []time.Time    `json:"nextDueTimes"`
}

func newSchedule(o *options) *cobra.Command {
	c := &cobra.Command{Use: "schedule", Short: "Create, list, describe, pause, resume and delete schedules",
		Long: "Create, list, describe, pause, resume and delete schedules.\n" +
			"A schedule is named by its id, or by its instance and its name."}
	c.AddCommand(newScheduleCreate(o), newScheduleList(o), newScheduleDescribe(o), newSchedulePause(o, "pause", true),
		newSchedulePause(o, "resume", false), newScheduleDelete(o))
	return c
}

func newScheduleList(o *options) *cobra.Command {
	var instance string
	c := &cobra.Command{
		Use: "list", Short: "List schedules",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := listSchedules(cmd.Context(), o.client(), instance)
			if err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "SCHEDULE\tINSTANCE\tNAME\tDUE\tNEXT\tKEEPS")
				for _, a := range all {
					s, err := readSchedule(a)
					if err != nil {
						return err
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ScheduleID, s.Instance, dash(s.Name), dash(s.Config.due()), s.next(), s.keeps())
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&instance, "instance", "", "of one instance")
	return c
}

const oneSchedule = "SCHEDULE | INSTANCE NAME"

func newScheduleDescribe(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "describe " + oneSchedule, Short: "Show one schedule", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findSchedule(cmd.Context(), o.client(), args)
			if err != nil {
				return err
			}
			return describe(cmd, o, path, describeSchedule)
		},
	}
}

func newSchedulePause(o *options, verb string, paused bool) *cobra.Command {
	short := map[string]string{"pause": "Let nothing be due until it is resumed", "resume": "Let a paused schedule go on from now"}
	return &cobra.Command{
		Use: verb + " " + oneSchedule, Short: short[verb], Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeSchedule(cmd, o, args, http.MethodPatch, map[string]any{"config": map[string]any{"paused": paused}})
		},
	}
}

func newScheduleDelete(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "delete " + oneSchedule, Short: "Take a schedule out; its backups stay", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeSchedule(cmd, o, args, http.MethodDelete, nil)
		},
	}
}

func changeSchedule(cmd *cobra.Command, o *options, args []string, method string, body any) error {
	path, err := findSchedule(cmd.Context(), o.client(), args)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := o.client().call(cmd.Context(), method, path, body, &answer); err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return describeSchedule(w, answer) })
}

// findSchedule is the path of the schedule that a person names by its id, or by instance and name.
func findSchedule(ctx context.Context, c *client, args []string) (string, error) {
	if len(args) == 1 {
		return "/schedules/" + url.PathEscape(args[0]), nil
	}
	all, err := listSchedules(ctx, c, args[0])
	if err != nil {
		return "", err
	}
	var ids []string
	for _, a := range all {
		s, err := readSchedule(a)
		if err != nil {
			return "", err
		}
		if s.Name == args[1] {
			ids = append(ids, s.ScheduleID)
		}
	}
	switch len(ids) {
	case 0:
		return "", &exit{exitConflict, fmt.Errorf("instance %s has no schedule %s: `backupbus schedule list` shows all", args[0], args[1])}
	case 1:
		return "/schedules/" + ids[0], nil
	}
	return "", &exit{exitUsage, fmt.Errorf("several databases of %s have a schedule %s: name one by its id: %s", args[0], args[1], strings.Join(ids, ", "))}
}

// listSchedules are those of one instance, or all of the project.
func listSchedules(ctx context.Context, c *client, instance string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for cursor := ""; ; {
		q := url.Values{"limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if instance != "" {
			q.Set("instance", instance)
		}
		var page struct {
			Schedules  []json.RawMessage `json:"schedules"`
			NextCursor string            `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, "/schedules?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Schedules...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

func readSchedule(answer json.RawMessage) (schedule, error) {
	var s schedule
	err := json.Unmarshal(answer, &s)
	return s, err
}

func describeSchedule(w io.Writer, answer json.RawMessage) error {
	s, err := readSchedule(answer)
	if err != nil {
		return err
	}
	c := s.Config
	for _, r := range [][2]string{
		{"schedule", s.ScheduleID}, {"instance", s.Instance}, {"database", s.Database}, {"name", s.Name}, {"outcome", s.Outcome},
		{"due", c.due()}, {"window", spanText(c.WindowSeconds)}, {"spread", spanText(c.SpreadSeconds)},
		{"overdue after", spanText(c.OverdueAfterSeconds)}, {"missed", c.Missed}, {"keeps", s.keeps()}, {"next", s.next()},
	} {
		if r[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", r[0], dash(r[1]))
		}
	}
	for _, at := range s.NextDueTimes[min(1, len(s.NextDueTimes)):] {
		_, _ = fmt.Fprintf(w, "\t%s\n", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// next is the next due time, or why there is none.
func (s schedule) next() string {
	switch {
	case s.Config.Paused != nil && *s.Config.Paused:
		return "paused"
	case len(s.NextDueTimes) == 0:
		return "-"
	}
	return s.NextDueTimes[0].UTC().Format(time.RFC3339)
}

// due is when backups are due, in words.
func (c scheduleConfig) due() string {
	if c.EverySeconds > 0 {
		return "every " + spanText(c.EverySeconds)
	}
	if c.TimeZone == "" {
		return c.Cron + " UTC"
	}
	return c.Cron + " " + c.TimeZone
}

// keeps is what the retention keeps, in words.
func (s schedule) keeps() string {
	c := s.Config
	var out []string
	if s.ExpireAfter > 0 {
		out = append(out, "each "+spanText(s.ExpireAfter))
	}
	if c.Retention == nil && len(out) == 0 {
		return "all"
	}
	if c.Retention == nil {
		return out[0]
	}
	for _, k := range []struct {
		n    int
		what string
	}{{c.Retention.KeepLast, "last"}, {c.Retention.Daily, "daily"}, {c.Retention.Weekly, "weekly"}, {c.Retention.Monthly, "monthly"}} {
		if k.n > 0 {
			out = append(out, strconv.Itoa(k.n)+" "+k.what)
		}
	}
	if age := spanText(c.Retention.MaxAgeSeconds); age != "" {
		out = append(out, "for "+age)
	}
	return strings.Join(out, ", ")
}
