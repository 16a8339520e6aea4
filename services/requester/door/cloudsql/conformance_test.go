package cloudsql_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// The cases of cloudsql.md C that this door holds so far, over the real pipeline.

type op struct {
	Kind, Status, Name, OperationType, TargetId, TargetProject, TargetLink, SelfLink, User string
	InsertTime, StartTime, EndTime                                                         string
	BackupContext                                                                          *struct{ Kind, BackupId string }
	Error                                                                                  *struct {
		Kind   string
		Errors []struct{ Kind, Code, Message string }
	}
}

type run struct {
	Kind, Status, Id, Type, Instance, SelfLink, Location string
	EnqueuedTime, WindowStartTime, StartTime, EndTime    string
	Description                                          *string
	Error                                                *struct{ Kind, Code, Message string }
}

type runList struct {
	Kind          string
	Items         []run
	NextPageToken string
}

type envelope struct {
	Error struct {
		Code    int
		Message string
		Status  *string
		Errors  []struct{ Message, Domain, Reason string }
	}
}

func path(parts ...string) string { return "/sql/v1beta4/projects/" + strings.Join(parts, "/") }

func insert(t *testing.T, p *pipelinetest.Pipeline, instance, body string) op {
	t.Helper()
	return pipelinetest.JSON[op](p, http.MethodPost, path("acme", "instances", instance, "backupRuns"), body)
}

func getRun(p *pipelinetest.Pipeline, instance, id string) run {
	return pipelinetest.JSON[run](p, http.MethodGet, path("acme", "instances", instance, "backupRuns", id), "")
}

func getOp(p *pipelinetest.Pipeline, name string) op {
	return pipelinetest.JSON[op](p, http.MethodGet, path("acme", "operations", name), "")
}

// backupID is our id of the newest run.
func backupID(t *testing.T, p *pipelinetest.Pipeline) string {
	t.Helper()
	all := p.Events("acme")
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Entity() == events.Backups {
			return all[i].PartitionKey
		}
	}
	t.Fatal("no backup in the log")
	return ""
}

func refused(t *testing.T, p *pipelinetest.Pipeline, method, path, body string, code int, reason string) envelope {
	t.Helper()
	got, raw := p.Call(method, path, body)
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("%s %s: %d, not JSON: %s", method, path, got, raw)
	}
	if len(e.Error.Errors) == 0 {
		t.Fatalf("%s %s: %d %s", method, path, got, raw)
	}
	if got != code || e.Error.Errors[0].Reason != reason {
		t.Errorf("%s %s: %d %s, want %d %s", method, path, got, e.Error.Errors[0].Reason, code, reason)
	}
	if e.Error.Code != got || e.Error.Errors[0].Message != e.Error.Message || e.Error.Errors[0].Domain != "global" { // case 45
		t.Errorf("%s %s: envelope is not in itself right: %s", method, path, raw)
	}
	return e
}

func setup(t *testing.T, instances ...string) *pipelinetest.Pipeline {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	for _, i := range instances {
		p.Register("acme", i)
	}
	return p
}

func stamp(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !strings.HasSuffix(s, "Z") {
		t.Fatalf("time %q: %v", s, err)
	}
	return v
}

