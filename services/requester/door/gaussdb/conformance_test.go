package gaussdb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// The cases of gaussdb.md 9 over the real pipeline.

func TestBackup_FromRequestToCompletion(t *testing.T) { // cases 1, 11, 34
	t.Parallel()
	p := setup(t, settings{}, "orders")
	c := pipelinetest.JSON[created](p, http.MethodPost, path("backups", "create"), body(t, "orders", "backup-1", "manual backup"))
	if b := c.Backup; b.Status != "BUILDING" || b.Type != "manual" || b.Name != "backup-1" || b.Description != "manual backup" ||
		b.InstanceID != gaussID(t, project, "orders") || !strings.HasSuffix(b.ID, "br07") || len(b.ID) != 36 || len(c.JobID) != 36 {
		t.Errorf("created: %+v", c)
	}
	got := list(p, "backup_id="+c.Backup.ID)
	if len(got.Backups) != 1 || got.TotalCount != 1 {
		t.Fatalf("right after: %+v", got)
	}
	if b := got.Backups[0]; b.Status != "BUILDING" || b.Type != "manual" || b.EndTime != nil || b.Size != "0" || b.TakeUpTime != 0 || b.BeginTime != c.Backup.BeginTime {
		t.Errorf("right after: %+v", b)
	}
	j := job(p, c.JobID)
	if j.Job.Status != "Running" || !strings.HasSuffix(j.Job.Process, "%") || j.Job.Ended != "" || j.Job.Name != "CreateGaussDBforMySQLBackup" || j.Job.Instance.Name != "orders" {
		t.Errorf("job: %+v", j)
	}
	finish(t, p, c.Backup.ID, nil)
	b := list(p, "backup_id="+c.Backup.ID).Backups[0]
	if b.Status != "COMPLETED" || b.BeginTime != c.Backup.BeginTime || b.EndTime == nil || b.TakeUpTime != 1 || b.Size != "1" || b.Description != "manual backup" || b.Datastore.Type != "sqlite" {
		t.Errorf("completed: %+v", b)
	}
	if j := job(p, c.JobID); j.Job.Status != "Completed" || j.Job.Process != "" || j.Job.Ended == "" {
		t.Errorf("job: %+v", j)
	}
	refused(t, p, http.MethodGet, path("jobs")+"?id=e0fbbfc8-1ac4-4721-b9e9-7dd685c5bdd7", "", 400, "DBS.200543")
}

func job(p *pipelinetest.Pipeline, id string) jobAnswer {
	return pipelinetest.JSON[jobAnswer](p, http.MethodGet, path("jobs")+"?id="+id, "")
}

func TestBackup_BothPrefixesAnswerTheSame(t *testing.T) { // case 2
	t.Parallel()
	p := setup(t, settings{}, "orders", "billing")
	token := http.Header{"X-Auth-Token": {"any"}}
	var shapes []string
	ids := regexp.MustCompile(`"[^"]*(br07|in07|\+0000)"|"[0-9a-f]{8}-[^"]*"`)
	for instance, prefix := range map[string]string{"orders": "/v3/", "billing": "/mysql/v3/"} {
		status, _, raw := p.CallHeaders(http.MethodPost, prefix+project+"/backups/create", body(t, instance, "backup-1", "d"), token)
		shapes = append(shapes, fmt.Sprint(status)+ids.ReplaceAllString(string(raw), "ID"))
	}
	if shapes[0] != shapes[1] || !strings.HasPrefix(shapes[0], "201") {
		t.Errorf("%s\n%s", shapes[0], shapes[1])
	}
	for _, suffix := range []string{"/backups", "/backups?limit=1", "/instances/" + gaussID(t, project, "orders"), "/instances/" + gaussID(t, project, "orders") + "/backups/policy"} {
		_, one := p.Call(http.MethodGet, "/v3/"+project+suffix, "")
		_, two := p.Call(http.MethodGet, "/mysql/v3/"+project+suffix, "")
		if string(one) != string(two) {
			t.Errorf("%s: %s\n%s", suffix, one, two)
		}
	}
}

