package cloudsql_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
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
				_, second := p.Replica()
				urls = append(urls, second)
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
