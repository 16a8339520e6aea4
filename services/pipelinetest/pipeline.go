// Package pipelinetest runs the real pipeline for tests: NATS in process, the real services through their
// New, and one provider whose work a test holds in its Hand.
package pipelinetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/eventstest"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/host"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/requester"
	tracker "github.com/backupbus/backupbus/services/status-tracker"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Patience is how long a test waits for what must come.
const Patience = 60 * time.Second

// Pipeline is requester, executors and tracker over one log, each with its rights on the bus (events.md 4.6). A test in
// which the server refuses one of them something fails.
type Pipeline struct {
	NATS  *bustest.Server
	Bus   *bus.Bus // the test's own: it may do everything
	View  *view.View
	Store view.Store
	Hand  *Hand
	URL   string // of the requester, no slash at the end
	Dir   string

	Token string // for our own API, of who may do everything; empty where the doors are open

	t         testing.TB
	Requester *Service
	Executors *Service
	Tracker   *Service

	config  requester.Config
	request func(*requester.Config) func() (host.Part, error)
}

// Options change what Start runs. The zero value works.
type Options struct {
	Store     view.Store       // default: in memory
	Requester requester.Config // Listen is set
	Executors executors.Config // storages and scratch have defaults
	Openers   map[string]archive.Opener
	Providers []executors.Provider // default: Hand, as provider sqlite
	Engines   bool                 // the providers of this repository in place of Hand
	Further   []string             // with the default: names of further providers that Hand is
	Log       *slog.Logger         // default: the test's
	AckWait   time.Duration
	Today     func() time.Time // the clock of tracker and requester; default time.Now

	// Access closes all doors to who is not granted anything. The pipeline itself holds a token for our own API.
	Access access.Grants
}

// Start runs a pipeline until the test ends; then it validates every event in the log.
func Start(t testing.TB, o Options) *Pipeline {
	t.Helper()
	topology := bus.Topology{AckWait: o.AckWait, Executors: append(executors.Providers(), o.Further...)}
	p := &Pipeline{t: t, NATS: bustest.Guarded(t, topology), Hand: NewHand(), Store: o.Store, Dir: t.TempDir()}
	p.Bus = p.NATS.Connect(t)
	t.Cleanup(func() {
		for _, text := range p.NATS.Refused() {
			t.Errorf("a service lacks a right, or asks for too much: %s", text)
		}
	})
	bustest.Provision(t, p.NATS.ConnectAs(t, bus.ProvisionUser), topology)
	t.Cleanup(func() { p.validate() })
	if p.Store == nil {
		p.Store = view.NewMemory(time.Now)
	}
	state, err := p.Bus.State(p.ctx())
	if err != nil {
		t.Fatal(err)
	}
	p.View = view.New(p.Store, state.ViewShards)
	if o.Providers == nil && !o.Engines {
		for _, name := range append([]string{"sqlite"}, o.Further...) {
			o.Providers = append(o.Providers, executors.Provider{Name: name, Capabilities: executor.Capabilities{PollEvery: 20 * time.Millisecond},
				Open: func(context.Context, executors.Shared) (executors.Opened, error) {
					return p.Hand, nil
				}})
		}
		if len(o.Further) > 0 {
			o.Requester.Providers = append([]string{"sqlite"}, o.Further...)
		}
	}
	if o.Executors.Storages == nil {
		o.Executors.Storages = map[string]string{"default": "file://" + p.Dir + "/backups"}
	}
	if o.Executors.Scratch == "" {
		o.Executors.Scratch = p.Dir + "/scratch"
	}
	if o.Executors.Backoff == nil {
		o.Executors.Backoff = []time.Duration{time.Millisecond}
	}
	o.Requester.Listen = "127.0.0.1:0"
	if len(o.Access) > 0 {
		o.Access = append(slices.Clone(o.Access), p.ownAccess())
	}
	log := o.Log
	if log == nil {
		log = Logger(t)
	}
	if o.Today == nil {
		o.Today = time.Now
	}
	as := func(user string) *bus.Bus { return p.NATS.ConnectAs(t, user) }
	track, execute, request := as(bus.TrackerUser), as(bus.ExecutorsUser), as(bus.RequesterUser)
	p.Tracker = p.service(func() (host.Part, error) {
		return tracker.New(tracker.Deps{Bus: track, View: p.View, Log: log, Metrics: prometheus.NewRegistry(), Now: o.Today, LogNow: o.Today}, tracker.Config{})
	})
	p.Executors = p.service(func() (host.Part, error) {
		return executors.New(context.Background(), executors.Deps{Bus: execute, Log: log, Now: time.Now, Providers: o.Providers, Openers: o.Openers}, o.Executors)
	})
	p.request = func(c *requester.Config) func() (host.Part, error) {
		return func() (host.Part, error) {
			r, err := requester.New(requester.Deps{Bus: request, View: p.View, Log: log, Now: o.Today, Version: "test", Access: o.Access}, *c)
			if err == nil {
				c.Listen = r.Addr() // a restart serves the same address
			}
			return r, err
		}
	}
	p.config = o.Requester
	p.Requester = p.service(p.request(&o.Requester))
	p.URL = "http://" + o.Requester.Listen
	return p
}

// Replica runs a second requester beside the first, and gives its address like URL.
func (p *Pipeline) Replica() (*Service, string) {
	p.t.Helper()
	c := p.config
	s := p.service(p.request(&c))
	return s, "http://" + c.Listen
}

