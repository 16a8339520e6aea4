package cloudsql_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type opList struct {
	Kind  string
	Items []op
}

// deregister takes an instance away.
func deregister(t *testing.T, p *pipelinetest.Pipeline, name string) {
	t.Helper()
	in := intake.New(p.Bus, p.View, time.Now, slog.New(slog.DiscardHandler), intake.Config{Bus: p.Bus.Name()})
	if _, err := in.Deregister(t.Context(), intake.Deregister{Project: "acme", Instance: name}); err != nil {
		t.Fatal(err)
	}
}

func TestOperations_OfAnInstanceThatIsGone(t *testing.T) { // B46
	t.Parallel()
	p := setup(t, "orders", "billing")
	p.Hand.Auto()
	gone := insert(t, p, "orders", "")
	p.Await("acme", backupID(t, p), events.Succeeded)
	there := insert(t, p, "billing", "")
	p.Await("acme", backupID(t, p), events.Succeeded)
	if o := getOp(p, gone.Name); o.Status != "DONE" {
		t.Fatalf("%+v", o)
	}
	deregister(t, p, "orders")
	refused(t, p, http.MethodGet, path("acme", "operations", gone.Name), "", 404, "operationDoesNotExist")
	refused(t, p, http.MethodPost, path("acme", "operations", gone.Name, "cancel"), "", 404, "operationDoesNotExist")
	all := pipelinetest.JSON[opList](p, http.MethodGet, path("acme", "operations"), "")
	if len(all.Items) != 1 || all.Items[0].Name != there.Name {
		t.Errorf("%+v", all.Items)
	}
	for _, name := range []string{"orders", "unknown"} { // a filter, not a resource
		if l := pipelinetest.JSON[opList](p, http.MethodGet, path("acme", "operations")+"?instance="+name, ""); l.Kind != "sql#operationsList" || len(l.Items) != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	refused(t, p, http.MethodGet, "/sql/v1beta3/projects/acme/instances/orders/operations", "", 404, "instanceDoesNotExist") // there it is one
}

func TestOperations_OfADeletionNameWhatWasDeleted(t *testing.T) { // cloudsql.md 5.4, 9
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	take := func() (run, backup string) {
		run = insert(t, p, "orders", "").BackupContext.BackupId
		backup = backupID(t, p)
		p.Await("acme", backup, events.Succeeded)
		return run, backup
	}
	run, bk := take()
	asRun := pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", run), "")
	p.Await("acme", bk, events.Deleted)
	if o := getOp(p, asRun.Name); o.TargetId != "orders" || o.TargetLink != p.URL+path("acme", "instances", "orders") || o.Status != "DONE" {
		t.Errorf("%+v", o)
	}
	_, bk = take()
	asBackup := pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "backups", bk), "")
	p.Await("acme", bk, events.Deleted)
	o := getOp(p, asBackup.Name)
	if o.TargetId != bk || o.TargetLink != p.URL+path("acme", "backups", bk) || o.Status != "DONE" {
		t.Errorf("%+v", o)
	}
	list := pipelinetest.JSON[opList](p, http.MethodGet, path("acme", "operations")+"?instance=orders", "")
	for _, listed := range list.Items {
		if listed.Name == o.Name {
			if diff := cmp.Diff(o, listed); diff != "" {
				t.Errorf("in the list:\n%s", diff)
			}
			return
		}
	}
	t.Errorf("the deletion is not listed: %+v", list.Items)
}

func TestStatuses_OfAnOverdueRunThatWasRequested(t *testing.T) { // A3, A8: its operation still waits, and has the lock
	t.Parallel()
	p := setup(t, "orders")
	s := automated(t, p, "orders")
	p.Executors.Stop()
	p.Slot(s, window, events.Requested, nil)
	b := p.Slot(s, window, events.Overdue, nil)
	if r := getRun(p, "orders", b.IDs.CloudSQL); r.Status != "OVERDUE" || r.StartTime != "" || r.Error != nil {
		t.Errorf("%+v", r)
	}
	o := getOp(p, b.IDs.Operation)
	if o.Status != "PENDING" || o.OperationType != "BACKUP_VOLUME" || o.StartTime != "" || o.EndTime != "" || o.Error != nil {
		t.Errorf("%+v", o)
	}
	one := path("acme", "instances", "orders", "backupRuns", b.IDs.CloudSQL)
	refused(t, p, http.MethodDelete, one, "", 409, "operationInProgress")
	refused(t, p, http.MethodPost, path("acme", "instances", "orders", "backupRuns"), "", 409, "operationInProgress")
	p.Hand.Auto()
	p.Executors.Start()
	p.Await("acme", b.BackupID, events.Succeeded)
	if o := getOp(p, o.Name); o.Status != "DONE" || o.Error != nil || o.StartTime == "" {
		t.Errorf("%+v", o)
	}
}

func TestStatuses_OfARunWhileAnotherIsMade(t *testing.T) { // B7
	t.Parallel()
	p := setup(t, "orders")
	old := insert(t, p, "orders", "")
	oldID := backupID(t, p)
	p.Hand.Finish(oldID, nil)
	p.Await("acme", oldID, events.Succeeded)
	insert(t, p, "orders", "")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started)
	one := path("acme", "instances", "orders", "backupRuns", old.BackupContext.BackupId)
	refused(t, p, http.MethodDelete, one, "", 409, "operationInProgress")
	refused(t, p, http.MethodDelete, path("acme", "backups", oldID), "", 409, "operationInProgress")
	if r := getRun(p, "orders", old.BackupContext.BackupId); r.Status != "SUCCESSFUL" {
		t.Errorf("%+v", r)
	}
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded)
	pipelinetest.JSON[op](p, http.MethodDelete, one, "")
}