func TestBackup_ThatFails(t *testing.T) { // case 13
	t.Parallel()
	p := setup(t, settings{}, "orders")
	c := create(t, p, "orders", "backup-1")
	finish(t, p, c.Backup.ID, &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
	if b := list(p, "").Backups[0]; b.Status != "FAILED" || b.EndTime == nil || b.Size != "0" || b.TakeUpTime != 1 {
		t.Errorf("%+v", b)
	}
	if j := job(p, c.JobID); j.Job.Status != "Failed" || !strings.Contains(j.Job.FailReason, "may not be read") || j.Job.Ended == "" {
		t.Errorf("%+v", j)
	}
	pipelinetest.JSON[struct{}](p, http.MethodDelete, path("backups", c.Backup.ID), "") // Terraform cleans up
	if l := list(p, ""); l.TotalCount != 0 {
		t.Errorf("%+v", l)
	}
}

func TestBackup_ThatIsCancelled(t *testing.T) { // section 7, row "cancelled"
	t.Parallel()
	p := setup(t, settings{}, "orders")
	c := create(t, p, "orders", "backup-1")
	bk := ours(t, p, c.Backup.ID)
	if err := p.Hand.Started(t.Context(), bk); err != nil {
		t.Fatal(err)
	}
	if code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/backups/"+bk+":cancel", ""); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	p.Await(project, bk, events.Cancelled)
	if b := list(p, "").Backups[0]; b.Status != "FAILED" || b.EndTime == nil {
		t.Errorf("%+v", b)
	}
	if j := job(p, c.JobID); j.Job.Status != "Canceled" || j.Job.Ended == "" || j.Job.Process != "" {
		t.Errorf("%+v", j)
	}
}

func TestCreate_OneAtATime(t *testing.T) { // cases 20, 38
	t.Parallel()
	p := setup(t, settings{}, "orders", "billing")
	first := create(t, p, "orders", "backup-1")
	refused(t, p, http.MethodPost, path("backups", "create"), body(t, "orders", "backup-2", ""), 409, "DBS.200047")
	same := create(t, p, "billing", "backup-1")
	if same.Backup.ID == first.Backup.ID || same.JobID == first.JobID {
		t.Errorf("one id for two: %+v", same)
	}
	status := func() string {
		return pipelinetest.JSON[struct{ Instance struct{ Status string } }](p, http.MethodGet, path("instances", gaussID(t, project, "orders")), "").Instance.Status
	}
	if s := status(); s != "BACKING UP" {
		t.Errorf("instance is %s", s)
	}
	finish(t, p, first.Backup.ID, nil)
	if s := status(); s != "ACTIVE" {
		t.Errorf("instance is %s", s)
	}
	create(t, p, "orders", "backup-2")
}

func TestCreate_Names(t *testing.T) { // cases 16, 17, 18, 19
	t.Parallel()
	p := setup(t, settings{}, "orders", "billing")
	create(t, p, "orders", "four")
	create(t, p, "billing", "x"+strings.Repeat("Y", 61)+"_-")
	before := requests(p)
	at := path("backups", "create")
	for _, name := range []string{"abc", "x" + strings.Repeat("y", 64), "1backup", "_backup", "-backup", "back up", "back.up", "备份备份备份", "backup\n"} {
		refused(t, p, http.MethodPost, at, body(t, "orders", name, ""), 400, "DBS.280277")
	}
	for _, c := range ">!<\"&'=\r\n" {
		refused(t, p, http.MethodPost, at, body(t, "orders", "backup", "a "+string(c)+" b"), 400, "DBS.280127")
	}
	refused(t, p, http.MethodPost, at, body(t, "orders", "backup", strings.Repeat("é", 257)), 400, "DBS.280127")
	id := gaussID(t, project, "orders")
	for _, c := range []struct {
		body   string
		status int
		code   string
	}{
		{"", 400, "DBS.200006"},
		{" \n", 400, "DBS.200006"},
		{`{"name":"backup"}`, 400, "DBS.200006"},
		{`{"name":"backup","instance_id":null}`, 400, "DBS.200006"},
		{`{"name":"","instance_id":"` + id + `"}`, 400, "DBS.200006"},
		{`{"Name":"backup","instance_id":"` + id + `"}`, 400, "DBS.200006"}, // names of members are exact
		{`{"name":5,"instance_id":"` + id + `"}`, 400, "DBS.280001"},
		{`{"name":"backup","description":[],"instance_id":"` + id + `"}`, 400, "DBS.280001"},
		{`[]`, 400, "DBS.280001"}, {`null`, 400, "DBS.280001"}, {`"x"`, 400, "DBS.280001"}, {`{`, 400, "DBS.280001"}, {`{} x`, 400, "DBS.280001"},
		{"{\"name\":\"\xff\"}", 400, "DBS.280001"},
		{strings.Repeat(`{"a":`, 50_000) + "1" + strings.Repeat("}", 50_000), 400, "DBS.280001"},
		{`{"name":"1","instance_id":"abc","description":"<"}`, 400, "DBS.280404"}, // before name and description
		{`{"name":"1","instance_id":"` + id + `","description":"<"}`, 400, "DBS.280277"},
		{`{"name":"backup","instance_id":"d8e6ca5a624745bcb546a227aa3ae1cfin01"}`, 404, "DBS.201028"},
		{`{"name":"backup","instance_id":"2f4ddb93-b901-4b08-93d8-1d2e472f30fe"}`, 404, "DBS.201028"},
		{`{"name":"backup","instance_id":"d8e6ca5a624745bcb546a227aa3ae1cfin0"}`, 400, "DBS.280404"},
	} {
		refused(t, p, http.MethodPost, at, c.body, c.status, c.code)
	}
	if n := requests(p); n != before {
		t.Errorf("%d refused requests were stored", n-before)
	}
}

// requests are the backups that were asked for so far.
func requests(p *pipelinetest.Pipeline) (n int) {
	for _, ev := range p.Events(project) {
		if ev.Entity() == events.Backups && ev.Step() == events.Requested {
			n++
		}
	}
	return n
}

func TestDelete_IsGoneAtOnceAndBackIfItFails(t *testing.T) { // cases 28, 29, 30
	t.Parallel()
	p := setup(t, settings{}, "orders", "billing")
	c := made(t, p, "orders", "backup-1")
	building := create(t, p, "billing", "backup-2")
	p.Executors.Stop() // the deletion stays pending
	got := pipelinetest.JSON[struct {
		ID   string `json:"backup_id"`
		Name string `json:"backup_name"`
	}](p, http.MethodDelete, path("backups", c.Backup.ID), `{"ignored":[1]`)
	if got.ID != c.Backup.ID || got.Name != "backup-1" {
		t.Errorf("%+v", got)
	}
	if l := list(p, "backup_id="+c.Backup.ID); len(l.Backups) != 0 || l.TotalCount != 0 {
		t.Errorf("after the deletion was asked for: %+v", l)
	}
	if l := list(p, ""); l.TotalCount != 1 {
		t.Errorf("after the deletion was asked for: %+v", l)
	}
	full := pipelinetest.JSON[listedFull](p, http.MethodGet, path("instances", gaussID(t, project, "orders"), "backups"), "")
	if full.TotalCount != "1" || full.Backups[0].Status != "DELETING" {
		t.Errorf("full backups: %+v", full)
	}
	for _, id := range []string{c.Backup.ID, "00000000000000000000000000000000br07", "%FF", "create"} {
		refused(t, p, http.MethodDelete, path("backups", id), "", 400, "DBS.201203")
	}
	refused(t, p, http.MethodDelete, path("backups", building.Backup.ID), "", 400, "DBS.201208")
	if j := job(p, c.JobID); j.Job.Status != "Completed" {
		t.Errorf("the job of what is going: %+v", j)
	}
	p.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.ByProvider, Message: "away"})
	p.Executors.Start()
	p.Await(project, ours(t, p, c.Backup.ID), events.DeletionFailed)
	if l := list(p, "backup_id="+c.Backup.ID); l.TotalCount != 1 || l.Backups[0].Status != "COMPLETED" {
		t.Errorf("after the deletion failed: %+v", l)
	}
	p.Hand.FailDeletions(nil)
	pipelinetest.JSON[struct{}](p, http.MethodDelete, path("backups", c.Backup.ID), "")
	p.Await(project, ours(t, p, c.Backup.ID), events.Deleted)
	refused(t, p, http.MethodDelete, path("backups", c.Backup.ID), "", 400, "DBS.201203")
	if j := job(p, c.JobID); j.Job.Status != "Completed" {
		t.Errorf("the job of what is gone: %+v", j)
	}
}

