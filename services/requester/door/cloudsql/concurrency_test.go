package cloudsql_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
)

// One operation at a time (PD-5): of 20 inserts at once on an idle instance one is accepted, and the others
// leave nothing behind.
func TestInsert_OneOfTwentyAtOnce(t *testing.T) {
	t.Parallel()
	for name, replicas := range map[string]int{"one requester": 1, "two requesters": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := setup(t, "orders")
			p.Executors.Stop() // the run stays accepted while they race
			urls := []string{p.URL}
			for len(urls) < replicas {
				urls = append(urls, replica(t, p))
			}
			before := len(p.Events("acme"))
			accepted, refused := insertAtOnce(t, urls, 20)
			if len(accepted) != 1 || refused["409 operationInProgress"] != 19 {
				t.Fatalf("%d accepted, refused %v", len(accepted), refused)
			}
			var left []events.Step
			for _, e := range p.Events("acme")[before:] {
				left = append(left, e.Step())
			}
			if diff := cmp.Diff([]events.Step{events.Requested}, left); diff != "" {
				t.Errorf("events of the race:\n%s", diff)
			}
			for _, url := range urls {
				runs := read[runList](t, url+path("acme", "instances", "orders", "backupRuns"))
				if len(runs.Items) != 1 || runs.Items[0].Id != accepted[0].BackupContext.BackupId {
					t.Errorf("runs %+v", runs.Items)
				}
				ops := read[struct{ Items []op }](t, url+path("acme", "operations"))
				if len(ops.Items) != 1 || ops.Items[0].Name != accepted[0].Name {
					t.Errorf("operations %+v", ops.Items)
				}
			}
			p.Hand.Auto()
			p.Executors.Start() // the one that won is a backup like any other
			p.Await("acme", backupID(t, p), events.Succeeded)
			if n := p.Hand.Starts(); n != 1 {
				t.Errorf("%d backups were taken", n)
			}
		})
	}
}

// insertAtOnce sends n inserts together, one after another to each of urls.
func insertAtOnce(t *testing.T, urls []string, n int) (accepted []op, refused map[string]int) {
	t.Helper()
	var mu sync.Mutex
	var sent sync.WaitGroup
	start := make(chan struct{})
	refused = map[string]int{}
	for i := range n {
		sent.Go(func() {
			<-start
			resp, err := http.Post(urls[i%len(urls)]+path("acme", "instances", "orders", "backupRuns"), "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			var answer struct {
				op
				Error struct{ Errors []struct{ Reason string } }
			}
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode == http.StatusOK {
				accepted = append(accepted, answer.op)
				return
			}
			reason := "no reason"
			if len(answer.Error.Errors) > 0 {
				reason = answer.Error.Errors[0].Reason
			}
			refused[resp.Status[:3]+" "+reason]++
		})
	}
	close(start)
	sent.Wait()
	return accepted, refused
}

// replica runs a second requester over the same bus and view, and gives its address.
func replica(t *testing.T, p *pipelinetest.Pipeline) string {
	t.Helper()
	r, err := requester.New(requester.Deps{Bus: p.NATS.Connect(t), View: p.View, Log: pipelinetest.Logger(t), Now: time.Now, Version: "test"},
		requester.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- host.Run(ctx, host.Config{Log: slog.New(slog.DiscardHandler)}, func() { close(ready) }, r)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("second requester: %v", err)
		}
	})
	select {
	case <-ready:
	case <-time.After(pipelinetest.Patience):
		t.Fatal("the second requester is not ready")
	}
	return "http://" + r.Addr()
}

func read[T any](t *testing.T, url string) T {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v T
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
	}
	return v
}
