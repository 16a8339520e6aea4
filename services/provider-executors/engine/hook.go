package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Hooks are what may run around a backup, by name. Only the executor's settings say what a hook is; an
// instance names one, so that who registers instances cannot run programs here.
type Hooks map[string]Hook

// Hook is one program or one address, not both.
type Hook struct {
	// Exec is a program, by absolute path, and its arguments. It sees the job in the environment:
	// BACKUPBUS_PROJECT, _INSTANCE, _DATABASE, _BACKUP_ID, _ATTEMPT, _HOOK (pre, post), _OUTCOME (post: copied, failed).
	Exec []string `yaml:"exec"`
	// URL gets the same as a JSON object by POST; any 2xx is success. No redirect is followed.
	URL string `yaml:"url"`
	// Timeout ends a hook that takes longer; default 1 min.
	Timeout time.Duration `yaml:"timeout"`
}

// Validate reports the first mistake.
func (h Hook) Validate() error {
	switch {
	case (len(h.Exec) == 0) == (h.URL == ""):
		return errors.New("a hook has either exec or url")
	case len(h.Exec) > 0 && !filepath.IsAbs(h.Exec[0]):
		return errors.New("the program of a hook is named by its absolute path")
	case h.Timeout < 0:
		return errors.New("the timeout of a hook is negative")
	}
	if h.URL != "" {
		if r, err := http.NewRequest(http.MethodPost, h.URL, nil); err != nil || r.URL.Host == "" {
			return errors.New("the url of a hook cannot be read")
		}
	}
	return nil
}

// Outcomes that a post hook is told.
const (
	copied = "copied"
	failed = "failed"
)

// told is what a hook learns.
type told struct {
	Hook     string `json:"hook"`
	Project  string `json:"project"`
	Instance string `json:"instance"`
	Database string `json:"database,omitempty"`
	BackupID string `json:"backupId"`
	Attempt  int    `json:"attempt"`
	Outcome  string `json:"outcome,omitempty"`
}

func (hs Hooks) refuse(named *events.InstanceHooks) error {
	if named == nil {
		return nil
	}
	for _, name := range []string{named.Pre, named.Post} {
		if _, known := hs[name]; name != "" && !known {
			return rejected("the instance names the hook %q, which this executor's settings do not have: add it there, or name another", events.Clip(name, 64))
		}
	}
	return nil
}

// before runs the pre hook. Its failure fails the attempt.
func (hs Hooks) before(ctx context.Context, j executor.Job) error {
	if j.Config.Hooks == nil || j.Config.Hooks.Pre == "" {
		return nil
	}
	err := hs.run(ctx, j.Config.Hooks.Pre, toldOf(j, "pre", ""))
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Retryable: true,
		Message: fmt.Sprintf("the hook %q, which has to succeed before the backup, failed: see the executor's log for what it said", j.Config.Hooks.Pre)}, err)
}

// after runs the post hook, also when ctx has ended: what a pre hook halted has to go on.
func (hs Hooks) after(ctx context.Context, j executor.Job, outcome string) error {
	if j.Config.Hooks == nil || j.Config.Hooks.Post == "" {
		return nil
	}
	return hs.run(context.WithoutCancel(ctx), j.Config.Hooks.Post, toldOf(j, "post", outcome))
}

func toldOf(j executor.Job, hook, outcome string) told {
	return told{hook, j.Project, j.Instance, j.Database, j.BackupID, j.Attempt, outcome}
}

func (hs Hooks) run(ctx context.Context, name string, t told) error {
	h := hs[name]
	limit := h.Timeout
	if limit == 0 {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	if h.URL != "" {
		err = h.post(ctx, t)
	} else {
		_, err = tool.Run(ctx, tool.Command{Path: h.Exec[0], Args: h.Exec[1:], Env: t.environment()})
	}
	if err != nil {
		return fmt.Errorf("hook %s: %w", name, err)
	}
	return nil
}

func (t told) environment() []string {
	return []string{
		"BACKUPBUS_HOOK=" + t.Hook, "BACKUPBUS_PROJECT=" + t.Project, "BACKUPBUS_INSTANCE=" + t.Instance,
		"BACKUPBUS_DATABASE=" + t.Database, "BACKUPBUS_BACKUP_ID=" + t.BackupID,
		"BACKUPBUS_ATTEMPT=" + strconv.Itoa(t.Attempt), "BACKUPBUS_OUTCOME=" + t.Outcome,
	}
}

// hookClient follows no redirect: a hook goes where the settings say.
var hookClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (h Hook) post(ctx context.Context, t told) error {
	doc, err := json.Marshal(t)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(doc))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := hookClient.Do(req)
	var full *url.Error
	if errors.As(err, &full) { // it repeats the address, which may hold the receiver's secret
		return fmt.Errorf("call its address: %w", full.Err)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}
