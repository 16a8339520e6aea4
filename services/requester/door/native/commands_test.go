package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	wm "github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

func event(id string, v events.Verb, data string) string {
	return `{"specversion":"1.0","id":"` + id + `","source":"/cron","type":"` + v.Type() + `","data":` + data + `}`
}

func post(t *testing.T, p *pipelinetest.Pipeline, header http.Header, body string) (int, http.Header, []byte) {
	t.Helper()
	return p.CallHeaders(http.MethodPost, base+"/events", body, header)
}

var inJSON = http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}

func TestPostCommand_InBothModes(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	code, h, raw := post(t, p, inJSON, event("1", events.CreateBackup, `{"instance":"orders"}`))
	var first, again receipt
	if err := json.Unmarshal(raw, &first); err != nil || code != http.StatusAccepted || h.Get("Location") != base+"/backups/"+first.BackupID || first.State != "ENQUEUED" {
		t.Fatalf("%d %s %s", code, h.Get("Location"), raw)
	}
	p.Hand.Auto()
	p.Await("shop", first.BackupID, events.Succeeded)
	binary := http.Header{"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/cron"}, "Ce-Type": {events.CreateBackup.Type()}}
	_, _, raw = post(t, p, binary, `{ "instance": "orders" }`)
	if err := json.Unmarshal(raw, &again); err != nil || again.BackupID != first.BackupID || again.RequestID != first.RequestID || again.State != "SUCCESSFUL" {
		t.Errorf("the same in binary mode: %s", raw)
	}
	_, h, raw = post(t, p, inJSON, event("2", events.RestoreBackup, `{"backupId":"`+first.BackupID+`","target":{"instance":"orders"}}`))
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil || r.RestoreID == "" || h.Get("Location") != base+"/restores/"+r.RestoreID {
		t.Errorf("%s %s", h.Get("Location"), raw)
	}
	for _, s := range p.Events("shop") {
		if s.Entity() == events.Requests {
			t.Errorf("%s was told", s.ID)
		}
	}
}

// Case R11, and what else is refused: nothing is stored.
func TestPostCommand_Refusals(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "users")
	var first receipt
	if code, _, raw := post(t, p, inJSON, event("1", events.CreateBackup, `{"instance":"orders"}`)); code != http.StatusAccepted || json.Unmarshal(raw, &first) != nil {
		t.Fatalf("%d %s", code, raw)
	}
	p.Await("shop", first.BackupID, events.Started) // nothing happens now until its end
	stored := len(p.Events("shop"))
	lifecycleEvent := strings.Replace(event("2", events.CreateBackup, `{}`), events.CreateBackup.Type(), "dev.backupbus.backup.succeeded.v1", 1)
	for _, c := range []struct {
		header http.Header
		body   string
		code   int
		reason string
	}{
		{inJSON, lifecycleEvent, 403, events.UnsupportedType},
		{http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, "[]", 415, events.MalformedEvent},
		{http.Header{"Content-Type": {"application/cloudevents+avro"}}, "x", 415, events.MalformedEvent},
		{inJSON, "hello", 400, events.MalformedEvent},
		{inJSON, event("3", events.CreateBackup, `{}`), 400, events.SchemaViolation},
		{inJSON, event("4", events.CreateBackup, `{"instance":"users","description":"password=hunter2"}`), 400, events.ForbiddenContent},
		{inJSON, event("5", events.CreateBackup, `{"instance":"orders"}`), 409, "PENDING_BACKUP_EXISTS"},
		{inJSON, event("1", events.CreateBackup, `{"instance":"users"}`), 409, "IDEMPOTENCY_CONFLICT"},
		{inJSON, event("6", events.CreateBackup, `{"instance":"nobody"}`), 404, "INSTANCE_NOT_FOUND"},
		{inJSON, strings.Replace(event("7", events.CreateBackup, `{"instance":"users"}`), `"data"`, `"project":"other","data"`, 1), 400, events.SubjectMismatch},
		{inJSON, event("8", events.CreateBackup, `{"instance":"users","x":"`+strings.Repeat("x", events.MaxMessage)+`"}`), 413, events.TooLarge},
	} {
		code, h, raw := post(t, p, c.header, c.body)
		var e problem
		if err := json.Unmarshal(raw, &e); err != nil || code != c.code || e.Reason != c.reason || h.Get("Content-Type") != "application/problem+json" || strings.Contains(string(raw), "hunter2") {
			t.Errorf("%.80s: %d %s, want %d %s", c.body, code, raw, c.code, c.reason)
		}
	}
	if n := len(p.Events("shop")); n != stored {
		t.Errorf("%d events, %d before", n, stored)
	}
}

type deadLetter struct{ Sequence, Service, Reason, Error, Stream, Subject, Body string }

