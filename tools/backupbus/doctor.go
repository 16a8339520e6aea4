package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/remote"
	"github.com/backupbus/backupbus/tools/backupbus/up"
)

// finding is one line of the doctor's.
type finding struct {
	Instance string `json:"instance,omitempty"`
	Subject  string `json:"subject"`
	OK       bool   `json:"ok"`
	Said     string `json:"said"`
}

// local are the flags that say which executor's eyes to look through: its settings, on its machine.
type local struct{ o up.Options }

func (l *local) flags(c *cobra.Command) {
	c.Flags().StringVar(&l.o.Data, "data", "backupbus-data", "data folder of backupbus up")
	c.Flags().StringVar(&l.o.Settings, "config", "", "settings file of the executor")
}

func (l *local) open(ctx context.Context) (*executors.Inspector, error) {
	if _, err := os.Stat(l.o.Data); l.o.Settings == "" && errors.Is(err, fs.ErrNotExist) { // to make it would look at nobody's
		return nil, &exit{exitUsage, fmt.Errorf("there is no data folder %s here: name that of backupbus up with --data, or the executor's settings with --config", l.o.Data)}
	}
	c, err := up.ExecutorConfig(l.o)
	if err != nil {
		return nil, err
	}
	return executors.NewInspector(ctx, executors.Deps{Now: time.Now, Log: slog.New(slog.DiscardHandler), Openers: remote.Openers()}, c)
}

func newDoctor(o *options) *cobra.Command {
	var l local
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what stands in the way of the backups of a project",
		Long: "Looks at the server, the storages and every instance of the project: connection, privileges, tools, storage.\n" +
			"It looks from here, so run it on the machine of the executor, with its settings and as its user.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.look(cmd, o, func(i *executors.Inspector) ([]finding, error) {
				all := listed("", i.Storages(cmd.Context()))
				list, err := listInstances(cmd.Context(), o.client())
				if err != nil {
					return append(all, finding{Subject: "server", Said: err.Error()}), nil
				}
				all = append(all, finding{Subject: "server", OK: true, Said: fmt.Sprintf("answers, %d instances in project %s", len(list), o.project)})
				for _, inst := range list {
					all = append(all, listed(inst.Instance, i.Instance(cmd.Context(), inst))...)
				}
				return all, nil
			})
		},
	}
	l.flags(c)
	return c
}

func newInstance(o *options) *cobra.Command {
	c := &cobra.Command{Use: "instance", Short: "List, check and take out the databases that are known"}
	c.AddCommand(newInstanceList(o), newInstanceHealth(o), newInstanceCheck(o), newInstanceDelete(o))
	return c
}

func newInstanceList(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the instances of the project",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listInstances(cmd.Context(), o.client())
			if err != nil {
				return err
			}
			doc, err := json.Marshal(list)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "INSTANCE\tPROVIDER\tSUCCESSFUL WHEN\tSTORAGE\tGAUSSDB ID")
				for _, i := range list {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.Instance, i.Provider, dash(string(i.Config.SuccessfulWhen)), dash(i.Config.Storage), dash(i.IDs.GaussDB))
				}
				return nil
			})
		},
	}
}

func newInstanceDelete(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "delete INSTANCE", Short: "Take an instance out; its backups stay", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer json.RawMessage
			if err := o.client().call(cmd.Context(), http.MethodDelete, "/instances/"+url.PathEscape(args[0]), nil, &answer); err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "deleted %s: its backups stay\n", args[0])
				return err
			})
		},
	}
}

func newInstanceCheck(o *options) *cobra.Command {
	var l local
	c := &cobra.Command{
		Use: "check INSTANCE", Short: "Look for what stands in the way of the backups of one instance", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.look(cmd, o, func(i *executors.Inspector) ([]finding, error) {
				var inst events.Instance
				if err := o.client().call(cmd.Context(), http.MethodGet, "/instances/"+url.PathEscape(args[0]), nil, &inst); err != nil {
					return nil, err
				}
				return listed(inst.Instance, i.Instance(cmd.Context(), inst)), nil
			})
		},
	}
	l.flags(c)
	return c
}

// look shows what was found; anything wrong is exit code 1.
func (l *local) look(cmd *cobra.Command, o *options, find func(*executors.Inspector) ([]finding, error)) error {
	i, err := l.open(cmd.Context())
	if err != nil {
		return err
	}
	defer i.Close()
	all, err := find(i)
	if err != nil {
		return err
	}
	doc, err := json.Marshal(all)
	if err != nil {
		return err
	}
	wrong := 0
	err = show(cmd.OutOrStdout(), o.output, doc, func(w io.Writer) error {
		_, _ = fmt.Fprintln(w, "\tINSTANCE\tSUBJECT\tFOUND")
		for _, f := range all {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", map[bool]string{true: "ok", false: "WRONG"}[f.OK], dash(f.Instance), f.Subject, f.Said)
		}
		return nil
	})
	for _, f := range all {
		if !f.OK {
			wrong++
		}
	}
	if err == nil && wrong > 0 {
		return &exit{exitFailed, fmt.Errorf("%d of %d findings are wrong", wrong, len(all))}
	}
	return err
}

// listed puts findings into words: of an error its failure, which says what to do.
func listed(instance string, found []engine.Finding) []finding {
	var all []finding
	for _, f := range found {
		one := finding{Instance: instance, Subject: f.Subject, OK: f.Err == nil, Said: f.Said}
		var failure *events.Failure
		switch {
		case errors.As(f.Err, &failure):
			one.Said = failure.Error()
		case f.Err != nil:
			one.Said = events.Redact(f.Err.Error())
		}
		all = append(all, one)
	}
	return all
}

func listInstances(ctx context.Context, c *client) ([]events.Instance, error) {
	var all []events.Instance
	cursor := ""
	for {
		q := url.Values{"limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page struct {
			Instances  []events.Instance `json:"instances"`
			NextCursor string            `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, "/instances?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Instances...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}
