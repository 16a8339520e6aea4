// Package requester lets requests in: the doors, and the intake behind them.
package requester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
	"github.com/backupbus/backupbus/services/requester/door/command"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
	"github.com/backupbus/backupbus/services/requester/door/native"
	"github.com/backupbus/backupbus/services/requester/door/spanner"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Deps are what the service stands on. All are needed but Ops and Env.
type Deps struct {
	Bus     *bus.Bus
	View    view.Reader
	Log     *slog.Logger
	Now     func() time.Time
	Version string       // shown in the API's document
	Ops     http.Handler // /metrics, /livez, /readyz on the same port; may be nil

	// Access is who may do what at all doors; without an entry, anybody everything.
	Access access.Grants
	// Env is where references to secrets as env:NAME are looked up, os.LookupEnv if nil.
	Env func(string) (string, bool)
}

// metricsPermission is asked for on the port of the doors, for all projects: the figures name the instances of each.
const metricsPermission = "backupbus.metrics.get"

// Permissions are the names of all that the doors ask for.
func Permissions() []string {
	return slices.Concat([]string{metricsPermission}, native.Permissions(), cloudsql.Permissions(), spanner.Permissions(), gaussdb.Permissions())
}

// Requester is the service; Addr is known as soon as New returns.
type Requester struct {
	server    *host.Server
	scheduler *scheduling
	commands  *commanding
}

var _ host.Part = (*Requester)(nil)

// Addr is the address of all doors.
func (r *Requester) Addr() string { return r.server.Addr() }

// URL is the address with its scheme.
func (r *Requester) URL() string { return r.server.URL() }

// Name implements host.Part.
func (r *Requester) Name() string { return r.server.Name() }

// Run implements host.Part: it serves the doors and takes its share of commands and of what is due.
func (r *Requester) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shares := []func(context.Context) error{r.scheduler.run, r.commands.run}
	ended := make(chan error, len(shares))
	for _, run := range shares {
		go func() {
			defer cancel()
			ended <- run(ctx)
		}()
	}
	err := r.server.Run(ctx, ready)
	cancel()
	for range shares {
		err = errors.Join(err, <-ended)
	}
	return err
}

// New takes the address and wires doors, intake, log and view. Its part is ready when it serves.
func New(d Deps, c Config) (*Requester, error) {
	if d.Bus == nil || d.View == nil || d.Log == nil || d.Now == nil {
		return nil, errors.New("requester: a dependency is missing")
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("requester: %w", err)
	}
	if d.Env == nil {
		d.Env = os.LookupEnv
	}
	if len(d.Access) == 0 {
		d.Log.Warn("no authentication: whoever reaches the address of the doors may do everything", "address", c.listen())
	}
	reader := view.NewFallback(d.View, truth{d.Bus}, d.Now)
	in := intake.New(d.Bus, reader, d.Now, d.Log, intake.Config{Bus: d.Bus.Name(), MaxAttempts: c.MaxAttempts, VisibleIn: c.VisibleIn, Providers: c.providers()})
	evaluator := command.NewEvaluator(in, d.Bus, d.Now)
	ring, err := access.Open(d.Access, d.Env)
	if err == nil {
		err = d.Access.Check(Permissions())
	}
	if err != nil {
		return nil, fmt.Errorf("requester: %w", err)
	}
	var own http.Handler = native.New(in, ring, eventLog{d.Bus}, evaluator, graveyard{d.Bus}, d.Now, d.Log, native.Config{Version: d.Version})
	span, err := spanner.New(in, ring, d.Now, d.Log)
	if err != nil {
		return nil, fmt.Errorf("requester: the Spanner door: %w", err)
	}
	notifiers, err := c.notifiers()
	if err != nil {
		return nil, fmt.Errorf("requester: notifier: %w", err)
	}
	if len(notifiers) > 0 {
		own = newForwarding(notifiers, d.Log).around(own, ring, d.Now)
	}
	// The first that takes a request answers it.
	h := handler{
		{spanner.IsGRPC, span},
		{func(r *http.Request) bool { return spanner.Owns(r.URL.EscapedPath()) }, span},
		{below(cloudsql.Prefixes...), cloudsql.New(in, ring, d.Now, d.Log, c.CloudSQL)}, // of /v1/ what is not Spanner's
		{below(gaussdb.Prefixes...), gaussdb.New(in, ring, d.Now, d.Log, c.GaussDB)},
		{below(native.Prefix), own},
		{below("/"), fallback(d.Ops, ring, d.Now)},
	}
	s, err := host.ListenTLS("requester", c.listen(), h, c.TLS, d.Log)
	if err != nil {
		return nil, err
	}
	return &Requester{s,
		&scheduling{bus: d.Bus, log: d.Log, scheduler: schedule.New(in, d.Bus, timers{d.Bus}, d.Now, d.Log)},
		&commanding{bus: d.Bus, log: d.Log, door: command.New(evaluator, d.Bus, d.Log)}}, nil
}

