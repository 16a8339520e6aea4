// Package cloudsql is the door that speaks the Cloud SQL Admin API (cloudsql.md): Google's own clients
// work against it by changing only the endpoint.
package cloudsql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Prefixes are the paths that this door serves. Below /v1/ the Spanner API has methods too; no path is of both
// (design.md 5).
var Prefixes = []string{"/sql/", v1}

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Amend(ctx context.Context, c intake.Amend) (intake.Receipt, error)
	Plan(ctx context.Context, c intake.Plan) (events.Schedule, error)
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	// BackupDue is the one that a schedule asked for, or would have, at a due time.
	BackupDue(ctx context.Context, s events.Schedule, due time.Time) (events.Backup, error)
	BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error)
	// Automated are the schedules called so, by the names of their instances; one without has no entry.
	Automated(ctx context.Context, project string, instances ...string) (map[string]events.Schedule, error)
	// Generations are the numbers of the last changes of these schedules, also of those that were removed.
	Generations(ctx context.Context, project string, instances ...string) (map[string]int, error)
	Operation(ctx context.Context, project, id string) (lifecycle.Operation, error)
	Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error)
}

// Config of the door. The zero value works.
type Config struct {
	ServiceAccount string        `yaml:"serviceAccount"` // user of operations whose caller has no name
	Tombstone      time.Duration `yaml:"tombstone"`      // how long a deleted run still answers, default 24 h (PD-3)
	KeepOperations time.Duration `yaml:"keepOperations"` // how long an operation that has ended still answers, default 7 d (PD-19)
	RateLimit      RateLimit     `yaml:"rateLimit"`      // of on-demand backups of an instance (PD-6); default none
	Locations      []string      `yaml:"locations"`      // of backups, beside Google's regions and each instance's own
	TrustForwarded bool          `yaml:"trustForwarded"` // links take the scheme that a proxy in front says in X-Forwarded-Proto
}

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var errs []error
	if err := c.RateLimit.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("rateLimit: %w", err))
	}
	if c.KeepOperations < 0 {
		errs = append(errs, fmt.Errorf("keepOperations: %s is negative", c.KeepOperations))
	}
	if c.Tombstone < 0 {
		errs = append(errs, fmt.Errorf("tombstone: %s is negative", c.Tombstone))
	}
	for n, l := range c.Locations {
		if !locationForm.MatchString(l) {
			errs = append(errs, fmt.Errorf("locations[%d]: a location is lower-case letters, digits and hyphens, first a letter", n))
		}
	}
	return errors.Join(errs...)
}

// Door is the handler of Prefix.
type Door struct {
	intake  Intake
	ring    *access.Ring
	now     func() time.Time
	log     *slog.Logger
	c       Config
	served  []version
	handler http.Handler
}

var _ http.Handler = (*Door)(nil)

// New makes the door. ring says who may do what.
func New(in Intake, ring *access.Ring, now func() time.Time, l *slog.Logger, c Config) *Door {
	if c.ServiceAccount == "" {
		c.ServiceAccount = "backupbus@backupbus.local"
	}
	if c.Tombstone == 0 {
		c.Tombstone = 24 * time.Hour
	}
	if c.KeepOperations == 0 {
		c.KeepOperations = 7 * 24 * time.Hour
	}
	d := &Door{intake: in, ring: ring, now: now, log: l, c: c}
	d.served = d.versions()
	d.handler = gzhttp.GzipHandler(http.HandlerFunc(d.answer))
	return d
}

// route is one method of the API. Its pattern has literal segments and {names}.
type route struct {
	method, pattern string
	permission      string // the vendor's name of it (cloudsql.md 3)
	serve           func(*call) (any, error)
}

// call is one request on a route.
type call struct {
	*http.Request
	path  map[string]string // decoded path parameters
	query url.Values
	who   access.Caller
	links links
}

// ServeHTTP answers every request in JSON, errors and unknown routes included, and never redirects. What is
// large enough is compressed for who asks for it.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

func (d *Door) answer(w http.ResponseWriter, r *http.Request) {
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
	path := r.URL.EscapedPath()
	for _, v := range d.served {
		rest, ok := strings.CutPrefix(path, v.prefix)
		if !ok {
			continue
		}
		for _, rt := range v.routes {
			params, match, err := rt.match(r.Method, strings.Split(rest, "/"))
			if err != nil {
				return nil, err
			}
			if match {
				c := &call{Request: r, path: params, links: links{d.base(r, v.prefix), d.c.ServiceAccount}}
				if err := d.admit(rt, c); err != nil { // before the syntax is looked at (cloudsql.md 3)
					return nil, err
				}
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
				return d.call(rt, c)
			}
		}
	}
	return nil, errNotFound
}

// call reads what all methods have in common (cloudsql.md 2.1), and leaves out what the caller did not select.
func (d *Door) call(rt route, c *call) (any, error) {
	var err error
	if c.query, err = url.ParseQuery(c.URL.RawQuery); err != nil {
		return nil, invalid("the query string is malformed.")
	}
	if alt := c.query.Get("alt"); alt != "" && alt != "json" {
		return nil, invalid("alt must be json.")
	}
	fields, err := parseFields(c.query.Get("fields"))
	if err != nil {
		return nil, err
	}
	answer, err := rt.serve(c)
	if err != nil {
		return nil, err
	}
	return fields.of(answer)
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
func (d *Door) base(r *http.Request, prefix string) string {
	scheme := "http"
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || d.c.TrustForwarded && strings.EqualFold(strings.TrimSpace(first), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host + prefix
}

func escape(segment string) string { return url.PathEscape(segment) }

// NotFound answers a path that is nobody's in this door's form (PD-18): Google's clients expect JSON
// whatever they called.
func NotFound(w http.ResponseWriter, r *http.Request) {
	write(w, r, errNotFound.code, errNotFound.envelope())
}
