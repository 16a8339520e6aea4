package executors_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/requester"
)

// held is an engine whose stream and proof wait for the test.
type held struct {
	reading, proving, refused chan string   // the instance whose stream, or proof, has begun, or that was held back
	read, proved              chan struct{} // lets one go on
}

func newHeld() *held {
	return &held{make(chan string, 9), make(chan string, 9), make(chan string, 99), make(chan struct{}), make(chan struct{})}
}

// heldExecutor is the real one, and tells whom it holds back.
type heldExecutor struct {
	*engine.Executor
	h *held
}

func (x heldExecutor) Admit(j executor.Job) (func(), bool) {
	leave, ok := x.Executor.Admit(j)
	if !ok {
		x.h.refused <- j.Instance
	}
	return leave, ok
}

func (h *held) provider() executors.Provider {
	return executors.Provider{Name: "mysql", Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond, Local: true},
		Open: func(_ context.Context, s executors.Shared) (executors.Opened, error) {
			x, err := engine.New("mysql", h, s.Engine)
			return heldExecutor{x, h}, err
		}}
}

func (h *held) Prepare(_ context.Context, j executor.Job) (engine.Source, error) {
	return &heldSource{h, j.Instance}, nil
}

func (h *held) Prove(ctx context.Context, _ events.Proof, c engine.Copy) (engine.Loaded, error) {
	h.proving <- c.Manifest.Instance
	select {
	case <-h.proved:
	case <-ctx.Done():
		return engine.Loaded{}, ctx.Err()
	}
	for _, o := range c.Manifest.Objects {
		if err := c.Unpack(ctx, o, io.Discard); err != nil {
			return engine.Loaded{}, err
		}
	}
	return engine.Loaded{}, nil
}

func (h *held) Restore(context.Context, executor.RestoreJob, engine.Copy) error { return nil }

func (h *held) RecoverRestore(context.Context, executor.RestoreJob) error { return nil }

type heldSource struct {
	h        *held
	instance string
}

func (s *heldSource) Parts() []engine.Part {
	return []engine.Part{{Name: "dump", Stream: func(ctx context.Context, w io.Writer) (archive.Content, error) {
		s.h.reading <- s.instance
		select {
		case <-s.h.read:
		case <-ctx.Done():
			return archive.Content{}, ctx.Err()
		}
		_, err := io.WriteString(w, "rows")
		return archive.Content{}, err
	}}}
}

func (s *heldSource) About() engine.About { return engine.About{Kind: engine.Logical} }

func (s *heldSource) Close() error { return nil }

// enlist registers instances of one server, whose storages are named.
func enlist(t *testing.T, p *pipelinetest.Pipeline, addresses, storages map[string]string) {
	t.Helper()
	for name, address := range addresses {
		code, body := p.Call(http.MethodPost, "/api/v1/projects/shop/instances",
			`{"provider":"mysql","instance":"`+name+`","config":{"address":"`+address+`","user":"backup","credentialRef":"env:X","storage":"`+storages[name]+`"}}`)
		if code >= http.StatusBadRequest {
			t.Fatalf("register %s: %d %s", name, code, body)
		}
	}
}

