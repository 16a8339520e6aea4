package native_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// take makes a backup that ends well.
func take(t *testing.T, p *pipelinetest.Pipeline, instance string) string {
	t.Helper()
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"`+instance+`"}`).BackupID
	p.Await("shop", id, events.Succeeded)
	return id
}

func TestStream_FilterAndProgress(t *testing.T) { // case L4
	t.Parallel()
	p := setup(t, "orders", "users")
	loud := listen(t, p, "progress=true&type=backup.*&filter="+url.QueryEscape("severitynumber >= 13 OR severitynumber = 5"), "")
	loud.next()
	p.Hand.FailDeletions(&events.Failure{Code: events.Network, Category: events.BySystem, Message: "away"})
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`).BackupID
	p.Await("shop", id, events.Started)
	seen := loud.next()
	if seen.Event != "dev.backupbus.backup.progress.v1" || seen.ID != "" || !strings.Contains(seen.Data, id) {
		t.Errorf("%+v", seen)
	}
	p.Hand.Auto()
	p.Await("shop", id, events.Succeeded)
	if code, _ := p.Call(http.MethodDelete, base+"/backups/"+id, ""); code != http.StatusAccepted {
		t.Fatal(code)
	}
	for seen = loud.next(); seen.Event == "dev.backupbus.backup.progress.v1"; seen = loud.next() {
	}
	if seen.Event != "dev.backupbus.backup.deletion_failed.v1" || seen.ID == "" {
		t.Errorf("first of the events that need a person: %+v", seen)
	}
}

func TestStream_BadParametersAreNoStream(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	for query, code := range map[string]int{
		"filter=" + url.QueryEscape("state = 'x"): 400, "filter=" + url.QueryEscape("= = ="): 400, "cursor=x": 400, "since=yesterday": 400,
		"filter=" + strings.Repeat("x", 2000): 422, "progress=perhaps": 422,
	} {
		got, h, _ := p.CallHeaders(http.MethodGet, base+"/events?"+query, "", nil)
		if got != code || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.40s: %d %s", query, got, h.Get("Content-Type"))
		}
	}
}

func TestStream_OneTooManyIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	var open []*listener
	for range 100 {
		l := listen(t, p, "", "")
		l.next()
		open = append(open, l)
	}
	code, h, body := p.CallHeaders(http.MethodGet, base+"/events", "", nil)
	if code != http.StatusTooManyRequests || h.Get("Retry-After") == "" || !strings.Contains(string(body), "RATE_LIMITED") {
		t.Fatalf("%d %v %s", code, h, body)
	}
	if code, _, _ := p.CallHeaders(http.MethodGet, base+"/events?limit=1", "", http.Header{"Accept": {"application/cloudevents-batch+json"}}); code != 200 {
		t.Errorf("a page is no stream: %d", code)
	}
	_ = open[0].resp.Body.Close()
	for end := time.Now().Add(pipelinetest.Patience); ; { // the server learns of it when it writes
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+base+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == 200 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a closed stream still counts")
		}
	}
}

type page struct {
	events                  []events.Event
	next, cursor, truncated string
}

