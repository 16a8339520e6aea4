package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// hook is a subscription as a person writes it: in a file under `subscriptions`, or with flags.
type hook struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description"`
	Sink        string            `yaml:"sink"`
	Types       []string          `yaml:"types"`
	Filters     []any             `yaml:"filters"`
	Format      string            `yaml:"format"`
	Ordering    string            `yaml:"ordering"`
	ContentMode string            `yaml:"contentMode"`
	Signing     []string          `yaml:"signing"`
	TimeoutMs   int               `yaml:"timeoutMs"`
	MaxInFlight int               `yaml:"maxInFlight"`
	Rate        int               `yaml:"ratePerMinute"`
	Headers     map[string]string `yaml:"headers"`
	Disabled    *bool             `yaml:"disabled"` // nil: as it is

	sql string
}

func (h *hook) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&h.Name, "name", "", "name of the subscription, one of its own in the project")
	f.StringVar(&h.Description, "description", "", "what it is for")
	f.StringSliceVar(&h.Types, "type", nil, "event type, as dev.backupbus.backup.failed.v1 (repeatable; none means all)")
	f.StringVar(&h.sql, "filter", "", "CESQL, as \"severitynumber >= 13 AND instance = 'orders'\"")
	f.StringVar(&h.Format, "format", "", "cloudevent (default), slack, teams or discord; email for a sink mailto:, where it is the default")
	f.StringVar(&h.Ordering, "ordering", "", "none (default), or subject: events of one backup one after the other")
	f.StringVar(&h.ContentMode, "content-mode", "", "structured (default) or binary")
	f.StringSliceVar(&h.Signing, "signing", nil, "v1 (default), v1a, or both (repeatable)")
	f.IntVar(&h.TimeoutMs, "timeout-ms", 0, "of a whole attempt, 1000 to 30000 (default 15000)")
	f.IntVar(&h.MaxInFlight, "max-in-flight", 0, "requests at once, 1 to 64 (default 8)")
	f.IntVar(&h.Rate, "rate", 0, "requests a minute, 1 to 60000 (default 600)")
	f.StringToStringVar(&h.Headers, "header", nil, "header that the sink wants, as Authorization=…; never shown again (repeatable)")
}

// body is what the API has of it; what is not said is left out.
func (h hook) body() map[string]any {
	out := map[string]any{"protocol": "HTTP"}
	if strings.HasPrefix(strings.ToLower(h.Sink), "mailto:") {
		out["protocol"] = "SMTP"
	}
	put := func(into map[string]any, name string, v any, said bool) {
		if said {
			into[name] = v
		}
	}
	config, settings := map[string]any{}, map[string]any{}
	put(config, "name", h.Name, h.Name != "")
	put(config, "description", h.Description, h.Description != "")
	put(settings, "format", h.Format, h.Format != "")
	put(settings, "ordering", h.Ordering, h.Ordering != "")
	put(settings, "contentMode", h.ContentMode, h.ContentMode != "")
	put(settings, "signing", h.Signing, len(h.Signing) > 0)
	put(settings, "timeoutMs", h.TimeoutMs, h.TimeoutMs != 0)
	put(settings, "maxInFlight", h.MaxInFlight, h.MaxInFlight != 0)
	put(settings, "ratePerMinute", h.Rate, h.Rate != 0)
	put(settings, "headers", h.Headers, len(h.Headers) > 0)
	put(out, "sink", h.Sink, h.Sink != "")
	put(out, "types", h.Types, len(h.Types) > 0)
	put(out, "filters", h.Filters, len(h.Filters) > 0)
	put(out, "filters", []any{map[string]any{"sql": h.sql}}, h.sql != "")
	put(out, "config", config, len(config) > 0)
	put(out, "protocolsettings", settings, len(settings) > 0)
	if h.Disabled != nil {
		out["disabled"] = *h.Disabled
	}
	return out
}

// make creates the subscription of that name, or gives it just what the file says.
func (h hook) make(cmd *cobra.Command, o *options) (json.RawMessage, string, error) {
	var answer json.RawMessage
	path, err := findSubscription(cmd.Context(), o.client(), h.Name)
	var gone *exit
	if errors.As(err, &gone) && gone.code == exitConflict {
		err = o.client().call(cmd.Context(), http.MethodPost, "/subscriptions", h.body(), &answer)
		return answer, "created", err
	}
	if err != nil {
		return nil, "", err
	}
	var before struct {
		Generation int `json:"generation"`
		Settings   struct {
			Headers map[string]string `json:"headers"` // masked
		} `json:"protocolsettings"`
	}
	if err := o.client().call(cmd.Context(), http.MethodGet, path, nil, &before); err != nil {
		return nil, "", err
	}
	was := before.Generation
	if err = o.client().call(cmd.Context(), http.MethodPatch, path, h.whole(before.Settings.Headers), &answer); err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(answer, &before); err != nil {
		return nil, "", err
	}
	if before.Generation == was {
		return answer, "unchanged", nil
	}
	return answer, "updated", nil
}

// whole is the merge patch that leaves nothing of what the file does not name. headers are those that are there.
func (h hook) whole(headers map[string]string) map[string]any {
	patch := h.body()
	takeOut(patch, "types", "filters")
	patch["config"] = takeOut(patch["config"], "description")
	settings := takeOut(patch["protocolsettings"], "format", "ordering", "contentMode", "signing", "timeoutMs", "maxInFlight", "ratePerMinute", "headers")
	if len(h.Headers) > 0 {
		all := map[string]any{}
		for name := range headers {
			all[name] = nil
		}
		for name, value := range h.Headers {
			all[name] = value
		}
		settings["headers"] = all
	}
	patch["protocolsettings"] = settings
	return patch
}

// takeOut gives an object, or an empty one, with null for each of the names that it does not have.
func takeOut(object any, names ...string) map[string]any {
	out, ok := object.(map[string]any)
	if !ok {
		out = map[string]any{}
	}
	for _, name := range names {
		if _, said := out[name]; !said {
			out[name] = nil
		}
	}
	return out
}

// checkHooks finds what no server could accept.
func checkHooks(where string, hooks []hook) error {
	var err error
	seen := map[string]bool{}
	for n, h := range hooks {
		switch {
		case h.Name == "":
			err = errors.Join(err, fmt.Errorf("%s: subscriptions[%d]: name is missing", where, n))
		case h.Sink == "":
			err = errors.Join(err, fmt.Errorf("%s: subscriptions[%d] (%s): sink is missing", where, n, h.Name))
		case seen[h.Name]:
			err = errors.Join(err, fmt.Errorf("%s: subscriptions[%d]: the name %s is there twice", where, n, h.Name))
		}
		seen[h.Name] = true
	}
	return err
}