func TestConformance_LifeOfARun(t *testing.T) { // cases 1-6, 9, 15, 19, 20, 22
	t.Parallel()
	p := setup(t, "orders")
	p.Executors.Stop()
	o := insert(t, p, "orders", "") // 1
	if o.Kind != "sql#operation" || o.OperationType != "BACKUP_VOLUME" || o.Status != "PENDING" || o.TargetId != "orders" || o.TargetProject != "acme" {
		t.Errorf("operation %+v", o)
	}
	if o.BackupContext == nil || strings.Trim(o.BackupContext.BackupId, "0123456789") != "" { // 2
		t.Fatalf("backupContext %+v", o.BackupContext)
	}
	id := o.BackupContext.BackupId
	r := getRun(p, "orders", id)
	ms := strconv.FormatInt(stamp(t, r.EnqueuedTime).UnixMilli(), 10) // 3
	if ms != id || r.WindowStartTime != r.EnqueuedTime || o.InsertTime != r.EnqueuedTime {
		t.Errorf("id %s, enqueued %s, window %s, insert %s", id, r.EnqueuedTime, r.WindowStartTime, o.InsertTime)
	}
	if r.Status != "ENQUEUED" || r.StartTime != "" || r.EndTime != "" || r.Error != nil { // 4
		t.Errorf("just accepted: %+v", r)
	}
	if r.Kind != "sql#backupRun" || r.Type != "ON_DEMAND" || r.Description != nil || r.Instance != "orders" || r.Location != "eu" { // 9
		t.Errorf("run %+v", r)
	}
	if want := p.URL + path("acme", "instances", "orders", "backupRuns", id); r.SelfLink != want {
		t.Errorf("selfLink %q, want %q", r.SelfLink, want)
	}
	p.Executors.Start()
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started) // 5
	r, o = getRun(p, "orders", id), getOp(p, o.Name)
	if r.Status != "RUNNING" || o.Status != "RUNNING" || r.StartTime == "" || o.StartTime == "" || r.EndTime != "" || o.EndTime != "" {
		t.Errorf("running: %+v %+v", r, o)
	}
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded) // 6
	o, r = getOp(p, o.Name), getRun(p, "orders", id)
	if o.Status != "DONE" || o.Error != nil || r.Status != "SUCCESSFUL" || stamp(t, r.EndTime).Before(stamp(t, r.StartTime)) || stamp(t, r.StartTime).Before(stamp(t, r.EnqueuedTime)) {
		t.Errorf("done: %+v %+v", r, o)
	}
	deletion(t, p, id, bk)
}

func deletion(t *testing.T, p *pipelinetest.Pipeline, id, bk string) {
	t.Helper()
	p.Executors.Stop()
	o := pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", id), "") // 19
	if o.OperationType != "DELETE_BACKUP" || o.Status != "PENDING" || o.TargetId != "orders" || o.BackupContext != nil {
		t.Errorf("deletion %+v", o)
	}
	if r := getRun(p, "orders", id); r.Status != "DELETION_PENDING" || r.Error != nil {
		t.Errorf("run %+v", r)
	}
	refused(t, p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", id), "", 409, "operationInProgress") // B9
	refused(t, p, http.MethodPost, path("acme", "instances", "orders", "backupRuns"), "", 409, "operationInProgress")       // PD-5
	p.Executors.Start()
	p.Await("acme", bk, events.Deleted)
	if o = getOp(p, o.Name); o.Status != "DONE" || o.Error != nil || o.EndTime == "" {
		t.Errorf("deletion %+v", o)
	}
	list := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "orders", "backupRuns"), "") // 20
	if len(list.Items) != 0 {
		t.Errorf("a deleted run is listed: %+v", list)
	}
	if r := getRun(p, "orders", id); r.Status != "DELETED" {
		t.Errorf("tombstone %+v", r)
	}
	refused(t, p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", id), "", 400, "errorInvalidBackupRunStatus") // 22
}

func TestConformance_FailureIsOnRunAndOperation(t *testing.T) { // case 7
	t.Parallel()
	p := setup(t, "orders")
	o := insert(t, p, "orders", "{}")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started)
	p.Hand.Finish(bk, &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
	p.Await("acme", bk, events.Failed)
	o, r := getOp(p, o.Name), getRun(p, "orders", o.BackupContext.BackupId)
	if o.Status != "DONE" || o.Error == nil || o.Error.Kind != "sql#operationErrors" || len(o.Error.Errors) != 1 ||
		o.Error.Errors[0].Code != "PERMISSION_DENIED" || o.Error.Errors[0].Message == "" {
		t.Errorf("operation %+v", o)
	}
	if r.Status != "FAILED" || r.Error == nil || r.Error.Code != "PERMISSION_DENIED" || r.Error.Kind != "sql#operationError" || r.EndTime == "" {
		t.Errorf("run %+v", r)
	}
}