func readPage(t *testing.T, p *pipelinetest.Pipeline, path string) page {
	t.Helper()
	code, h, body := p.CallHeaders(http.MethodGet, path, "", http.Header{"Accept": {"application/cloudevents-batch+json"}})
	if code != 200 || h.Get("Content-Type") != "application/cloudevents-batch+json" {
		t.Fatalf("%s: %d %s", path, code, body)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatal(err)
	}
	out := page{cursor: h.Get("Backupbus-Next-Cursor"), truncated: h.Get("Backupbus-Truncated")}
	for _, r := range raw {
		ev, err := events.Parse(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		out.events = append(out.events, ev)
	}
	if link := h.Get("Link"); link != "" {
		out.next = strings.TrimPrefix(strings.Split(link, ">")[0], "<")
	}
	return out
}

func TestPages_HoldEveryEventOnceInOrder(t *testing.T) { // case L7
	t.Parallel()
	p := setup(t, "orders", "users")
	p.Hand.Auto()
	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	for range 3 {
		take(t, p, "orders")
	}
	other := take(t, p, "users")
	var want, got []string
	for _, ev := range p.Events("shop") {
		if ev.Entity() == events.Backups {
			want = append(want, ev.ID)
		}
	}
	last := ""
	for path := base + "/events?type=backup.*&limit=5&since=" + url.QueryEscape(began); path != ""; {
		pg := readPage(t, p, path)
		if len(pg.events) > 5 || pg.next != "" && len(pg.events) < 5 {
			t.Errorf("a page of %d, next %q", len(pg.events), pg.next)
		}
		for _, ev := range pg.events {
			got = append(got, ev.ID)
		}
		path, last = pg.next, pg.cursor
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if end := readPage(t, p, base+"/events?cursor="+last); len(end.events) != 0 || end.cursor != last {
		t.Errorf("after the end: %+v", end)
	}
	// The cursor of a page is that of the stream.
	live := listen(t, p, "type=backup.*", last)
	if hello := live.next(); hello.ID != last {
		t.Errorf("%+v after %s", hello, last)
	}
	again := take(t, p, "users")
	if first := live.next(); !strings.Contains(first.Data, again) {
		t.Errorf("%+v", first)
	}
	if one := readPage(t, p, base+"/events?backup="+other+"&filter="+url.QueryEscape("state = 'SUCCESSFUL'")); len(one.events) != 1 || one.events[0].Step() != events.Succeeded {
		t.Errorf("%+v", one.events)
	}
	// What goes on after a page with nothing in it misses nothing, and repeats nothing.
	if none := readPage(t, p, base+"/events?until="+url.QueryEscape(began)); len(none.events) != 0 || none.next != "" || !strings.HasSuffix(none.cursor, "-0") {
		t.Errorf("%+v", none)
	}
	future := readPage(t, p, base+"/events?since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if len(future.events) != 0 || future.next != "" {
		t.Errorf("%+v", future)
	}
	if after := readPage(t, p, base+"/events?cursor="+future.cursor); len(after.events) != 0 {
		t.Errorf("after %s: %+v", future.cursor, after.events)
	}
	middle := p.Events("shop")[4]
	first := readPage(t, p, base+"/events?until="+url.QueryEscape(middle.Time.UTC().Format(time.RFC3339Nano)))
	rest := readPage(t, p, base+"/events?limit=1000&cursor="+first.cursor)
	if len(first.events) == 0 || len(first.events)+len(rest.events) != len(p.Events("shop")) || !first.events[len(first.events)-1].Time.Before(middle.Time) {
		t.Errorf("%d events before %s, %d after", len(first.events), middle.Time, len(rest.events))
	}
	if lost := readPage(t, p, base+"/events?cursor=00000000-9&limit=1"); lost.truncated != "true" || len(lost.events) != 1 || lost.events[0].Sequence != "0000000001" {
		t.Errorf("%+v", lost)
	}
}

func TestEvent_IsReadByItsID(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	id := take(t, p, "orders")
	code, h, body := p.CallHeaders(http.MethodGet, base+"/events/"+id+"-succeeded-1", "", nil)
	ev, err := events.Parse(nil, body)
	if code != 200 || h.Get("Content-Type") != "application/cloudevents+json" || err != nil || ev.Step() != events.Succeeded || ev.PartitionKey != id {
		t.Errorf("%d %v %s %v", code, h, body, err)
	}
	for _, wrong := range []string{id + "-succeeded-2", id + "-deleted", id, "nobody", "bk_x-*", strings.Repeat("x", 100) + "-failed"} {
		refused(t, p, http.MethodGet, base+"/events/"+url.PathEscape(wrong), "", 404, "EVENT_NOT_FOUND")
	}
	refused(t, p, http.MethodGet, "/api/v1/projects/other/events/"+id+"-succeeded-1", "", 404, "EVENT_NOT_FOUND")
}

// TestEventTypes_CarrySchemasThatStandAlone: an event of the log passes the schema that is served for its type.
func TestEventTypes_CarrySchemasThatStandAlone(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	take(t, p, "orders")
	list := pipelinetest.JSON[struct {
		EventTypes []struct{ Type, DataSchema, Schema string }
	}](p, http.MethodGet, "/api/v1/event-types", "").EventTypes
	if len(list) < 30 {
		t.Fatalf("%d types", len(list))
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, et := range list {
		code, h, body := p.CallHeaders(http.MethodGet, et.Schema, "", nil)
		if code != 200 || h.Get("Content-Type") != "application/schema+json" {
			t.Fatalf("%s: %d", et.Schema, code)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:///schema", doc); err != nil {
			t.Fatal(et.Type, err)
		}
		if compiled[et.DataSchema], err = c.Compile("mem:///schema"); err != nil {
			t.Fatal(et.Type, err)
		}
	}
	checked := 0
	for _, ev := range p.Events("shop") {
		s := compiled[ev.DataSchema]
		if s == nil {
			t.Errorf("%s is not listed", ev.DataSchema)
			continue
		}
		data, err := jsonschema.UnmarshalJSON(strings.NewReader(string(ev.Data)))
		if err == nil {
			err = s.Validate(data)
		}
		if err != nil {
			t.Error(ev.Type, err)
		}
		checked++
	}
	if checked < 4 {
		t.Errorf("%d events were checked", checked)
	}
	refused(t, p, http.MethodGet, "/api/v1/event-types/dev.backupbus.nothing.v1/schema", "", 404, "EVENT_TYPE_NOT_FOUND")
	refused(t, p, http.MethodGet, "/api/v1/event-types/defs/schema", "", 404, "EVENT_TYPE_NOT_FOUND")
}

// TestBackups_AsOfAPastTime: before, between and after the steps of a backup that is deleted by now.
func TestBackups_AsOfAPastTime(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	first, second := take(t, p, "orders"), take(t, p, "orders")
	if code, _ := p.Call(http.MethodDelete, base+"/backups/"+first, ""); code != http.StatusAccepted {
		t.Fatal(code)
	}
	p.Await("shop", first, events.Deleted)
	at := map[string]time.Time{}
	for _, ev := range p.Events("shop") {
		at[ev.ID] = ev.Time
	}
	states := func(when time.Time, query string) string {
		q := "?asOf=" + url.QueryEscape(when.UTC().Format(time.RFC3339Nano)) + query
		list := pipelinetest.JSON[struct {
			Backups    []struct{ BackupID, State string }
			NextCursor string
		}](p, http.MethodGet, base+"/backups"+q, "")
		var said []string
		for _, b := range list.Backups {
			said = append(said, map[string]string{first: "first", second: "second"}[b.BackupID]+" "+b.State)
		}
		return strings.Join(said, ", ")
	}
	for _, c := range []struct{ when, want string }{
		{first + "-requested", "first ENQUEUED"}, {first + "-started-1", "first RUNNING"}, {first + "-succeeded-1", "first SUCCESSFUL"},
		{second + "-succeeded-1", "second SUCCESSFUL, first SUCCESSFUL"}, {first + "-deletion_requested-1", "second SUCCESSFUL, first DELETION_PENDING"},
		{first + "-deleted", "second SUCCESSFUL"},
	} {
		moment, ok := at[c.when]
		if !ok {
			t.Fatalf("no event %s in %v", c.when, at)
		}
		if got := states(moment, ""); got != c.want {
			t.Errorf("as of %s: %q, want %q", c.when, got, c.want)
		}
	}
	if got := states(at[first+"-requested"].Add(-time.Minute), ""); got != "" {
		t.Errorf("before everything: %q", got)
	}
	q := "?asOf=" + url.QueryEscape(at[first+"-started-1"].UTC().Format(time.RFC3339Nano))
	if b := pipelinetest.JSON[struct{ State string }](p, http.MethodGet, base+"/backups/"+first+q, ""); b.State != "RUNNING" {
		t.Errorf("%+v", b)
	}
	refused(t, p, http.MethodGet, base+"/backups/"+second+q, "", 404, "BACKUP_NOT_FOUND")
	refused(t, p, http.MethodGet, base+"/backups?asOf="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "", 400, "SCHEMA_VIOLATION")
	refused(t, p, http.MethodGet, base+"/backups?asOf=yesterday", "", 422, "SCHEMA_VIOLATION")
}