// Service is a part that a test may stop and start again.
type Service struct {
	t     testing.TB
	build func() (host.Part, error)
	mu    sync.Mutex
	stop  func()

	stopping sync.Mutex
}

func (p *Pipeline) service(build func() (host.Part, error)) *Service {
	s := &Service{t: p.t, build: build}
	s.Start()
	p.t.Cleanup(s.Stop)
	return s
}

// Start runs the part and waits until it is ready.
func (s *Service) Start() {
	s.t.Helper()
	part, err := s.build()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- host.Run(ctx, host.Config{Log: slog.New(slog.DiscardHandler)}, func() { close(ready) }, part)
	}()
	s.mu.Lock()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("%s: %v", part.Name(), err)
		}
	}
	s.mu.Unlock()
	select {
	case <-ready:
	case err := <-done:
		s.t.Fatalf("%s did not start: %v", part.Name(), err)
	case <-time.After(Patience):
		s.t.Fatalf("%s is not ready", part.Name())
	}
}

// Stop ends the part and waits for it, also if somebody else is at it. Stopping twice is harmless.
func (s *Service) Stop() {
	s.stopping.Lock()
	defer s.stopping.Unlock()
	s.mu.Lock()
	stop := s.stop
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (p *Pipeline) ctx() context.Context { return p.t.Context() }

// ownAccess is a grant to the pipeline itself.
func (p *Pipeline) ownAccess() access.Grant {
	p.t.Helper()
	p.Token = "pipeline-" + events.FreshKey()
	file := filepath.Join(p.Dir, "token")
	if err := os.WriteFile(file, []byte(p.Token), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return access.Grant{Name: "pipelinetest", TokenRef: "file:" + file, Projects: []string{access.Everything}, Permissions: []string{"*"}}
}

// Register makes an instance known.
func (p *Pipeline) Register(project, instance string) {
	p.t.Helper()
	p.RegisterAs(project, instance, "sqlite", `{"engine":"sqlite","region":"eu","file":"`+p.Dir+`/`+instance+`.db"}`)
}

// RegisterAs makes an instance of a provider known, with its configuration as JSON.
func (p *Pipeline) RegisterAs(project, instance, provider, config string) {
	p.t.Helper()
	code, body := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/instances",
		`{"provider":"`+provider+`","instance":"`+instance+`","config":`+config+`}`)
	if code != http.StatusOK {
		p.t.Fatalf("register %s: %d %s", instance, code, body)
	}
}

// Call sends a request, with a JSON body if there is one, and returns the answer. Our own API is called as who may do
// everything.
func (p *Pipeline) Call(method, path, body string) (int, []byte) {
	p.t.Helper()
	var header http.Header
	if p.Token != "" && strings.HasPrefix(path, "/api/") {
		header = http.Header{"Authorization": {"Bearer " + p.Token}}
	}
	code, _, b := p.CallHeaders(method, path, body, header)
	return code, b
}

// CallHeaders is Call with headers both ways.
func (p *Pipeline) CallHeaders(method, path, body string, header http.Header) (int, http.Header, []byte) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, p.URL+path, bytes.NewBufferString(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := noRedirects.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// JSON is Call for an answer that must be 2xx and is read into a T.
func JSON[T any](p *Pipeline, method, path, body string) T {
	p.t.Helper()
	code, b := p.Call(method, path, body)
	var v T
	if code/100 != 2 {
		p.t.Fatalf("%s %s: %d %s", method, path, code, b)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		p.t.Fatalf("%s %s: %v in %s", method, path, err, b)
	}
	return v
}

// Await follows the project's events until one of a backup or restore has that step, and returns it.
func (p *Pipeline) Await(project, aggregate string, steps ...events.Step) events.Stored {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	filter, err := events.ProjectFilter(project)
	if err != nil {
		p.t.Fatal(err)
	}
	var found events.Stored
	err = p.Bus.Tail(ctx, filter, bus.Start{Seq: 1}, func(_ string, s events.Stored) error {
		for _, step := range steps {
			if s.PartitionKey == aggregate && s.Step() == step {
				found = s
				return io.EOF
			}
		}
		return nil
	})
	if found.ID == "" {
		var there []string
		for _, s := range p.scan(filter) {
			there = append(there, s.ID)
		}
		p.t.Fatalf("%s of %s did not come: %v; the log has %v", steps, aggregate, err, there)
	}
	if err := p.View.Passed(ctx, project, found.Seq); err != nil {
		p.t.Fatalf("%s is not in the view: %v", found.ID, err)
	}
	return found
}

// Events are all events of a project so far.
func (p *Pipeline) Events(project string) []events.Stored {
	p.t.Helper()
	filter, err := events.ProjectFilter(project)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.scan(filter)
}

func (p *Pipeline) scan(filter string) []events.Stored {
	var all []events.Stored
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := p.Bus.Scan(ctx, filter, 1, false, func(_ string, s events.Stored) error {
		all = append(all, s)
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	return all
}

// validate holds everything that was emitted against the published schemas.
func (p *Pipeline) validate() {
	if p.t.Failed() {
		return
	}
	for _, root := range []string{events.EventRoot, events.ProgressRoot} {
		for _, s := range p.scan(root + ".>") {
			eventstest.Valid(p.t, s.Event)
		}
	}
}

// Logger writes to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
