// Package native is the door of our own API (events.md 5.4, 6.2) under /api/v1: instances, schedules,
// backups, restores and the event stream. Its OpenAPI 3.1 document is made from the Go types here and served at
// /api/openapi.json.
package native

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Prefix is the path that this door serves.
const Prefix = "/api/"

const project = "/v1/projects/{project}"

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Deregister(ctx context.Context, c intake.Deregister) (events.Instance, error)
	Apply(ctx context.Context, c intake.Apply) (events.Instance, string, error)
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error)
	Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error)
	Plan(ctx context.Context, c intake.Plan) (events.Schedule, error)
	DeleteSchedule(ctx context.Context, c intake.Unplan) (events.Schedule, error)
	ScheduleByID(ctx context.Context, project, id string) (events.Schedule, error)
	Schedules(ctx context.Context, project, instance, cursor string, limit int) ([]events.Schedule, string, error)
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Cancel(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Verify(ctx context.Context, c intake.Change, method string) (intake.Receipt, error)
	Amend(ctx context.Context, c intake.Amend) (intake.Receipt, error)
	Restore(ctx context.Context, c intake.Restore) (intake.RestoreReceipt, error)
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Progress(ctx context.Context, b events.Backup) (events.Progress, bool)
	RestoreProgress(ctx context.Context, r events.Restore) (events.Progress, bool)
	RestoreByID(ctx context.Context, project, id string) (events.Restore, error)
}

// Config of the door. The zero value works.
type Config struct {
	Version string // shown in the OpenAPI document
}

// Door is the handler of Prefix.
type Door struct {
	intake   Intake
	log      Log
	commands Commands
	dead     DeadLetters
	streams  streams
	reading  reading
	live     *live
	history  history
	now      func() time.Time
	slog     *slog.Logger
	ring     *access.Ring
	api      *huma.OpenAPI
	http     http.Handler
}

var _ http.Handler = (*Door)(nil)

// New makes the door; ring says who may do what, log is what the event stream reads from.
func New(in Intake, ring *access.Ring, log Log, commands Commands, dead DeadLetters, now func() time.Time, l *slog.Logger, c Config) *Door {
	d := &Door{intake: in, ring: ring, log: log, commands: commands, dead: dead, streams: streams{project: map[string]int{}, caller: map[string]int{}}, reading: make(reading, maxReading), live: &live{log: log, slog: l}, now: now, slog: l}
	mux := http.NewServeMux()
	conf := huma.DefaultConfig("backupbus", c.Version)
	conf.DocsPath = "" // its page loads scripts from elsewhere
	conf.SchemasPath = ""
	conf.CreateHooks = nil // no $schema member in bodies
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	conf.Security = []map[string][]string{{"token": {}}, {}} // or none, where the settings grant nothing
	conf.Servers = []*huma.Server{{URL: "/api"}}
	conf.Transformers = []huma.Transformer{d.problems}
	api := huma.NewAPI(conf, verbs{humago.NewAdapter(mux, "")})
	api.UseMiddleware(d.admit)
	d.api = api.OpenAPI()
	d.instances(api)
	d.health(api)
	d.schedules(api)
	d.backups(api)
	d.restores(api)
	d.events(api)
	d.postEvents(api)
	d.deadLetters(api)
	subscriptions(api)
	mux.HandleFunc("/", unknown)
	d.http = http.StripPrefix("/api", splitVerb(mux))
	return d
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.http.ServeHTTP(w, r) }

// verbs lets operations have paths such as /backups/{id}:cancel, which http.ServeMux cannot match: it
// registers them with the verb as a segment of its own, and splitVerb makes requests look the same.
type verbs struct{ huma.Adapter }

func (v verbs) Handle(op *huma.Operation, handler func(huma.Context)) {
	inner := *op
	inner.Path = strings.Replace(op.Path, "}:", "}/:", 1)
	v.Adapter.Handle(&inner, handler)
}

func splitVerb(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		if strings.Contains(path, "//") || strings.Contains(path, "/./") || strings.Contains(path, "/../") {
			unknown(w, r) // the mux would redirect to a path without our prefix
			return
		}
		slash := strings.LastIndexByte(path, '/')
		if colon := strings.LastIndexByte(path, ':'); r.Method == http.MethodPost && colon > slash+1 {
			again := r.Clone(r.Context())
			again.URL.RawPath = path[:colon] + "/" + path[colon:]
			again.URL.Path = r.URL.Path[:strings.LastIndexByte(r.URL.Path, ':')] + "/" + path[colon:]
			r = again
		}
		next.ServeHTTP(w, r)
	})
}

func caller(ctx context.Context, key, digest string, t Traced) intake.Caller {
	return intake.Caller{Door: "native", Name: access.From(ctx).Name(), Key: key, Digest: digest, Trace: events.Trace{Parent: t.TraceParent, State: t.TraceState}}
}

// Traced are the headers that carry the caller's trace into every event.
type Traced struct {
	TraceParent string `header:"traceparent" doc:"W3C trace context" pattern:"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$" required:"false"`
	TraceState  string `header:"tracestate" maxLength:"512" required:"false"`
}

// InProject, Traced, Paged and Keyed are embedded in inputs; huma fills exported types only.
//
// InProject is the tenant of a request.
type InProject struct {
	Project string `path:"project" maxLength:"100" doc:"project, the tenant"`
}

// Paged asks for one page of a list.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"512" doc:"nextCursor of the page before"`
}
