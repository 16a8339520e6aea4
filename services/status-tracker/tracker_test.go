package tracker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
	tracker "github.com/backupbus/backupbus/services/status-tracker"
	"github.com/backupbus/backupbus/services/status-tracker/view"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

type created struct{ BackupID, State string }

func create(p *pipelinetest.Pipeline) string {
	return pipelinetest.JSON[created](p, http.MethodPost, "/api/v1/projects/shop/backups", `{"instance":"orders"}`).BackupID
}

func stateOf(p *pipelinetest.Pipeline, id string) string {
	return pipelinetest.JSON[created](p, http.MethodGet, "/api/v1/projects/shop/backups/"+id, "").State
}

func onRedis(t *testing.T) (*pipelinetest.Pipeline, *viewtest.Server) {
	t.Helper()
	s := viewtest.Redis(t)
	p := pipelinetest.Start(t, pipelinetest.Options{Store: view.NewRedis(s.Client(t)), Requester: requester.Config{VisibleIn: 200 * time.Millisecond}})
	p.Register("shop", "orders")
	return p, s
}

// awaitView waits until the view in the store has applied the whole log.
func awaitView(t *testing.T, p *pipelinetest.Pipeline) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	state, err := p.Bus.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		cp, err := p.View.Checkpoint(ctx)
		if err == nil && cp.Seq >= state.Last {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the view stands at %d of %d: %v", cp.Seq, state.Last, err)
		}
	}
}

func TestView_DroppedWhileRunningComesBack(t *testing.T) {
	t.Parallel()
	p, s := onRedis(t)
	p.Hand.Auto()
	id := create(p)
	p.Await("shop", id, events.Succeeded)
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	awaitView(t, p)
	if got := stateOf(p, id); got != "SUCCESSFUL" {
		t.Errorf("after the view was dropped: %s", got)
	}
	again := create(p)
	p.Await("shop", again, events.Succeeded)
}

func TestView_AwayRefusesNoRequest(t *testing.T) {
	t.Parallel()
	p, s := onRedis(t)
	first := create(p)
	p.Await("shop", first, events.Started)
	s.Stop()
	// Decisions and reads fall back to the log.
	if code, body := p.Call(http.MethodPost, "/api/v1/projects/shop/backups", `{"instance":"orders"}`); code != http.StatusConflict {
		t.Errorf("second request while one runs: %d %s", code, body)
	}
	p.Hand.Finish(first, nil)
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	for stateOf(p, first) != "SUCCESSFUL" {
		if ctx.Err() != nil {
			t.Fatal("the backup's end cannot be read")
		}
	}
	second := create(p)
	if got := stateOf(p, second); got != "ENQUEUED" && got != "RUNNING" {
		t.Errorf("just created: %s", got)
	}
	list := pipelinetest.JSON[struct{ Backups []created }](p, http.MethodGet, "/api/v1/projects/shop/backups", "")
	if len(list.Backups) != 2 || list.Backups[0].BackupID != second {
		t.Errorf("list from the log: %+v", list)
	}
	s.Start(t)
	awaitView(t, p)
	p.Hand.Auto()
	p.Await("shop", second, events.Succeeded)
}

// A view that is being rebuilt, or is gone while nobody rebuilds it, is not believed.
func TestView_EmptyIsNotBelieved(t *testing.T) {
	t.Parallel()
	p, s := onRedis(t)
	p.Hand.Auto()
	id := create(p)
	p.Await("shop", id, events.Succeeded)
	p.Tracker.Stop()
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(p, id); got != "SUCCESSFUL" {
		t.Errorf("%s", got)
	}
	list := pipelinetest.JSON[struct{ Backups []created }](p, http.MethodGet, "/api/v1/projects/shop/backups", "")
	if len(list.Backups) != 1 {
		t.Errorf("%+v", list)
	}
	second := create(p) // a request is not refused either
	p.Tracker.Start()
	p.Await("shop", second, events.Succeeded)
}

