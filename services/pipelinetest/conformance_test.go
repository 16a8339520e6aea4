package pipelinetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// The cases of events.md 9 that only a whole pipeline has.

const base = "/api/v1/projects/shop"

type receipt struct{ BackupID string }

// life are the events of one aggregate, in their order.
func life(p *pipelinetest.Pipeline, id string) (out []events.Stored) {
	for _, ev := range p.Events("shop") {
		if strings.HasPrefix(ev.ID, id+"-") {
			out = append(out, ev)
		}
	}
	return out
}

// E4: sequences have no gap, and each record has every field of the one before but those that a step takes away: an
// error that was overcome, and what was said of the try that is over.
func TestE4_ARecordLosesNothingOnItsWay(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Register("shop", "orders")
	b := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders","name":"before","description":"x","labels":{"team":"core"},"expireTime":"2099-01-01T00:00:00Z"}`)
	p.Await("shop", b.BackupID, events.Started)
	p.Hand.Finish(b.BackupID, errors.New("the first try fails"))
	p.Hand.Auto()
	p.Await("shop", b.BackupID, events.Succeeded)
	if code, raw := p.Call(http.MethodPatch, base+"/backups/"+b.BackupID, `{"description":"y"}`); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	p.Hand.FailDeletions(&events.Failure{Code: events.Internal, Category: events.BySystem, Message: "not now"})
	if code, raw := p.Call(http.MethodDelete, base+"/backups/"+b.BackupID, ""); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	p.Await("shop", b.BackupID, events.DeletionFailed)
	p.Hand.FailDeletions(nil)
	if code, raw := p.Call(http.MethodDelete, base+"/backups/"+b.BackupID, ""); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	p.Await("shop", b.BackupID, events.Deleted)
	mayGo := map[events.Step][]string{
		events.Started:   {"error", "nextAttemptTime", "partialRemains", "previousState"},
		events.Succeeded: {"error"}, events.DeletionRequested: {"changedFields"},
	}
	var steps []string
	before := map[string]any{}
	for n, ev := range life(p, b.BackupID) {
		steps = append(steps, string(ev.Step()))
		if want := fmt.Sprintf("%010d", n+1); ev.Sequence != want {
			t.Errorf("%s: sequence %s, want %s", ev.ID, ev.Sequence, want)
		}
		now := map[string]any{}
		if err := json.Unmarshal(ev.Data, &now); err != nil {
			t.Fatal(err)
		}
		for field := range before {
			if _, kept := now[field]; !kept && !slices.Contains(mayGo[ev.Step()], field) {
				t.Errorf("%s has lost %s", ev.ID, field)
			}
		}
		before = now
	}
	want := []string{"requested", "started", "attempt_failed", "started", "succeeded", "updated", "deletion_requested", "deletion_failed", "deletion_requested", "deleted"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Error(diff)
	}
	for _, field := range []string{"name", "labels", "description", "expireTime", "sizeBytes", "ids", "requestId", "startTime", "endTime"} {
		if _, there := before[field]; !there {
			t.Errorf("the last record has no %s: %v", field, slices.Sorted(maps.Keys(before)))
		}
	}
}

// E5: what a newer writer adds is no reason to stop: a field, an attribute, a word of an open set are taken as they
// are, an event of an unknown type is passed over.
func TestE5_WhatANewerWriterAddsIsTaken(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Register("shop", "orders")
	b := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`)
	started := p.Await("shop", b.BackupID, events.Started)
	rec, err := events.Decode[events.Backup](started.Event)
	if err != nil {
		t.Fatal(err)
	}
	rec.PreviousState, rec.State, rec.Step, rec.EndTime = rec.State, "SUCCESSFUL", events.Succeeded, events.At(time.Now())
	rec.Verification = "MAGIC" // an open set
	ev, err := events.New("bus.local", rec, events.Succeeded, b.BackupID+"-succeeded-1", 3, time.Now(), events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := events.Structured(ev)
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	doc["shinyattribute"] = "new"
	doc["data"].(map[string]any)["shinyField"] = map[string]any{"deep": true}
	send := func(step events.Step, doc map[string]any) {
		t.Helper()
		subject, err := rec.Aggregate().EventSubject(step)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		p.NATS.PublishRaw(t, subject, body)
	}
	send(events.Succeeded, doc)
	unknown := maps.Clone(doc)
	unknown["id"], unknown["type"], unknown["sequence"] = b.BackupID+"-polished-1", "dev.backupbus.backup.polished.v1", "0000000004"
	send("polished", unknown)
	next := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`) // nothing has stopped
	p.Await("shop", next.BackupID, events.Started)
	shown := pipelinetest.JSON[struct{ State, Verification string }](p, http.MethodGet, base+"/backups/"+b.BackupID, "")
	if shown.State != "SUCCESSFUL" {
		t.Errorf("%+v", shown)
	}
	p.NATS.Purge(t, "BACKUP_EVENTS") // or the end of the test would hold them against their schemas
}

// S12: a change while the success is being written: both are there, and the last record has what each of them says.
func TestS12_AChangeBesideASuccess(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	const rounds = 12
	for n := range rounds {
		p.Register("shop", "db"+strconv.Itoa(n))
	}
	for n := range rounds {
		b := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", fmt.Sprintf(`{"instance":"db%d"}`, n))
		p.Await("shop", b.BackupID, events.Started)
		var both sync.WaitGroup
		both.Go(func() { p.Hand.Finish(b.BackupID, nil) })
		both.Go(func() {
			if code, raw := p.Call(http.MethodPatch, base+"/backups/"+b.BackupID, `{"expireTime":"2099-01-01T00:00:00Z"}`); code/100 != 2 {
				t.Errorf("the change: %d %s", code, raw)
			}
		})
		both.Wait()
		p.Await("shop", b.BackupID, events.Succeeded)
		p.Await("shop", b.BackupID, events.Updated)
		all := life(p, b.BackupID)
		last, err := events.Decode[events.Backup](all[len(all)-1].Event)
		if err != nil {
			t.Fatal(err)
		}
		if last.State != "SUCCESSFUL" || last.ExpireTime.Year() != 2099 || last.SizeBytes == nil || len(all) != 4 {
			t.Errorf("%d events, the last: %+v", len(all), last)
		}
	}
}

// S15: two backups of an instance that come in one millisecond have numbers of their own at Cloud SQL's door, each the
// millisecond in which it was enqueued.
func TestS15_TwoInOneMillisecond(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{Further: []string{"mysql"}})
	p.RegisterAs("shop", "orders", "mysql", `{"engine":"mysql","address":"127.0.0.1:3306","user":"backup","credentialRef":"env:NOBODY","databases":["a","b"]}`)
	at := time.Now().Truncate(time.Millisecond)
	in := intake.New(p.Bus, p.View, func() time.Time { return at }, pipelinetest.Logger(t), intake.Config{Bus: p.Bus.Name(), Providers: []string{"mysql"}})
	var numbers []int64
	for _, db := range []string{"a", "b"} {
		r, err := in.Create(t.Context(), intake.Create{Caller: intake.Caller{Door: "native"}, Project: "shop", Instance: "orders", Database: db})
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(r.Backup.IDs.CloudSQL, 10, 64)
		if err != nil || n != r.Backup.EnqueuedTime.UnixMilli() {
			t.Errorf("%s: number %d, enqueued %d, %v", db, n, r.Backup.EnqueuedTime.UnixMilli(), err)
		}
		numbers = append(numbers, n)
	}
	if numbers[1] != numbers[0]+1 {
		t.Errorf("numbers %v", numbers)
	}
}
