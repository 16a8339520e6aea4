// Package api serves the notifier's own part of the native API: subscriptions, their deliveries, replays and tests
// (events.md 7.1, 7.5, 7.11) under /api/v1/projects/{project}/subscriptions. The requester forwards to it, so that
// users see one API.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// Backend is what the API stands on, besides the store.
type Backend interface {
	// Judge accepts or refuses a sink, and returns what events may tell of it; the error says what to write instead.
	Judge(raw string) (origin string, err error)
	// Ask asks the sink for permission and notes the answer in d.
	Ask(ctx context.Context, d *subscription.Document) error
	// Health is what was last stored of a subscription's deliveries.
	Health(ctx context.Context, id string) (delivery.Health, error)
	// InFlight are the deliveries whose request runs in this process.
	InFlight(subscriptionID string) map[string]bool
	// Deliveries calls fn for every record, in the order of their last changes, from a place in the log on.
	Deliveries(ctx context.Context, project, subscriptionID string, from uint64, fn func(*delivery.Record) error) error
	// Replay has the active notifier send events again. It returns when the request is stored.
	Replay(ctx context.Context, r Replay) error
	// Test sends a test event once.
	Test(ctx context.Context, d subscription.Document) (delivery.Attempt, error)
}

// Config of the API. The zero value works.
type Config struct {
	MaxPerProject int // default 50
}

// API is the handler. Safe for concurrent use.
type API struct {
	store   *subscription.Store
	backend Backend
	ring    *access.Ring
	now     func() time.Time
	log     *slog.Logger
	most    int
	tests   limiter
}

var _ http.Handler = (*API)(nil)

const defaultMost = 50

// New makes the handler. ring says who may do what.
func New(s *subscription.Store, b Backend, ring *access.Ring, now func() time.Time, log *slog.Logger, c Config) *API {
	if c.MaxPerProject <= 0 {
		c.MaxPerProject = defaultMost
	}
	return &API{store: s, backend: b, ring: ring, now: now, log: log, most: c.MaxPerProject, tests: limiter{now: now}}
}

const prefix = "/api/v1/projects/"

var idForm = regexp.MustCompile(`^su_[a-z2-7]{26}$`)

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	part := strings.Split(rest, "/")
	if !ok || len(part) < 2 || len(part) > 4 || part[1] != "subscriptions" {
		a.refuse(w, r, notFound("no such method"))
		return
	}
	project, err := url.PathUnescape(part[0])
	project = norm.NFC.String(project)
	if err != nil || project == "" || len(project) > 100 {
		a.refuse(w, r, invalid("the project's name has to be 1 to 100 bytes"))
		return
	}
	if _, err := events.Token(project); err != nil {
		a.refuse(w, r, invalid("the project's name is not UTF-8"))
		return
	}
	if len(part) == 2 {
		a.dispatch(w, r, map[string]method{http.MethodPost: {"subscriptions.create", a.create}, http.MethodGet: {"subscriptions.list", a.list}}, call{project: project})
		return
	}
	id, verb, _ := strings.Cut(part[2], ":")
	if !idForm.MatchString(id) || verb != "" && len(part) == 4 {
		a.refuse(w, r, notFound("there is no subscription of that id"))
		return
	}
	c := call{project, id}
	switch {
	case len(part) == 4 && part[3] == "deliveries":
		a.dispatch(w, r, map[string]method{http.MethodGet: {"deliveries.list", a.deliveries}}, c)
	case len(part) == 4:
		a.refuse(w, r, notFound("no such method"))
	case verb == "":
		a.dispatch(w, r, map[string]method{http.MethodGet: {"subscriptions.get", a.get}, http.MethodPatch: {"subscriptions.update", a.patch}, http.MethodDelete: {"subscriptions.delete", a.delete}}, c)
	case verb == "rotateSecret":
		a.dispatch(w, r, map[string]method{http.MethodPost: {"subscriptions.rotateSecret", a.rotate}}, c)
	case verb == "replay":
		a.dispatch(w, r, map[string]method{http.MethodPost: {"subscriptions.replay", a.replay}}, c)
	case verb == "test":
		a.dispatch(w, r, map[string]method{http.MethodPost: {"subscriptions.test", a.test}}, c)
	default:
		a.refuse(w, r, notFound("no such method"))
	}
}

// call is what the path of a request names.
type call struct{ project, id string }

// handler does one call; it writes the answer, or returns a problem.
type handler func(w http.ResponseWriter, r *http.Request, c call) error

// method is a handler with what its caller has to hold, after backupbus.
type method struct {
	permission string
	serve      handler
}

func (a *API) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]method, c call) {
	m, ok := methods[r.Method]
	if !ok {
		var allowed []string
		for name := range methods {
			allowed = append(allowed, name)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		a.refuse(w, r, &problem{Status: http.StatusMethodNotAllowed, Reason: "METHOD_NOT_ALLOWED", Detail: "this path has other methods"})
		return
	}
	if err := a.admit(w, r, "backupbus."+m.permission, c.project); err != nil {
		a.refuse(w, r, err)
		return
	}
	if err := m.serve(w, r, c); err != nil {
		a.refuse(w, r, err)
	}
}