func TestView_OfAnotherLogIsRebuilt(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Register("shop", "orders")
	p.Hand.Auto()
	id := create(p)
	p.Await("shop", id, events.Succeeded)
	for name, cp := range map[string]view.Checkpoint{"another log": {Epoch: "00000000", Seq: 1}, "ahead of the log": {Epoch: epoch(t, p), Seq: 1 << 40}} {
		p.Tracker.Stop()
		if err := p.View.Save(t.Context(), nil, cp); err != nil {
			t.Fatal(err)
		}
		p.Tracker.Start()
		awaitView(t, p)
		got, err := p.View.Checkpoint(t.Context())
		if err != nil || got.Epoch != epoch(t, p) || got.Seq == cp.Seq {
			t.Errorf("%s: checkpoint %+v, %v", name, got, err)
		}
		if got := stateOf(p, id); got != "SUCCESSFUL" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func epoch(t *testing.T, p *pipelinetest.Pipeline) string {
	t.Helper()
	s, err := p.Bus.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Epoch
}

// Cases S3 and N9: what contradicts itself is not applied, and is kept among the dead letters.
func TestTracker_PutsBadEventsAmongTheDeadLetters(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Register("shop", "orders")
	id := create(p)
	started := p.Await("shop", id, events.Started)
	good := events.Decode[events.Backup]
	b, err := good(started.Event)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(subject string, ev events.Event) {
		t.Helper()
		p.NATS.Publish(t, subject, ev)
	}
	subject, err := b.Aggregate().EventSubject(events.Started)
	if err != nil {
		t.Fatal(err)
	}
	conflict := started.Event
	conflict.ID += "x"
	publish(subject, conflict)
	foreign := started.Event
	foreign.Project, foreign.Sequence = "other", "0000000009"
	publish(subject, foreign)
	lied := b
	lied.PreviousState, lied.State, lied.Step = "SKIPPED", "RUNNING", events.Started
	illegal, err := events.New("bus.local", lied, events.Started, "illegal", 9, time.Now(), events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	publish(subject, illegal)
	p.NATS.PublishRaw(t, subject, []byte("no event at all"))
	awaitView(t, p)
	var reasons []string
	for _, m := range p.NATS.DeadLetters(t, 4) {
		reasons = append(reasons, m.Header.Get("Backupbus-Deadletter-Reason"))
	}
	if diff := cmp.Diff([]string{"conflicting_duplicate", "illegal_transition", "subject_mismatch", "unreadable"}, slices.Sorted(slices.Values(reasons))); diff != "" {
		t.Error(diff)
	}
	if got := stateOf(p, id); got != "RUNNING" {
		t.Errorf("the view moved: %s", got)
	}
	p.NATS.Purge(t, bus.EventStream) // or the end of the test would hold them against their schemas
}

// TestMetrics_TellHowWellEachInstanceIsBackedUp by what a scrape shows, of a project's instances and their outcome.
func TestMetrics_TellHowWellEachInstanceIsBackedUp(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Register("shop", "orders")
	p.Register("shop", "users")
	p.Hand.Auto()
	id := create(p)
	good := p.Await("shop", id, events.Succeeded)
	awaitView(t, p)
	b, err := events.Decode[events.Backup](good.Event)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	if _, err := tracker.New(tracker.Deps{Bus: p.Bus, View: p.View, Log: pipelinetest.Logger(t), Metrics: reg, Now: time.Now}, tracker.Config{}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`
		# HELP backupbus_instances_without_figures 1: there are more instances than have figures of their own, or the view could not be read in time.
		# TYPE backupbus_instances_without_figures gauge
		backupbus_instances_without_figures 0
		# HELP backupbus_last_good_backup_timestamp_seconds Moment whose data the newest restorable backup holds; no series: there is none.
		# TYPE backupbus_last_good_backup_timestamp_seconds gauge
		backupbus_last_good_backup_timestamp_seconds{instance="orders",project="shop"} %v
	`, float64(lifecycle.DataTime(b).UnixMilli())/1000)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "backupbus_instances_without_figures", "backupbus_last_good_backup_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "backupbus_slots_30d"); err != nil || n != 10 {
		t.Errorf("%d series of slots, %v", n, err)
	}
}
