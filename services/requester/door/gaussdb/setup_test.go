package gaussdb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// What the door answers, as a client reads it.

type shown struct {
	ID, Name, Description, Status, Type, Size string
	BeginTime                                 string  `json:"begin_time"`
	EndTime                                   *string `json:"end_time"`
	TakeUpTime                                int     `json:"take_up_time"`
	Datastore                                 struct{ Type, Version string }
	InstanceID                                string  `json:"instance_id"`
	InstanceName                              string  `json:"instance_name"`
	Level                                     *string `json:"backup_level"`
}

// UnmarshalJSON reads the size as it is written.
func (s *shown) UnmarshalJSON(b []byte) error {
	type plain shown
	aux := struct {
		*plain
		Size json.Number
	}{plain: (*plain)(s)}
	err := json.Unmarshal(b, &aux)
	s.Size = aux.Size.String()
	return err
}

type created struct {
	Backup shown
	JobID  string `json:"job_id"`
}

type listed struct {
	Backups    []shown
	TotalCount int `json:"total_count"`
}

type jobAnswer struct {
	Job struct {
		ID, Name, Status, Created, Ended, Process string
		Instance                                  struct{ ID, Name string }
		FailReason                                string `json:"fail_reason"`
	}
}

type refusal struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

const (
	project = "0483b6b16e954cb88930a360d2c4e663"
	other   = "97b026aa9cc4417888c14c84a1ad9860"
)

func path(parts ...string) string { return "/v3/" + project + "/" + strings.Join(parts, "/") }

// settings are those of the door, and who may do what at it.
type settings struct {
	gaussdb.Config
	Access access.Grants
}

// setup runs the pipeline with instances of the project.
func setup(t *testing.T, c settings, instances ...string) *pipelinetest.Pipeline {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Options{Requester: requester.Config{GaussDB: c.Config}, Access: c.Access})
	for _, i := range instances {
		p.Register(project, i)
	}
	return p
}

// gaussID is the id of an instance that the door shows.
func gaussID(t testing.TB, project, name string) string {
	t.Helper()
	id, err := events.InstanceID(project, "sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	return events.GaussInstanceID(id)
}

func body(t testing.TB, instance, name, description string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"instance_id": gaussID(t, project, instance), "name": name, "description": description})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func create(t *testing.T, p *pipelinetest.Pipeline, instance, name string) created {
	t.Helper()
	return pipelinetest.JSON[created](p, http.MethodPost, path("backups", "create"), body(t, instance, name, ""))
}

func list(p *pipelinetest.Pipeline, query string) listed {
	return pipelinetest.JSON[listed](p, http.MethodGet, path("backups")+"?"+query, "")
}

// ours is the bus's id of a backup.
func ours(t *testing.T, p *pipelinetest.Pipeline, id string) string {
	t.Helper()
	b, err := p.View.BackupByGaussDB(t.Context(), project, id)
	if err != nil {
		t.Fatal(err)
	}
	return b.BackupID
}

// finish ends the work of a backup and waits until that is seen.
func finish(t *testing.T, p *pipelinetest.Pipeline, id string, failure error) {
	t.Helper()
	bk := ours(t, p, id)
	p.Hand.Finish(bk, failure)
	p.Await(project, bk, events.Succeeded, events.Failed)
}

func made(t *testing.T, p *pipelinetest.Pipeline, instance, name string) created {
	t.Helper()
	c := create(t, p, instance, name)
	finish(t, p, c.Backup.ID, nil)
	return c
}

// refused sends a request that has to be refused with a status and a code, in the form of gaussdb.md 5.1.
func refused(t *testing.T, p *pipelinetest.Pipeline, method, path, body string, status int, code string) refusal {
	t.Helper()
	got, header, raw := p.CallHeaders(method, path, body, nil)
	return asRefusal(t, method+" "+path, got, header, raw, status, code)
}

func asRefusal(t *testing.T, what string, got int, header http.Header, raw []byte, status int, code string) refusal {
	t.Helper()
	var e refusal
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("%s: %d, not JSON: %s", what, got, raw)
	}
	if got != status || e.Code != code {
		t.Errorf("%s: %d %s %q, want %d %s", what, got, e.Code, e.Message, status, code)
	}
	if e.Message == "" || header.Get("X-Request-Id") == "" || !strings.HasPrefix(header.Get("Content-Type"), "application/json") ||
		strings.HasPrefix(e.Code, "APIGW.") != (e.RequestID == header.Get("X-Request-Id")) {
		t.Errorf("%s: answer is not in itself right: %v %s", what, header, raw)
	}
	return e
}

