package tracker_test

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// A tracker cleans up when it starts. What is left can be read, deleted and followed by another backup, as before: a
// claim, a deletion and the next creation are decided on the last event alone.
func TestHistory_EndsAtTheLimitAndLifeGoesOn(t *testing.T) {
	t.Parallel()
	var days atomic.Int64
	p := pipelinetest.Start(t, pipelinetest.Options{Today: func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }})
	p.Register("shop", "orders")
	p.Hand.Auto()
	good := create(p)
	p.Await("shop", good, events.Succeeded)
	deleted := create(p)
	p.Await("shop", deleted, events.Succeeded)
	remove := func(id string) {
		t.Helper()
		if code, body := p.Call(http.MethodDelete, "/api/v1/projects/shop/backups/"+id, ""); code != http.StatusAccepted {
			t.Fatalf("delete: %d %s", code, body)
		}
		p.Await("shop", id, events.Deleted)
	}
	remove(deleted)
	p.Tracker.Stop()
	days.Store(91)
	p.Tracker.Start()
	awaitLog(t, p, []string{"the instance registered", good + " succeeded"})
	awaitView(t, p)
	if got := stateOf(p, good); got != "SUCCESSFUL" {
		t.Errorf("what is left is %s", got)
	}
	if code, _ := p.Call(http.MethodGet, "/api/v1/projects/shop/backups/"+deleted, ""); code != http.StatusNotFound {
		t.Errorf("what has nothing left answers %d", code)
	}
	days.Store(0)
	p.Await("shop", create(p), events.Succeeded)
	remove(good)
}

// awaitLog waits until the log has these events and no others; an instance's id is not compared.
func awaitLog(t *testing.T, p *pipelinetest.Pipeline, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	for {
		var got []string
		_, err := p.Bus.Scan(ctx, events.AllEvents, 1, false, func(_ string, s events.Stored) error {
			id := s.PartitionKey
			if s.Entity() == events.Instances {
				id = "the instance"
			}
			got = append(got, id+" "+string(s.Step()))
			return nil
		})
		slices.Sort(got)
		slices.Sort(want)
		diff := cmp.Diff(want, got)
		if err == nil && diff == "" {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	}
}