type listedFull struct {
	Backups []struct {
		Name, Status, Size string
		BackupType         string `json:"backup_type"`
	}
	TotalCount string `json:"total_count"`
}

func TestDelete_Automated(t *testing.T) { // cases 23, 30; row 33
	t.Parallel()
	p := setup(t, settings{}, "orders")
	policy(t, p, "orders", `{"backup_policy":{"start_time":"19:00-20:00","keep_days":7,"period":"1,2,3"}}`)
	s, err := p.View.SchedulesByID(t.Context(), project, []string{scheduleID(t, "orders")})
	if err != nil || len(s) != 1 {
		t.Fatal(s, err)
	}
	due := time.Now().Add(-time.Hour).Truncate(time.Hour)
	slot := p.Slot(s[0], due, events.Requested, nil)
	p.Hand.Finish(slot.BackupID, nil)
	p.Await(project, slot.BackupID, events.Succeeded)
	skipped := p.Slot(s[0], due.Add(-time.Hour), events.Skipped, &events.Skip{Reason: "NO_CHANGES"})
	late := p.Slot(s[0], due.Add(-2*time.Hour), events.Overdue, nil)
	hand := made(t, p, "orders", "backup-1")
	got := list(p, "backup_type=auto")
	if got.TotalCount != 1 || got.Backups[0].ID != slot.IDs.GaussDB || got.Backups[0].Type != "auto" || !strings.HasPrefix(got.Backups[0].Name, "GaussDBforMySQL-orders-") {
		t.Errorf("auto: %+v", got)
	}
	if l := list(p, "name="+got.Backups[0].Name); l.TotalCount != 1 {
		t.Errorf("by the name that stands for one: %+v", l)
	}
	if l := list(p, "backup_type=manual"); l.TotalCount != 1 || l.Backups[0].ID != hand.Backup.ID {
		t.Errorf("manual: %+v", l)
	}
	if l := list(p, ""); l.TotalCount != 2 {
		t.Errorf("all: %+v", l)
	}
	refused(t, p, http.MethodGet, path("backups")+"?backup_type=AUTO", "", 400, "DBS.280001")
	refused(t, p, http.MethodDelete, path("backups", slot.IDs.GaussDB), "", 400, "DBS.201208")
	for _, hidden := range []events.Backup{skipped, late} {
		refused(t, p, http.MethodDelete, path("backups", hidden.IDs.GaussDB), "", 400, "DBS.201203")
	}
}