// TestLimits_HoldBackTheFirstAttemptToo drives the real runner over a real engine.
func TestLimits_HoldBackTheFirstAttemptToo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		limits   executors.Limits
		storages map[string]string
		until    func(h *held) // the second may begin after it
	}{
		{"server, until it is read", executors.Limits{PerServer: 1}, map[string]string{"a": "one", "b": "two"}, func(h *held) {
			h.read <- struct{}{}
			<-h.proving // its proof has not ended, and the server is free
		}},
		{"all, until the end", executors.Limits{Total: 1}, map[string]string{"a": "one", "b": "two"}, func(h *held) {
			h.read <- struct{}{}
			<-h.proving
			h.proved <- struct{}{}
		}},
		{"storage, until the end", executors.Limits{PerStorage: 1}, map[string]string{"a": "one", "b": "one"}, func(h *held) {
			h.read <- struct{}{}
			<-h.proving
			h.proved <- struct{}{}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHeld()
			dir := t.TempDir()
			p := setup(t, pipelinetest.Options{Requester: requester.Config{Providers: []string{"mysql"}},
				Providers: []executors.Provider{h.provider()}, Executors: executors.Config{
					Limits:   c.limits,
					Storages: map[string]string{"one": "file://" + filepath.Join(dir, "one"), "two": "file://" + filepath.Join(dir, "two")},
				}})
			enlist(t, p, map[string]string{"a": "DB1.example.com:5432", "b": "db1.example.com.:5432"}, c.storages)
			first := create(p, "a")
			if got := <-h.reading; got != "a" {
				t.Fatal(got)
			}
			second := create(p, "b")
			select {
			case <-h.refused:
			case got := <-h.reading:
				t.Fatalf("%s is read beside another that has its place", got)
			}
			if b := get(p, second); b.State != "ENQUEUED" {
				t.Errorf("%+v", b)
			}
			c.until(h)
			if got := <-h.reading; got != "b" {
				t.Fatal(got)
			}
			close(h.read)
			close(h.proved)
			p.Await("shop", first, events.Succeeded)
			p.Await("shop", second, events.Succeeded)
		})
	}
}

// stoppable keeps its copy when it is stopped, as work does whose first copy is complete.
type stoppable struct{ *pipelinetest.Hand }

func (s *stoppable) Stop(_ context.Context, r executor.Ref) (bool, error) {
	s.Finish(strings.TrimPrefix(r.BackupName, "hand:"), nil)
	return true, nil
}

func TestAttempt_ThatHasToEndWithACompleteCopy_IsSuccessful(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config executors.Config
		end    func(p *pipelinetest.Pipeline)
	}{
		"deadline": {executors.Config{Deadline: 50 * time.Millisecond}, func(*pipelinetest.Pipeline) {}},
		"stop":     {executors.Config{}, func(p *pipelinetest.Pipeline) { p.Executors.Stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stoppable{pipelinetest.NewHand()}
			p := setup(t, pipelinetest.Options{Executors: c.config, Providers: []executors.Provider{{Name: "sqlite",
				Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond, Local: true},
				Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return s, nil }}}}, "a")
			id := create(p, "a")
			if err := s.Started(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			c.end(p)
			p.Await("shop", id, events.Succeeded)
			if b := get(p, id); b.State != "SUCCESSFUL" || s.Copies() != 1 {
				t.Errorf("%+v, %d copies", b, s.Copies())
			}
		})
	}
}

// untidy is work that fails and cannot remove what it wrote.
type untidy struct{ *pipelinetest.Hand }

func (u *untidy) Start(ctx context.Context, j executor.Job) (executor.Ref, error) {
	ref, err := u.Hand.Start(ctx, j)
	u.Finish(j.BackupID, errors.Join(&events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: "damaged"}, executor.ErrRemains))
	return ref, err
}

func TestAttempt_CleanupThatFailed_IsInTheRecordWithItsPlace(t *testing.T) {
	t.Parallel()
	u := &untidy{pipelinetest.NewHand()}
	p := setup(t, pipelinetest.Options{Providers: []executors.Provider{{Name: "sqlite",
		Capabilities: executor.Capabilities{PollEvery: 10 * time.Millisecond, Local: true},
		Open:         func(context.Context, executors.Shared) (executors.Opened, error) { return u, nil }}}}, "a")
	id := create(p, "a")
	b, err := events.Decode[events.Backup](p.Await("shop", id, events.Failed).Event)
	if err != nil || !b.PartialRemains || b.ProviderRef == nil || b.ProviderRef.BackupName != "hand:"+id {
		t.Errorf("%+v, %v", b, err)
	}
}
