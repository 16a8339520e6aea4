package cloudsql_test

import (
	"net/http"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

func TestDelete_OfABackupThatIsHeld(t *testing.T) { // B11
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	id := insert(t, p, "orders", "").BackupContext.BackupId
	bk := backupID(t, p)
	p.Await("acme", bk, events.Succeeded)
	hold := func(held string) {
		t.Helper()
		if code, raw := p.Call(http.MethodPatch, "/api/v1/projects/acme/backups/"+bk, `{"held":`+held+`}`); code != http.StatusAccepted {
			t.Fatalf("%d %s", code, raw)
		}
	}
	hold("true")
	before := len(p.Events("acme"))
	refused(t, p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", id), "", 400, "errorPitrBackupRunNotDeletable")
	refused(t, p, http.MethodDelete, path("acme", "backups", bk), "", 400, "errorPitrBackupRunNotDeletable")
	if n := len(p.Events("acme")); n != before {
		t.Errorf("refused deletions left %d events", n-before)
	}
	if r := getRun(p, "orders", id); r.Status != "SUCCESSFUL" {
		t.Errorf("%+v", r)
	}
	hold("false")
	pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", id), "")
	p.Await("acme", bk, events.Deleted)
}