func scheduleID(t *testing.T, instance string) string {
	t.Helper()
	id, err := events.ScheduleID(project, instance, "", events.Automated)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDelete_Batch(t *testing.T) { // case 31; rows 34, 35
	t.Parallel()
	p := setup(t, settings{}, "orders")
	c := made(t, p, "orders", "backup-1")
	before := len(p.Events(project))
	ids := strings.Repeat(`"`+c.Backup.ID+`",`, 50)
	for body, code := range map[string]string{
		`{"backup_ids":[` + ids + `"x"]}`: "DBS.280001", `{"backup_ids":[]}`: "DBS.200006", `{}`: "DBS.200006", "": "DBS.200006",
		`{"backup_ids":null}`: "DBS.200006", `{"backup_ids":"x"}`: "DBS.280001", `{"backup_ids":[5]}`: "DBS.280001", `{"backup_ids":[null]}`: "DBS.280001",
	} {
		refused(t, p, http.MethodDelete, path("backups"), body, 400, code)
	}
	refused(t, p, http.MethodDelete, path("backups")+"/", `{"backup_ids":["`+c.Backup.ID+`"]}`, 404, "APIGW.0101")
	if n := len(p.Events(project)); n != before {
		t.Errorf("%d events", n-before)
	}
	got := pipelinetest.JSON[struct {
		Failed []struct {
			ID      string `json:"backup_id"`
			Code    string `json:"error_code"`
			Message string `json:"error_msg"`
		} `json:"failed_results"`
		Success int `json:"success_count"`
		Count   int `json:"failed_count"`
	}](p, http.MethodDelete, path("backups"), `{"backup_ids":["`+c.Backup.ID+`","nobr07","`+c.Backup.ID+`"]}`)
	if got.Success != 1 || got.Count != 1 || len(got.Failed) != 1 || got.Failed[0].ID != "nobr07" || got.Failed[0].Code != "DBS.201203" || got.Failed[0].Message == "" {
		t.Errorf("%+v", got)
	}
	if l := list(p, ""); l.TotalCount != 0 {
		t.Errorf("%+v", l)
	}
}

func TestDelete_OfABackupThatIsHeld(t *testing.T) { // row 33
	t.Parallel()
	p := setup(t, settings{}, "orders")
	c := made(t, p, "orders", "backup-1")
	hold := func(held string) {
		t.Helper()
		if code, raw := p.Call(http.MethodPatch, "/api/v1/projects/"+project+"/backups/"+ours(t, p, c.Backup.ID), `{"held":`+held+`}`); code != http.StatusAccepted {
			t.Fatalf("%d %s", code, raw)
		}
	}
	hold("true")
	before := len(p.Events(project))
	refused(t, p, http.MethodDelete, path("backups", c.Backup.ID), "", 400, "DBS.201208")
	if code, raw := p.Call(http.MethodDelete, path("backups"), `{"backup_ids":["`+c.Backup.ID+`"]}`); code != 200 || !strings.Contains(string(raw), `"error_code":"DBS.201208"`) {
		t.Errorf("%d %s", code, raw)
	}
	if n := len(p.Events(project)); n != before {
		t.Errorf("refused deletions left %d events", n-before)
	}
	if l := list(p, "backup_id="+c.Backup.ID); l.TotalCount != 1 || l.Backups[0].Status != "COMPLETED" {
		t.Errorf("%+v", l)
	}
	hold("false")
	pipelinetest.JSON[struct{}](p, http.MethodDelete, path("backups", c.Backup.ID), "")
	p.Await(project, ours(t, p, c.Backup.ID), events.Deleted)
}

// What else an instance may be busy with than a backup, where its provider locks the whole instance.
func TestCreate_OfAnInstanceThatIsBusyOtherwise(t *testing.T) { // row 23; 4.9
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{Further: []string{"cloudsql"}})
	ids, bodies, backups := map[string]string{}, map[string]string{}, map[string]created{}
	for _, name := range []string{"restored", "deleted"} {
		p.RegisterAs(project, name, "cloudsql", `{"engine":"mysql","region":"eu"}`)
		id, err := events.InstanceID(project, "cloudsql", name)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = events.GaussInstanceID(id)
		bodies[name] = `{"instance_id":"` + ids[name] + `","name":"backup-1"}`
		backups[name] = pipelinetest.JSON[created](p, http.MethodPost, path("backups", "create"), bodies[name])
		finish(t, p, backups[name].Backup.ID, nil)
	}
	p.Executors.Stop() // what is asked for stays pending
	if code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/backups/"+ours(t, p, backups["restored"].Backup.ID)+":restore", `{"target":{"instance":"restored"}}`); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	pipelinetest.JSON[struct{}](p, http.MethodDelete, path("backups", backups["deleted"].Backup.ID), "")
	before := requests(p)
	for name, status := range map[string]string{"restored": "RESTORING", "deleted": "MODIFYING"} {
		refused(t, p, http.MethodPost, path("backups", "create"), bodies[name], 409, "DBS.200019")
		if _, raw := p.Call(http.MethodGet, path("instances", ids[name]), ""); !strings.Contains(string(raw), `"status":"`+status+`"`) {
			t.Errorf("%s: %s", name, raw)
		}
	}
	if n := requests(p); n != before {
		t.Errorf("%d were stored", n-before)
	}
	p.Executors.Start()
	p.Await(project, ours(t, p, backups["deleted"].Backup.ID), events.Deleted)
	pipelinetest.JSON[created](p, http.MethodPost, path("backups", "create"), bodies["deleted"])
}

