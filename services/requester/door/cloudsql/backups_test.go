package cloudsql_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

type backup struct {
	Name, Kind, SelfLink, Type, Description, Instance, Location, State, BackupRun, ExpiryTime string
	BackupInterval                                                                            struct{ StartTime, EndTime string }
}

type backupList struct {
	Kind          *string
	Backups       []backup
	NextPageToken string
}

func TestBackups_LifeOfOne(t *testing.T) { // cloudsql.md 9
	t.Parallel()
	p := setup(t, "orders")
	o := pipelinetest.JSON[op](p, http.MethodPost, path("acme", "backups"), `{"instance":"orders","kind":"sql#backup","description":"x","location":"us","ttlDays":"30"}`)
	id := backupID(t, p)
	if o.OperationType != "BACKUP_VOLUME" || o.Status != "PENDING" || o.TargetId != "orders" {
		t.Errorf("%+v", o)
	}
	get := func() backup { return pipelinetest.JSON[backup](p, http.MethodGet, path("acme", "backups", id), "") }
	p.Await("acme", id, events.Started)
	b := get()
	expire := stamp(t, b.ExpiryTime)
	if b.Kind != "sql#backup" || b.Name != "projects/acme/backups/"+id || b.State != "RUNNING" || b.Type != "ON_DEMAND" || b.Instance != "orders" || b.Location != "us" ||
		b.SelfLink != p.URL+path("acme", "backups", id) || b.BackupRun != "projects/acme/instances/orders/backupRuns/"+o.BackupContext.BackupId {
		t.Errorf("%+v", b)
	}
	if left := time.Until(expire); left < 29*24*time.Hour || left > 30*24*time.Hour {
		t.Errorf("expires in %s", left)
	}
	p.Hand.Finish(id, nil)
	p.Await("acme", id, events.Succeeded)
	if b = get(); b.State != "SUCCESSFUL" || b.BackupInterval.StartTime == "" || b.BackupInterval.EndTime == "" {
		t.Errorf("%+v", b)
	}
	later := time.Now().Add(100 * 24 * time.Hour).UTC().Format(time.RFC3339)
	o = pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "backups", id)+"?updateMask=description,expiry_time", `{"description":"y","expiryTime":"`+later+`"}`)
	if o.OperationType != "UPDATE_BACKUP" || o.Status != "DONE" || o.TargetId != id || o.TargetLink != b.SelfLink {
		t.Errorf("%+v", o)
	}
	if again := getOp(p, o.Name); again.Status != "DONE" || again.OperationType != "UPDATE_BACKUP" {
		t.Errorf("%+v", again)
	}
	if b = get(); b.Description != "y" || !stamp(t, b.ExpiryTime).Equal(mustTime(t, later)) {
		t.Errorf("%+v", b)
	}
	pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "backups", id)+"?update_mask=ttl_days", `{"ttl_days":1,"description":"ignored by the mask"}`)
	if b = get(); b.Description != "y" || time.Until(stamp(t, b.ExpiryTime)) > 24*time.Hour {
		t.Errorf("%+v", b)
	}
	p.Executors.Stop()
	o = pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "backups", id), "")
	if o.OperationType != "DELETE_BACKUP" || o.TargetId != id || !strings.HasSuffix(o.TargetLink, "/backups/"+id) {
		t.Errorf("%+v", o)
	}
	if b = get(); b.State != "DELETING" {
		t.Errorf("%+v", b)
	}
	p.Executors.Start()
	p.Await("acme", id, events.Deleted)
	refused(t, p, http.MethodGet, path("acme", "backups", id), "", 404, "backupRunDoesNotExist")
}

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBackups_ListFiltersAndPages(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "orders-eu")
	p.Hand.Auto()
	for n, in := range []string{"orders", "orders-eu", "orders", "orders"} {
		insert(t, p, in, `{"location":"`+[]string{"eu", "us"}[n%2]+`"}`)
		p.Await("acme", backupID(t, p), events.Succeeded)
	}
	list := func(query string) (got []string) {
		l := pipelinetest.JSON[backupList](p, http.MethodGet, path("acme", "backups")+"?"+strings.ReplaceAll(query, " ", "%20"), "")
		if l.Kind != nil {
			t.Errorf("a list of backups has no kind, and this has %s", *l.Kind)
		}
		for _, b := range l.Backups {
			got = append(got, b.Instance+" "+b.Location)
		}
		return got
	}
	for query, want := range map[string][]string{
		"": {"orders us", "orders eu", "orders-eu us", "orders eu"},
		`filter=instance="orders" AND type="ON_DEMAND"`:            {"orders us", "orders eu", "orders eu"}, // gcloud's form
		"filter=instance:orders-eu":                                {"orders-eu us"},
		"filter=instance:orders AND type:FINAL":                    nil,
		"filter=location:eu":                                       {"orders eu", "orders eu"},
		`filter=backupInterval.startTime > "2020-01-01T00:00:00Z"`: {"orders us", "orders eu", "orders-eu us", "orders eu"},
		`filter=backupInterval.startTime < "2020-01-01T00:00:00Z"`: nil,
		"pageSize=2":      {"orders us", "orders eu"},
		"pageSize=100000": {"orders us", "orders eu", "orders-eu us", "orders eu"},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s:\n%s", query, diff)
		}
	}
	first := pipelinetest.JSON[backupList](p, http.MethodGet, path("acme", "backups")+"?pageSize=3", "")
	if diff := cmp.Diff([]string{"orders eu"}, list("pageSize=3&pageToken="+first.NextPageToken)); diff != "" {
		t.Error(diff)
	}
	refused(t, p, http.MethodGet, path("acme", "backups")+"?filter=location:eu&pageToken="+first.NextPageToken, "", 400, "invalid") // of another filter
}