func TestDeadLetters_ListedReadAndRedriven(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	out := commandtest.Connect(t, p.NATS)
	subject := "backupbus.v1.command.shop._.orders.backup.create"
	for i := range 3 {
		out.Send(subject, map[string][]string{"Ce-Specversion": {"1.0"}, "ce-id": {fmt.Sprint(i)}, "ce-source": {"/x"}, "ce-type": {events.CreateBackup.Type()}},
			[]byte(`{"instance":"orders","description":"token=4711"}`))
	}
	out.Send(subject, nil, []byte("\xffhello"))
	p.NATS.DeadLetters(t, 4)
	list := func(project, query string) (l struct {
		DeadLetters []deadLetter
		NextCursor  string
	}) {
		t.Helper()
		code, raw := p.Call(http.MethodGet, "/api/v1/projects/"+project+"/dead-letters"+query, "")
		if err := json.Unmarshal(raw, &l); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s", code, raw)
		}
		return l
	}
	page := list("shop", "?limit=2")
	if len(page.DeadLetters) != 2 || page.NextCursor == "" || page.DeadLetters[0].Reason != "forbidden_content" || page.DeadLetters[0].Subject != subject || page.DeadLetters[0].Body != "" {
		t.Fatalf("%+v", page)
	}
	if rest := list("shop", "?service=requester&limit=2&cursor="+page.NextCursor); len(rest.DeadLetters) != 1 || rest.NextCursor != "" {
		t.Errorf("%+v", rest)
	}
	if none := list("shop", "?reason=internal"); len(none.DeadLetters) != 0 || len(list("other", "").DeadLetters) != 0 {
		t.Errorf("%+v", none)
	}
	forbidden := "/dead-letters/" + page.DeadLetters[0].Sequence
	if one := pipelinetest.JSON[deadLetter](p, http.MethodGet, base+forbidden, ""); !strings.HasPrefix(one.Body, "sha256:") || one.Stream != "BACKUP_COMMANDS" {
		t.Errorf("%+v", one)
	}
	refused(t, p, http.MethodPost, base+forbidden+":redrive", "", 409, "NOT_REDRIVABLE")
	refused(t, p, http.MethodGet, "/api/v1/projects/other"+forbidden, "", 404, "DEAD_LETTER_NOT_FOUND")
	refused(t, p, http.MethodGet, base+"/dead-letters/4711", "", 404, "DEAD_LETTER_NOT_FOUND")

	unreadable := list("_", "").DeadLetters
	if len(unreadable) != 1 || unreadable[0].Reason != "unreadable" {
		t.Fatalf("%+v", unreadable)
	}
	path := "/api/v1/projects/_/dead-letters/" + unreadable[0].Sequence
	if one := pipelinetest.JSON[struct{ BodyBase64 string }](p, http.MethodGet, path, ""); one.BodyBase64 != "/2hlbGxv" {
		t.Errorf("%+v", one)
	}
	if r := pipelinetest.JSON[struct{ Outcome string }](p, http.MethodPost, path+":redrive", ""); r.Outcome != "redriven" {
		t.Errorf("%+v", r)
	}
	p.NATS.DeadLetters(t, 5) // it was judged again, and is as unreadable as before
}

// A valid command that a broken requester has given up is accepted once a sound one runs and it is redriven; redriven
// again it makes no second backup.
func TestDeadLetters_ARedrivenCommandIsAccepted(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	p.Requester.Stop()
	broken, err := bus.NewRouter(p.Bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	broken.AddConsumerHandler("commands", bus.RequesterDurable, p.Bus.Subscriber(bus.SubscriberConfig{}), func(*wm.Message) error {
		return bus.Refuse(bus.Internal, errors.New("broken"))
	})
	ctx, mend := context.WithCancel(t.Context())
	mended := make(chan error, 1)
	go func() { mended <- broken.Run(ctx) }()
	commandtest.Connect(t, p.NATS).Send("backupbus.v1.command.shop._.orders.backup.create", map[string][]string{
		"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/x"}, "ce-type": {events.CreateBackup.Type()}}, []byte(`{"instance":"orders"}`))
	p.NATS.DeadLetters(t, 1)
	mend()
	if err := <-mended; err != nil {
		t.Fatal(err)
	}
	p.Requester.Start()
	dead := pipelinetest.JSON[struct{ DeadLetters []deadLetter }](p, http.MethodGet, base+"/dead-letters", "").DeadLetters
	if len(dead) != 1 || dead[0].Reason != bus.Internal {
		t.Fatalf("%+v", dead)
	}
	path := base + "/dead-letters/" + dead[0].Sequence
	for _, want := range []string{"redriven", "repeat"} {
		if r := pipelinetest.JSON[struct{ Outcome string }](p, http.MethodPost, path+":redrive", ""); r.Outcome != want {
			t.Errorf("%s, not %s", r.Outcome, want)
		}
	}
	request, err := events.RequestID("shop", events.Origin{Source: "/x", Key: "1"})
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := events.Decode[events.AcceptedRequest](p.Await("shop", request, events.Accepted).Event)
	if err != nil {
		t.Fatal(err)
	}
	p.Await("shop", accepted.BackupID, events.Succeeded)
	requested := 0
	for _, e := range p.Events("shop") {
		if e.Entity() == events.Backups && e.Step() == events.Requested {
			requested++
		}
	}
	if requested != 1 {
		t.Errorf("%d backups were requested", requested)
	}
}
