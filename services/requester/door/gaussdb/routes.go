// Package gaussdb is the door that speaks the backup API of GaussDB(for MySQL), now TaurusDB (gaussdb.md): Huawei
// Cloud's own clients work against it by changing only the endpoint.
package gaussdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Prefixes are the paths that this door serves: the current one and the historical one (gaussdb.md 1.1).
var Prefixes = []string{current, historical}

const (
	current    = "/v3/"
	historical = "/mysql/v3/"
)

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Plan(ctx context.Context, c intake.Plan) (events.Schedule, error)
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error)
	// Peak is the highest percentage that was told of a backup.
	Peak(ctx context.Context, b events.Backup) int
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	InstanceByGaussDB(ctx context.Context, project, id string) (events.Instance, error)
	// InstanceName is also that of an instance that was deregistered.
	InstanceName(ctx context.Context, project, id string) (string, error)
	Occupation(ctx context.Context, in events.Instance) (intake.Occupation, error)
	Active(ctx context.Context, project, instance string) ([]events.Backup, error)
	Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error)
	Automated(ctx context.Context, project string, instances ...string) (map[string]events.Schedule, error)
	Operation(ctx context.Context, project, id string) (lifecycle.Operation, error)
}

// Door is the handler of Prefixes.
type Door struct {
	intake Intake
	now    func() time.Time
	log    *slog.Logger
	c      Config
	ring   *access.Ring
	locks  locks
	routes []route
}

var _ http.Handler = (*Door)(nil)

// New makes the door. ring says who may do what; on an open one any signature or token is accepted, and none.
func New(in Intake, ring *access.Ring, now func() time.Time, l *slog.Logger, c Config) *Door {
	d := &Door{intake: in, now: now, log: l, c: c, ring: ring}
	d.routes = d.table()
	return d
}

// route is one operation. Its pattern has literal segments and {names}; it follows each of its prefixes.
type route struct {
	method, pattern string
	action          string // the vendor's name of it, which access is granted for (3.5)
	status          int
	serve           func(*call) (any, error)
	currentOnly     bool
}

// table is gaussdb.md 1.1.
func (d *Door) table() []route {
	return []route{
		{http.MethodPost, "{project}/backups/create", "backup:create", http.StatusCreated, d.createBackup, false},
		{http.MethodGet, "{project}/backups", "backup:list", http.StatusOK, d.listBackups, false},
		{http.MethodDelete, "{project}/backups/{backup}", "backup:delete", http.StatusOK, d.deleteBackup, false},
		{http.MethodGet, "{project}/instances/{instance}/backups/policy", "backup:listPolicy", http.StatusOK, d.showPolicy, false},
		{http.MethodPut, "{project}/instances/{instance}/backups/policy/update", "backup:updatePolicy", http.StatusOK, d.updatePolicy, false},
		{http.MethodGet, "{project}/jobs", "task:list", http.StatusOK, d.showJob, false},
		{http.MethodGet, "{project}/instances/{instance}/restore-time", "backup:getRestoreTime", http.StatusOK, d.showRestoreTime, false},
		{http.MethodDelete, "{project}/backups", "backup:delete", http.StatusOK, d.deleteBackups, false},
		{http.MethodGet, "{project}/instances/{instance}", "instance:list", http.StatusOK, d.showInstance, false},
		{http.MethodGet, "{project}/instances/{instance}/backups", "instance:listBackup", http.StatusOK, d.listFull, false},
		{http.MethodGet, "{project}/instances/{instance}/incremental-backups", "instance:listBackup", http.StatusOK, d.listIncremental, false},
		{http.MethodGet, "projects", "", http.StatusOK, d.listProjects, true},
	}
}

// call is one request on a route.
type call struct {
	*http.Request
	id    string // X-Request-Id
	route route
	path  map[string]string // decoded path parameters
	query query
	body  []byte
	who   access.Caller
}

func (c *call) project() string { return c.path["project"] }

func (c *call) caller() intake.Caller {
	return intake.Caller{Door: "gaussdb", Name: c.who.Name(), Trace: events.Trace{Parent: c.Header.Get("traceparent"), State: c.Header.Get("tracestate")}}
}

// ServeHTTP answers every request in JSON with an X-Request-Id, errors and unknown routes included, and never
// redirects (1.2). It checks in the order of gaussdb.md 8: the route first.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, id: requestID()}
	w.Header().Set("X-Request-Id", c.id)
	var err error
	var answer any
	if c.route, c.path, err = d.match(r); err == nil {
		answer, err = d.answer(w, c)
	}
	status := c.route.status
	if err != nil {
		e := convertError(err)
		if e.status >= http.StatusInternalServerError {
			d.failed(c, err)
		}
		if e.again > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(e.again/time.Second)))
		}
		status, answer = e.status, e.envelope(language(r), c.id)
	}
	write(w, status, answer)
}

// failed logs what is no fault of the client, unless that has gone: then nobody waits for an answer. It leaves out the
// query, and whatever else a client may put a secret into.
func (d *Door) failed(c *call, err error) {
	if c.Context().Err() != nil {
		return
	}
	d.log.ErrorContext(c.Context(), "request failed", "door", "gaussdb", "request_id", c.id, "method", c.Method, "route", c.route.pattern, "error", events.Redact(err.Error()))
}

// answer checks who asks and for which project; the rest is the operation's.
func (d *Door) answer(w http.ResponseWriter, c *call) (any, error) {
	if c.ContentLength > maxBody {
		return nil, errTooLarge
	}
	c.Body = http.MaxBytesReader(w, c.Body, maxBody)
	if err := d.admit(c, d.now()); err != nil {
		return nil, err
	}
	if err := may(c.who, c.route.action, c.path); err != nil {
		return nil, err
	}
	if c.query.malformed {
		return nil, errParameter
	}
	return c.route.serve(c)
}

// match finds the route of a path as it came: nothing is cleaned, so a slash at its end makes it another path.
func (d *Door) match(r *http.Request) (route, map[string]string, error) {
	known := false
	for _, prefix := range Prefixes {
		rest, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
		if !ok {
			continue
		}
		segments := strings.Split(rest, "/")
		for _, rt := range d.routes {
			if rt.currentOnly && prefix != current {
				continue
			}
			params, ok := rt.params(segments)
			if ok && rt.method == r.Method {
				return rt, params, nil
			}
			known = known || ok
		}
	}
	if known {
		return route{}, nil, errMethod
	}
	return route{}, nil, errPath
}

func (rt route) params(segments []string) (map[string]string, bool) {
	pattern := strings.Split(rt.pattern, "/")
	if len(pattern) != len(segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, p := range pattern {
		name, isParam := strings.CutPrefix(p, "{")
		if !isParam {
			if p != segments[i] {
				return nil, false
			}
			continue
		}
		v, err := url.PathUnescape(segments[i])
		if err != nil || v == "" {
			return nil, false
		}
		params[strings.TrimSuffix(name, "}")] = v
	}
	return params, true
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