func TestConformance_BodyOfInsert(t *testing.T) { // case 8
	t.Parallel()
	p := setup(t, "orders")
	p.Executors.Stop()
	o := insert(t, p, "orders", `{"description":"x","type":"AUTOMATED","status":"SUCCESSFUL","id":"5","instance":"other","unheard":[{}]}`)
	r := getRun(p, "orders", o.BackupContext.BackupId)
	if r.Type != "ON_DEMAND" || r.Status != "ENQUEUED" || r.Id == "5" || r.Description == nil || *r.Description != "x" || r.Instance != "orders" {
		t.Errorf("run %+v", r)
	}
}

func TestConformance_OneOperationAtATime(t *testing.T) { // cases 10, 11; B8
	t.Parallel()
	p := setup(t, "a", "b")
	insert(t, p, "a", "")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Started)
	before := len(p.Events("acme"))
	e := refused(t, p, http.MethodPost, path("acme", "instances", "a", "backupRuns"), "", 409, "operationInProgress")
	if e.Error.Status != nil {
		t.Errorf("status %q on an error of the SQL service", *e.Error.Status)
	}
	list := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "a", "backupRuns"), "")
	refused(t, p, http.MethodDelete, path("acme", "instances", "a", "backupRuns", list.Items[0].Id), "", 409, "operationInProgress")
	if after := len(p.Events("acme")); after != before {
		t.Errorf("a refused request left %d events", after-before)
	}
	insert(t, p, "b", "")
}

func TestConformance_TwentyInsertsAtOnce(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	codes := make(chan int, 20)
	for range 20 {
		go func() {
			code, _ := p.Call(http.MethodPost, path("acme", "instances", "orders", "backupRuns"), "")
			codes <- code
		}()
	}
	count := map[int]int{}
	for range 20 {
		count[<-codes]++
	}
	if diff := cmp.Diff(map[int]int{200: 1, 409: 19}, count); diff != "" {
		t.Error(diff)
	}
}