func TestDelete_HeldOrBeingRestored(t *testing.T) { // row 33
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	w.instance(project, "orders")
	b := w.backup(project, "orders", 1, nil)
	w.save(events.Restores, "rs_1", project, lifecycle.Running, events.Restore{RestoreID: "rs_1", BackupID: b.BackupID, Project: project, Provider: "sqlite", Instance: "orders",
		State: lifecycle.Running, Target: events.Target{Instance: "orders"}})
	rec := w.do(http.MethodDelete, path("backups", b.IDs.GaussDB), "", nil)
	asRefusal(t, "delete", rec.Code, rec.Header(), rec.Body.Bytes(), 400, "DBS.201208")
}

func TestAnswers_WhenTheBusOrTheViewIsAway(t *testing.T) { // case 37, row 41
	t.Parallel()
	p := setup(t, settings{}, "orders")
	made(t, p, "orders", "backup-1")
	before := len(p.Events(project))
	p.Tracker.Stop()
	c := create(t, p, "orders", "backup-2") // a view that is behind: the log answers
	if l := list(p, ""); l.TotalCount != 2 || l.Backups[0].ID != c.Backup.ID && l.Backups[1].ID != c.Backup.ID {
		t.Errorf("behind: %+v", l)
	}
	if l := list(p, "name=backup-2&backup_type=manual"); l.TotalCount != 1 {
		t.Errorf("behind: %+v", l)
	}
	p.NATS.Stop()
	refused(t, p, http.MethodGet, path("backups"), "", 500, "DBS.200005") // neither view nor log
	refused(t, p, http.MethodPost, path("backups", "create"), body(t, "orders", "backup-3", ""), 500, "DBS.200005")
	p.NATS.Start(t)
	p.Tracker.Start()
	p.Await(project, lastBackup(p), events.Requested)
	if n := len(p.Events(project)); n <= before {
		t.Errorf("%d events", n)
	}
}

