// Package cloudsql is the door that speaks the Cloud SQL Admin API (cloudsql.md): Google's own clients
// work against it by changing only the endpoint.
package cloudsql

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Prefix is the path that this door serves.
const Prefix = "/sql/"

const v1beta4 = "/sql/v1beta4/"

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error)
	Operation(ctx context.Context, project, id string) (lifecycle.Operation, error)
	Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error)
}

// Config of the door. The zero value works.
type Config struct {
	ServiceAccount string        `yaml:"serviceAccount"` // user of operations whose caller has no name
	Tombstone      time.Duration `yaml:"tombstone"`      // how long a deleted run still answers, default 24 h (PD-3)
}

// Door is the handler of Prefix.
type Door struct {
	intake Intake
	now    func() time.Time
	log    *slog.Logger
	c      Config
	routes []route
}

var _ http.Handler = (*Door)(nil)

// New makes the door.
func New(in Intake, now func() time.Time, l *slog.Logger, c Config) *Door {
	if c.ServiceAccount == "" {
		c.ServiceAccount = "backupbus@backupbus.local"
	}
	if c.Tombstone == 0 {
		c.Tombstone = 24 * time.Hour
	}
	d := &Door{intake: in, now: now, log: l, c: c}
	d.routes = []route{
		{http.MethodPost, "projects/{project}/instances/{instance}/backupRuns", d.insertRun},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns", d.listRuns},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns/{id}", d.getRun},
		{http.MethodDelete, "projects/{project}/instances/{instance}/backupRuns/{id}", d.deleteRun},
		{http.MethodGet, "projects/{project}/operations/{operation}", d.getOperation},
		{http.MethodGet, "projects/{project}/operations", d.listOperations},
		{http.MethodGet, "projects/{project}/instances/{instance}", d.getInstance},
		{http.MethodGet, "projects/{project}/instances", d.listInstances},
	}
	return d
}

// route is one method of the API. Its pattern has literal segments and {names}.
type route struct {
	method, pattern string
	serve           func(*call) (any, error)
}

// call is one request on a route.
type call struct {
	*http.Request
	path  map[string]string // decoded path parameters
	query url.Values
	links links
}

// ServeHTTP answers every request in JSON, errors and unknown routes included, and never redirects.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := d.serve(w, r)
	if err != nil {
		e := convertError(err)
		if e.code >= http.StatusInternalServerError {
			d.log.ErrorContext(r.Context(), "request failed", "door", "cloudsql", "path", r.URL.Path, "error", err.Error())
		}
		write(w, r, e.code, e.envelope())
		return
	}
	write(w, r, http.StatusOK, answer)
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), v1beta4)
	if !ok {
		return nil, errNotFound
	}
	segments := strings.Split(rest, "/")
	for _, rt := range d.routes {
		params, match, err := rt.match(r.Method, segments)
		if err != nil {
			return nil, err
		}
		if !match {
			continue
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, invalid("the query string is malformed.")
		}
		if alt := query.Get("alt"); alt != "" && alt != "json" {
			return nil, invalid("alt must be json.")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		return rt.serve(&call{r, params, query, links{base(r), d.c.ServiceAccount}})
	}
	return nil, errNotFound
}

func (rt route) match(method string, segments []string) (map[string]string, bool, error) {
	pattern := strings.Split(rt.pattern, "/")
	if method != rt.method || len(pattern) != len(segments) {
		return nil, false, nil
	}
	params := map[string]string{}
	for i, p := range pattern {
		name, isParam := strings.CutPrefix(p, "{")
		if !isParam {
			if p != segments[i] {
				return nil, false, nil
			}
			continue
		}
		v, err := url.PathUnescape(segments[i])
		if err != nil || v == "" {
			return nil, false, errNotFound
		}
		params[strings.TrimSuffix(name, "}")] = v
	}
	return params, true, nil
}

// base is scheme, host and prefix that the client called.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + v1beta4
}

func escape(segment string) string { return url.PathEscape(segment) }

// NotFound answers a path that is nobody's in this door's form (PD-18): Google's clients expect JSON
// whatever they called.
func NotFound(w http.ResponseWriter, r *http.Request) {
	write(w, r, errNotFound.code, errNotFound.envelope())
}
