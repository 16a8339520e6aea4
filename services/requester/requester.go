// Package requester lets requests in: the doors, and the intake behind them.
package requester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
	"github.com/backupbus/backupbus/services/requester/door/native"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Deps are what the service stands on. All are needed but Ops.
type Deps struct {
	Bus     *bus.Bus
	View    view.Reader
	Log     *slog.Logger
	Now     func() time.Time
	Version string       // shown in the API's document
	Ops     http.Handler // /metrics, /livez, /readyz on the same port; may be nil
}

// Requester is the service; Addr is known as soon as New returns.
type Requester struct {
	server    *host.Server
	scheduler *scheduling
}

var _ host.Part = (*Requester)(nil)

// Addr is the address of all doors.
func (r *Requester) Addr() string { return r.server.Addr() }

// Name implements host.Part.
func (r *Requester) Name() string { return r.server.Name() }

// Run implements host.Part: it serves the doors and takes its share of what is due.
func (r *Requester) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- r.scheduler.run(ctx)
	}()
	err := r.server.Run(ctx, ready)
	cancel()
	return errors.Join(err, <-ended)
}

// New takes the address and wires doors, intake, log and view. Its part is ready when it serves.
func New(d Deps, c Config) (*Requester, error) {
	if d.Bus == nil || d.View == nil || d.Log == nil || d.Now == nil {
		return nil, errors.New("requester: a dependency is missing")
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("requester: %w", err)
	}
	reader := view.NewFallback(d.View, truth{d.Bus}, d.Now)
	in := intake.New(d.Bus, reader, d.Now, d.Log, intake.Config{Bus: d.Bus.Name(), MaxAttempts: c.MaxAttempts, VisibleIn: c.VisibleIn, Providers: c.providers()})
	h := handler{
		{native.Prefix, native.New(in, eventLog{d.Bus}, d.Now, d.Log, native.Config{Version: d.Version})},
		{"/", fallback(d.Ops)},
	}
	cloud := cloudsql.New(in, d.Now, d.Log, c.CloudSQL)
	for _, prefix := range cloudsql.Prefixes {
		h = append(handler{{prefix, cloud}}, h...)
	}
	s, err := host.Listen("requester", c.listen(), h)
	if err != nil {
		return nil, err
	}
	return &Requester{s, &scheduling{bus: d.Bus, log: d.Log,
		scheduler: schedule.New(in, d.Bus, timers{d.Bus}, d.Now, d.Log)}}, nil
}

// handler sends a request to the door whose prefix its path has. http.ServeMux is not used here: it
// redirects paths that are not in its own canonical form, and no door may redirect.
type handler []struct {
	prefix string
	http.Handler
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, d := range h {
		if strings.HasPrefix(r.URL.EscapedPath(), d.prefix) {
			d.ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

// fallback serves what is no door: operations, and a JSON 404 for everything else.
func fallback(ops http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics", "/livez", "/readyz":
			if ops != nil {
				ops.ServeHTTP(w, r)
				return
			}
		}
		cloudsql.NotFound(w, r)
	})
}

// truth is the log behind the view.
type truth struct{ *bus.Bus }

// End implements view.Log.
func (t truth) End(ctx context.Context) (view.Checkpoint, error) {
	s, err := t.State(ctx)
	return view.Checkpoint{Epoch: s.Epoch, Seq: s.Last}, err
}

// eventLog is what the native door's event stream reads from.
type eventLog struct{ bus *bus.Bus }

// Follow implements native.Log.
func (l eventLog) Follow(ctx context.Context, project string, from uint64, since time.Time, fn func(events.Stored) error) error {
	filter, err := events.ProjectFilter(project)
	if err != nil {
		return err
	}
	return l.bus.Tail(ctx, filter, bus.Start{Seq: from, Time: since}, func(_ string, s events.Stored) error { return fn(s) })
}

// Position implements native.Log.
func (l eventLog) Position(ctx context.Context) (string, uint64, error) {
	s, err := l.bus.State(ctx)
	return s.Epoch, s.Last, err
}

// Stopping implements native.Log.
func (l eventLog) Stopping(ctx context.Context) <-chan struct{} { return host.Stopping(ctx) }