// broken is a store that can be switched off.
type broken struct {
	view.Store
	off atomic.Bool
}

var errOff = errors.New("the store is off")

func (b *broken) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if b.off.Load() {
		return nil, errOff
	}
	return b.Store.Get(ctx, keys...)
}

func (b *broken) Page(ctx context.Context, sets []string, after, before string, offset, limit int) ([]string, int, error) {
	if b.off.Load() {
		return nil, 0, errOff
	}
	return b.Store.Page(ctx, sets, after, before, offset, limit)
}

// A view that cannot be read is no reason for a refusal (design.md 2): the log has the same answer. Without either
// there is none, and never an empty list.
func TestAnswers_WhenTheStoreOfTheViewIsAway(t *testing.T) { // case 37
	t.Parallel()
	store := &broken{Store: view.NewMemory(time.Now)}
	p := pipelinetest.Start(t, pipelinetest.Options{Store: store})
	p.Register(project, "orders")
	c := made(t, p, "orders", "backup-1")
	p.Tracker.Stop()
	store.off.Store(true)
	for _, query := range []string{"", "backup_id=" + c.Backup.ID, "instance_id=" + c.Backup.InstanceID, "name=backup-1"} {
		if l := list(p, query); l.TotalCount != 1 || l.Backups[0].Status != "COMPLETED" {
			t.Errorf("%s from the log: %+v", query, l)
		}
	}
	p.NATS.Stop()
	refused(t, p, http.MethodGet, path("backups"), "", 500, "DBS.200005")
	p.NATS.Start(t)
	store.off.Store(false)
}

func TestCreate_OneOfTwentyAtOnce(t *testing.T) { // row 22
	t.Parallel()
	p := setup(t, settings{}, "orders")
	codes := make([]int, 20)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			codes[i], _ = p.Call(http.MethodPost, path("backups", "create"), body(t, "orders", "backup", ""))
		})
	}
	wg.Wait()
	slices.Sort(codes)
	if codes[0] != http.StatusCreated || codes[1] != http.StatusConflict || codes[19] != http.StatusConflict {
		t.Errorf("%v", codes)
	}
	if n := requests(p); n != 1 {
		t.Errorf("%d are stored", n)
	}
}

func lastBackup(p *pipelinetest.Pipeline) string {
	all := p.Events(project)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Entity() == events.Backups {
			return all[i].PartitionKey
		}
	}
	return ""
}