// handler sends a request to the first door that takes it. http.ServeMux is not used here: it redirects paths that
// are not in its own canonical form, and no door may redirect.
type handler []struct {
	takes func(*http.Request) bool
	http.Handler
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, d := range h {
		if d.takes(r) {
			d.ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

// below takes the paths that have one of the prefixes.
func below(prefixes ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		path := r.URL.EscapedPath()
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path, p) || path+"/" == p })
	}
}

// fallback serves what is no door: operations, and a JSON 404 for everything else.
func fallback(ops http.Handler, ring *access.Ring, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics", "/livez", "/readyz":
			if ops == nil {
				break
			}
			who, err := ring.Bearer(access.FromHeader(r.Header.Get("Authorization")), now())
			if r.URL.Path == "/metrics" && (err != nil || !who.Everywhere() || !who.Holds(metricsPermission)) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, "send the token of who holds "+metricsPermission+" for all projects as Authorization: Bearer", http.StatusUnauthorized)
				return
			}
			ops.ServeHTTP(w, r)
			return
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
func (l eventLog) Follow(ctx context.Context, from uint64, fn func(string, events.Stored) error) error {
	return l.bus.Tail(ctx, events.AllEvents, bus.Start{Seq: from}, ofProject(fn))
}

// FollowProgress implements native.Log.
func (l eventLog) FollowProgress(ctx context.Context, fn func(string, events.Stored) error) error {
	return l.bus.TailProgress(ctx, events.AllProgress, ofProject(fn))
}

// ofProject names the project by its token, as the subject has it. A subject that cannot be read is nobody's.
func ofProject(fn func(string, events.Stored) error) func(string, events.Stored) error {
	return func(subject string, ev events.Stored) error {
		s, err := events.ParseSubject(subject)
		if err != nil {
			return nil //nolint:nilerr // the tracker puts it among the dead letters
		}
		return fn(s.Project, ev)
	}
}

// Replay implements native.Log.
func (l eventLog) Replay(ctx context.Context, project string, start native.Start, fn func(events.Stored) error) (uint64, error) {
	filter, err := events.ProjectFilter(project)
	if err != nil {
		return 0, err
	}
	return l.bus.Replay(ctx, filter, bus.Start{Seq: start.Seq, Time: start.Time}, func(_ string, s events.Stored) error { return fn(s) })
}

// Event implements native.Log. An event's id begins with that of its aggregate and its step (events.md 1.4).
func (l eventLog) Event(ctx context.Context, project, id string) (events.Stored, bool, error) {
	filter, err := events.EventFilter(project, id)
	if err != nil {
		return events.Stored{}, false, nil //nolint:nilerr // what cannot be an id is not there
	}
	var found events.Stored
	_, err = l.bus.Scan(ctx, filter, 1, false, func(_ string, s events.Stored) error {
		if s.ID == id {
			found = s
		}
		return nil
	})
	return found, found.Seq > 0, err
}

// AsOf implements native.Log.
func (l eventLog) AsOf(ctx context.Context, project string, at time.Time) (native.Past, error) {
	return view.AsOf(ctx, l.bus, project, at)
}

// Position implements native.Log.
func (l eventLog) Position(ctx context.Context) (string, uint64, error) {
	s, err := l.bus.State(ctx)
	return s.Epoch, s.Last, err
}

// Whole implements native.Log.
func (l eventLog) Whole(ctx context.Context, now time.Time) (since time.Time, first uint64, err error) {
	s, err := l.bus.State(ctx)
	if err != nil {
		return since, 0, err
	}
	since, first = s.WholeSince(now), s.Last+1
	found := errors.New("found")
	_, err = l.bus.Replay(ctx, events.AllEvents, bus.Start{Time: since}, func(_ string, ev events.Stored) error {
		first = ev.Seq
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return since, first, err
}

// Stopping implements native.Log.
func (l eventLog) Stopping(ctx context.Context) <-chan struct{} { return host.Stopping(ctx) }