func TestConformance_Refusals(t *testing.T) { // cases 12-14, 23, 27, 45; B
	t.Parallel()
	p := setup(t, "orders")
	runs := path("acme", "instances", "orders", "backupRuns")
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		reason                   string
		platform                 bool
	}{
		{"B1 insert", "POST", path("acme", "instances", "none", "backupRuns"), "", 404, "instanceDoesNotExist", false},
		{"B1 list", "GET", path("acme", "instances", "none", "backupRuns"), "", 404, "instanceDoesNotExist", false},
		{"B1 get", "GET", path("acme", "instances", "none", "backupRuns", "5"), "", 404, "instanceDoesNotExist", false},
		{"instance", "GET", path("acme", "instances", "none"), "", 404, "instanceDoesNotExist", false},
		{"B2", "GET", runs + "/5", "", 404, "backupRunDoesNotExist", false},
		{"B3", "DELETE", runs + "/5", "", 404, "backupRunDoesNotExist", false},
		{"B4", "GET", path("acme", "operations", "0b6f5c1e-6c1b-4a6e-9d53-2f0a00000032"), "", 404, "operationDoesNotExist", false},
		{"B17", "POST", runs, `{"location":"Nowhere!"}`, 400, "invalid", false},
		{"B19", "POST", runs, `{"description":`, 400, "parseError", true},
		{"array", "POST", runs, `[]`, 400, "invalid", true},
		{"wrong type", "POST", runs, `{"description":7}`, 400, "invalid", true},
		{"PD-12", "POST", runs, `{"description":"` + strings.Repeat("x", 1025) + `"}`, 400, "invalid", false},
		{"secret", "POST", runs, `{"description":"password=hunter2"}`, 400, "invalid", false},
		{"too large", "POST", runs, `{"description":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "requestTooLarge", true},
		{"B23", "GET", runs + "?maxResults=-1", "", 400, "invalid", false},
		{"maxResults", "GET", runs + "?maxResults=many", "", 400, "invalid", false},
		{"B25", "GET", runs + "?pageToken=garbled", "", 400, "invalid", false},
		{"B26", "GET", runs + "/abc", "", 400, "invalid", false},
		{"B26 int64", "GET", runs + "/9223372036854775808", "", 400, "invalid", false},
		{"B26 zero", "GET", runs + "/0", "", 400, "invalid", false},
		{"B27", "GET", path("acme", "instances", "-", "backupRuns", "5"), "", 400, "invalidRequest", false},
		{"PD-17", "POST", path("acme", "instances", "-", "backupRuns"), "", 400, "invalidRequest", false},
		{"alt", "GET", runs + "?alt=proto", "", 400, "invalid", false},
		{"B43", "GET", "/sql/v1beta4/nothing", "", 404, "notFound", true},
		{"wrong verb", "PUT", runs, "{}", 404, "notFound", true},
		{"27", "GET", "/v1beta4/projects/acme/instances/orders/backupRuns", "", 404, "notFound", true},
		{"no redirect", "GET", "/sql//v1beta4/../x", "", 404, "notFound", true},
		{"trailing slash", "GET", runs + "/", "", 404, "notFound", true},
		{"control character", "GET", path("acme", "instances", "a%00b", "backupRuns"), "", 404, "instanceDoesNotExist", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := refused(t, p, c.method, c.path, c.body, c.code, c.reason)
			if (e.Error.Status != nil) != c.platform {
				t.Errorf("status %v", e.Error.Status)
			}
		})
	}
	if n := len(p.Events("acme")); n != 1 {
		t.Errorf("refused requests left %d events", n-1)
	}
}

func TestConformance_ListsAndPages(t *testing.T) { // cases 15-18, B21, B22, B24
	t.Parallel()
	p := setup(t, "a", "b", "empty")
	p.Hand.Auto()
	var want []string
	for n := range 25 {
		o := insert(t, p, "a", fmt.Sprintf(`{"description":"%d"}`, n))
		want = append([]string{o.BackupContext.BackupId}, want...)
		p.Await("acme", backupID(t, p), events.Succeeded)
	}
	other := insert(t, p, "b", "")
	var got []string
	token, pages := "", 0
	for {
		list := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "a", "backupRuns")+"?maxResults=10&pageToken="+token, "")
		pages++
		for _, r := range list.Items {
			got = append(got, r.Id)
		}
		if token = list.NextPageToken; token == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("%d pages\n%s", pages, diff)
	}
	all := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "-", "backupRuns"), "")
	if len(all.Items) != 26 || all.Items[0].Instance != "b" || all.Items[0].Id != other.BackupContext.BackupId || all.Items[1].Instance != "a" ||
		!strings.Contains(all.Items[1].SelfLink, "/instances/a/") {
		t.Errorf("merged list has %d items, first %+v", len(all.Items), all.Items[0])
	}
	first := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "a", "backupRuns")+"?maxResults=5", "")
	refused(t, p, http.MethodGet, path("acme", "instances", "b", "backupRuns")+"?pageToken="+first.NextPageToken, "", 400, "invalid") // PD-2
	code, raw := p.Call(http.MethodGet, path("acme", "instances", "empty", "backupRuns")+"?prettyPrint=false", "")
	if code != 200 || string(raw) != `{"kind":"sql#backupRunsList"}`+"\n" {
		t.Errorf("empty list: %d %s", code, raw)
	}
	ops := pipelinetest.JSON[opList](p, http.MethodGet, path("acme", "operations")+"?instance=b", "") // 24
	if ops.Kind != "sql#operationsList" || len(ops.Items) != 1 || ops.Items[0].Name != other.Name {
		t.Errorf("operations of b: %+v", ops)
	}
}

func TestConformance_RequesterRestart(t *testing.T) { // case 41
	t.Parallel()
	p := setup(t, "orders")
	o := insert(t, p, "orders", "")
	bk := backupID(t, p)
	p.Requester.Stop()
	p.Hand.Auto()
	p.Requester.Start()
	p.Await("acme", bk, events.Succeeded)
	if o, r := getOp(p, o.Name), getRun(p, "orders", o.BackupContext.BackupId); o.Status != "DONE" || r.Status != "SUCCESSFUL" {
		t.Errorf("after the restart: %s, %s", o.Status, r.Status)
	}
}

func TestConformance_BusDown(t *testing.T) { // case 42, B44
	t.Parallel()
	p := setup(t, "orders")
	before := len(p.Events("acme"))
	p.NATS.Stop()
	refused(t, p, http.MethodPost, path("acme", "instances", "orders", "backupRuns"), "", 503, "backendError")
	p.NATS.Start(t)
	if got := len(p.Events("acme")); got != before {
		t.Errorf("%d stray events after the recovery", got-before)
	}
	p.Hand.Auto()
	insert(t, p, "orders", "")
	p.Await("acme", backupID(t, p), events.Succeeded)
}

func TestAnswers_HaveTheServicesHeaders(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	code, h, raw := p.CallHeaders(http.MethodGet, path("acme", "instances", "orders"), "", nil)
	if code != 200 || h.Get("Content-Type") != "application/json; charset=UTF-8" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Server") != "ESF" {
		t.Errorf("%d %v", code, h)
	}
	var i struct {
		Kind, Name, State, DatabaseVersion, ConnectionName string
		Settings                                           struct{ SettingsVersion string }
	}
	if err := json.Unmarshal(raw, &i); err != nil || i.Kind != "sql#instance" || i.Name != "orders" || i.State != "RUNNABLE" ||
		i.Settings.SettingsVersion != "1" || i.ConnectionName != "acme:eu:orders" {
		t.Errorf("%s: %v", raw, err)
	}
	list := pipelinetest.JSON[struct {
		Kind  string
		Items []struct{ Name string }
	}](p, http.MethodGet, path("acme", "instances"), "")
	if list.Kind != "sql#instancesList" || len(list.Items) != 1 {
		t.Errorf("instances %+v", list)
	}
}

func TestConformance_LateEventsChangeNothing(t *testing.T) { // case 40
	t.Parallel()
	p := setup(t, "orders")
	o := insert(t, p, "orders", "")
	bk := backupID(t, p)
	started := p.Await("acme", bk, events.Started)
	p.Hand.Finish(bk, nil)
	p.Await("acme", bk, events.Succeeded)
	before, opBefore := getRun(p, "orders", o.BackupContext.BackupId), getOp(p, o.Name)
	subject := "backupbus.v1.event.acme.sqlite.orders.backup." + bk + ".started"
	p.NATS.Publish(t, subject, started.Event) // again, behind the success
	state, err := p.Bus.State(t.Context())
	if err == nil {
		err = p.View.Passed(t.Context(), "acme", state.Last)
	}
	if err != nil {
		t.Fatal(err)
	}
	next := insert(t, p, "orders", "")
	if diff := cmp.Diff(before, getRun(p, "orders", before.Id)); diff != "" {
		t.Errorf("run:\n%s", diff)
	}
	if diff := cmp.Diff(opBefore, getOp(p, o.Name)); diff != "" {
		t.Errorf("operation:\n%s", diff)
	}
	if next.Status != "PENDING" {
		t.Errorf("%+v", next)
	}
}

func TestConformance_DeletedNeighboursRemain(t *testing.T) { // case 20, B24
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	var ids, backups []string
	for range 3 {
		ids = append(ids, insert(t, p, "orders", "").BackupContext.BackupId)
		backups = append(backups, backupID(t, p))
		p.Await("acme", backups[len(backups)-1], events.Succeeded)
	}
	pipelinetest.JSON[op](p, http.MethodDelete, path("acme", "instances", "orders", "backupRuns", ids[1]), "")
	p.Await("acme", backups[1], events.Deleted)
	list := pipelinetest.JSON[runList](p, http.MethodGet, path("acme", "instances", "orders", "backupRuns")+"?maxResults=100000", "")
	if len(list.Items) != 2 || list.Items[0].Id != ids[2] || list.Items[1].Id != ids[0] {
		t.Errorf("%+v", list.Items)
	}
}

func TestConformance_InsertAndDeleteAtOnce(t *testing.T) { // PD-5: one of them gets the lock
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	id := insert(t, p, "orders", "").BackupContext.BackupId
	p.Await("acme", backupID(t, p), events.Succeeded)
	p.Executors.Stop()
	codes := make(chan int, 2)
	for method, at := range map[string]string{http.MethodPost: "", http.MethodDelete: "/" + id} {
		go func() {
			code, _ := p.Call(method, path("acme", "instances", "orders", "backupRuns")+at, "")
			codes <- code
		}()
	}
	if a, b := <-codes, <-codes; a+b != 200+409 {
		t.Errorf("answers %d and %d, want one 200 and one 409", a, b)
	}
}