// world is a door over a view that a test fills itself, with a clock of its own.
type world struct {
	t    testing.TB
	door *gaussdb.Door
	view *view.View
	now  time.Time
	seq  uint64
	log  bytes.Buffer // what the door has logged
}

func newWorld(t testing.TB, c settings, env map[string]string) *world {
	t.Helper()
	return newWorldOver(t, view.NewMemory(time.Now), nil, c, env)
}

func newWorldOver(t testing.TB, store view.Store, appends intake.Log, c settings, env map[string]string) *world {
	t.Helper()
	w := &world{t: t, view: view.New(store, 4), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	log := slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ring, err := access.Open(c.Access, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	w.door = gaussdb.New(intake.New(appends, w.view, time.Now, log, intake.Config{}), ring, func() time.Time { return w.now }, log, c.Config)
	return w
}

func (w *world) save(entity events.Entity, id, project string, state events.State, record any) {
	w.t.Helper()
	w.seq++
	change := stored(w.t, entity, id, project, state, record)
	before, err := w.view.Load(context.Background(), []view.Key{change.After.Key})
	if err != nil {
		w.t.Fatal(err)
	}
	change.Before = before[0]
	if err := w.view.Save(context.Background(), []view.Change{change}, view.Checkpoint{Epoch: "e", Seq: w.seq}); err != nil {
		w.t.Fatal(err)
	}
}

func stored(t testing.TB, entity events.Entity, id, project string, state events.State, record any) view.Change {
	t.Helper()
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	key := view.Key{Project: project, Entity: entity, ID: id}
	return view.Change{Before: view.Doc{Key: key}, After: view.Doc{Key: key, Head: lifecycle.Head{Sequence: 3, State: state}, Seq: 1, Data: data}}
}

// instance is one of the project, of provider sqlite.
func (w *world) instance(project, name string) events.Instance {
	w.t.Helper()
	id, err := events.InstanceID(project, "sqlite", name)
	if err != nil {
		w.t.Fatal(err)
	}
	i := events.Instance{Project: project, InstanceID: id, Provider: "sqlite", Instance: name, IDs: events.InstanceIDs{GaussDB: events.GaussInstanceID(id)}}
	w.save(events.Instances, id, project, lifecycle.Present, i)
	return i
}

// backup is one that succeeded, as change leaves it.
func (w *world) backup(project, instance string, n int, change func(*events.Backup)) events.Backup {
	w.t.Helper()
	id := fmt.Sprintf("bk_%s_%s_%d", project[:4], instance, n)
	at, size := w.now.Add(time.Duration(n)*time.Second), int64(4096)
	b := events.Backup{BackupID: id, Project: project, Provider: "sqlite", Instance: instance, Engine: "mysql", EngineVersion: "8.0.35", Name: fmt.Sprintf("name-%d", n),
		Trigger: events.OnDemand, Door: "gaussdb", IDs: events.NewBackupIDs(id, "", at), State: lifecycle.Successful, MaxAttempts: 3, Attempt: 1,
		EnqueuedTime: events.At(at), StartTime: events.At(at), EndTime: events.At(at.Add(time.Minute)), Proof: events.ProofChecked, SizeBytes: &size}
	if change != nil {
		change(&b)
	}
	w.save(events.Backups, id, project, b.State, b)
	return b
}

func (w *world) do(method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for k, v := range header {
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	return rec
}

// doUnsized sends a body whose length the request does not say.
func (w *world) doUnsized(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, io.MultiReader(strings.NewReader(body)))
	r.ContentLength = -1
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	return rec
}

func get[T any](w *world, path string) T {
	w.t.Helper()
	rec := w.do(http.MethodGet, path, "", nil)
	var v T
	if err := json.Unmarshal(rec.Body.Bytes(), &v); rec.Code != http.StatusOK || err != nil {
		w.t.Fatalf("GET %s: %d %s, %v", path, rec.Code, rec.Body, err)
	}
	return v
}
