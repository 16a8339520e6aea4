package cloudsql_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// automated enables backups of an instance and returns the schedule that this makes.
func automated(t *testing.T, p *pipelinetest.Pipeline, name string) events.Schedule {
	t.Helper()
	patch(p, name, `{"enabled":true,"startTime":"13:00"}`)
	return lastSchedule(t, p)
}

var window = time.Date(2026, 3, 26, 13, 0, 0, 0, time.UTC)

func TestStatuses_OfTheSchedule(t *testing.T) { // A2, A7, A8; cases 34-36 by the scheduler's events
	t.Parallel()
	p := setup(t, "orders")
	s := automated(t, p, "orders")
	idle := p.Slot(s, window, events.Skipped, &events.Skip{Reason: "NO_CHANGES"})
	r := getRun(p, "orders", idle.IDs.CloudSQL)
	if r.Status != "SKIPPED" || r.Type != "AUTOMATED" || r.StartTime != "" || r.EndTime != "" || r.Error != nil || r.Id != "1774530000000" ||
		r.WindowStartTime != "2026-03-26T13:00:00.000Z" || r.EnqueuedTime == "" {
		t.Errorf("%+v", r)
	}
	late := p.Slot(s, window.AddDate(0, 0, 1), events.Overdue, nil)
	if r := getRun(p, "orders", late.IDs.CloudSQL); r.Status != "OVERDUE" || r.StartTime != "" || r.Error != nil || r.Type != "AUTOMATED" {
		t.Errorf("%+v", r)
	}
	// A late start leads it on.
	p.Slot(s, window.AddDate(0, 0, 1), events.Requested, nil)
	p.Await("acme", late.BackupID, events.Started)
	if r := getRun(p, "orders", late.IDs.CloudSQL); r.Status != "RUNNING" || r.StartTime == "" {
		t.Errorf("%+v", r)
	}
	p.Hand.Finish(late.BackupID, nil)
	p.Await("acme", late.BackupID, events.Succeeded)
	if r := getRun(p, "orders", late.IDs.CloudSQL); r.Status != "SUCCESSFUL" || r.Type != "AUTOMATED" || r.WindowStartTime != "2026-03-27T13:00:00.000Z" {
		t.Errorf("%+v", r)
	}
	// Slots that nobody asked for are no work: they have no operation, and no Backup (B47).
	ops := pipelinetest.JSON[struct{ Items []op }](p, http.MethodGet, path("acme", "operations")+"?instance=orders", "")
	var kinds []string
	for _, o := range ops.Items {
		kinds = append(kinds, o.OperationType)
	}
	if diff := cmp.Diff([]string{"BACKUP_VOLUME", "UPDATE"}, kinds); diff != "" {
		t.Error(diff)
	}
	refused(t, p, http.MethodGet, path("acme", "backups", idle.BackupID), "", 404, "backupRunDoesNotExist")
	// They can be deleted (PD-4).
	never := p.Slot(s, window.AddDate(0, 0, 2), events.Overdue, nil)
	for _, b := range []events.Backup{idle, never} {
		pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", b.IDs.CloudSQL), "")
		p.Await("acme", b.BackupID, events.Deleted)
	}
}

func TestStatuses_OfADeletionThatFails(t *testing.T) { // A13, case 21
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	o := insert(t, p, "orders", "")
	id, bk := o.BackupContext.BackupId, backupID(t, p)
	p.Await("acme", bk, events.Succeeded)
	p.Hand.FailDeletions(&events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the copy may not be deleted"})
	one := path("acme", "instances", "orders", "backupRuns", id)
	del := pipelinetest.JSON[op](p, http.MethodDelete, one, "")
	p.Await("acme", bk, events.DeletionFailed)
	if r := getRun(p, "orders", id); r.Status != "DELETION_FAILED" || r.Error != nil {
		t.Errorf("%+v", r)
	}
	if d := getOp(p, del.Name); d.Status != "DONE" || d.Error == nil || d.Error.Errors[0].Code != "PERMISSION_DENIED" {
		t.Errorf("%+v", d)
	}
	if l := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "orders", "backupRuns"), ""); len(l.Items) != 1 {
		t.Errorf("what could not be deleted is still there: %+v", l)
	}
	p.Hand.FailDeletions(nil)
	pipelinetest.JSON[op](p, http.MethodDelete, one, "")
	p.Await("acme", bk, events.Deleted)
	if r := getRun(p, "orders", id); r.Status != "DELETED" {
		t.Errorf("%+v", r)
	}
}

func TestOperations_CannotBeCancelled(t *testing.T) { // case 25, B28, B29, PD-9
	t.Parallel()
	p := setup(t, "orders")
	o := insert(t, p, "orders", "")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started)
	cancel := path("acme", "operations", o.Name, "cancel")
	refused(t, p, http.MethodPost, cancel, "", 400, "invalid")
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded)
	if r := getRun(p, "orders", o.BackupContext.BackupId); r.Status != "SUCCESSFUL" {
		t.Errorf("%+v", r)
	}
	refused(t, p, http.MethodPost, cancel, "", 400, "invalid")
	refused(t, p, http.MethodPost, path("acme", "operations", "none", "cancel"), "", 404, "operationDoesNotExist")
	refused(t, p, http.MethodGet, path("other", "operations", o.Name), "", 404, "operationDoesNotExist")
}

func TestVersions_DifferInTheirLinksOnly(t *testing.T) { // case 26
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	o := insert(t, p, "orders", "")
	p.Await("acme", backupID(t, p), events.Succeeded)
	for _, rest := range []string{
		"projects/acme/instances/orders/backupRuns/" + o.BackupContext.BackupId, "projects/acme/instances/orders/backupRuns", "projects/acme/instances/orders",
		"projects/acme/operations/" + o.Name, "projects/acme/backups", "projects/acme/instances",
	} {
		code, beta := p.Call(http.MethodGet, "/sql/v1beta4/"+rest, "")
		_, one := p.Call(http.MethodGet, "/v1/"+rest, "")
		if diff := cmp.Diff(replace(beta, "/sql/v1beta4/", "/v1/"), string(one)); diff != "" || code != 200 {
			t.Errorf("%s: %d\n%s", rest, code, diff)
		}
	}
}