func TestBackups_Refusals(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	insert(t, p, "orders", "")
	id := backupID(t, p)
	p.Await("acme", id, events.Succeeded)
	before := len(p.Events("acme"))
	one := path("acme", "backups", id)
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		reason                   string
	}{
		{"no instance", "POST", path("acme", "backups"), `{}`, 400, "invalid"},
		{"unknown instance", "POST", path("acme", "backups"), `{"instance":"none"}`, 404, "instanceDoesNotExist"},
		{"another project's", "POST", path("acme", "backups"), `{"instance":"projects/other/instances/orders"}`, 400, "invalid"},
		{"both expiries", "POST", path("acme", "backups"), `{"instance":"orders","ttlDays":"1","expiryTime":"2099-01-01T00:00:00Z"}`, 400, "invalid"},
		{"ttl 0", "POST", path("acme", "backups"), `{"instance":"orders","ttlDays":"0"}`, 400, "invalid"},
		{"ttl 366", "POST", path("acme", "backups"), `{"instance":"orders","ttlDays":366}`, 400, "invalid"},
		{"expiry past", "POST", path("acme", "backups"), `{"instance":"orders","expiryTime":"2020-01-01T00:00:00Z"}`, 400, "invalid"},
		{"expiry far", "PATCH", one, `{"expiryTime":"2099-01-01T00:00:00Z"}`, 400, "invalid"},
		{"mask", "PATCH", one + "?updateMask=state", `{}`, 400, "invalid"},
		{"nothing", "PATCH", one, `{}`, 400, "invalid"},
		{"unknown", "GET", path("acme", "backups", "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"), "", 404, "backupRunDoesNotExist"},
		{"no id of ours", "GET", path("acme", "backups", "5"), "", 404, "backupRunDoesNotExist"},
		{"another project", "GET", path("other", "backups", id), "", 404, "backupRunDoesNotExist"},
		{"delete unknown", "DELETE", path("acme", "backups", "nope"), "", 404, "backupRunDoesNotExist"},
		{"filter", "GET", path("acme", "backups") + "?filter=%28", "", 400, "invalid"},
		{"pageSize", "GET", path("acme", "backups") + "?pageSize=-1", "", 400, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, p, c.method, c.path, c.body, c.code, c.reason) })
	}
	if n := len(p.Events("acme")); n != before {
		t.Errorf("refused requests left %d events", n-before)
	}
}

func TestBackups_SayToWhichKeyTheyAreEncrypted(t *testing.T) { // cloudsql.md 4, 9
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	p.Hand.Shape(func(o *lifecycle.Outcome) {
		o.Encryption = &events.Encryption{Type: "CUSTOMER_MANAGED", KeyName: "age1key", KeyVersion: "age1key/1"}
	})
	id := insert(t, p, "orders", "").BackupContext.BackupId
	bk := backupID(t, p)
	p.Await("acme", bk, events.Succeeded)
	type encrypted struct {
		DiskEncryptionConfiguration struct{ Kind, KmsKeyName string }
		DiskEncryptionStatus        struct{ Kind, KmsKeyVersionName string }
		KmsKey, KmsKeyVersion       string
	}
	r := pipelinetest.JSON[encrypted](p, http.MethodGet, path("acme", "instances", "orders", "backupRuns", id), "")
	want := encrypted{}
	want.DiskEncryptionConfiguration.Kind, want.DiskEncryptionConfiguration.KmsKeyName = "sql#diskEncryptionConfiguration", "age1key"
	want.DiskEncryptionStatus.Kind, want.DiskEncryptionStatus.KmsKeyVersionName = "sql#diskEncryptionStatus", "age1key/1"
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(encrypted{KmsKey: "age1key", KmsKeyVersion: "age1key/1"}, pipelinetest.JSON[encrypted](p, http.MethodGet, path("acme", "backups", bk), "")); diff != "" {
		t.Error(diff)
	}
}
