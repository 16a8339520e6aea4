package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

const someBackup = "bk_oa2dry5sym5ypupjn6gheq6nlr"

// commandExamples are what outsiders send; each is read by what reads commands.
func commandExamples(t testing.TB) []events.Event {
	t.Helper()
	var out []events.Event
	for verb, data := range map[events.Verb]string{
		events.CreateBackup:  `{"instance":"orders-db","description":"before migration","labels":{"team":"core"}}`,
		events.CancelBackup:  `{"backupId":"` + someBackup + `","reason":"wrong database"}`,
		events.DeleteBackup:  `{"backupId":"` + someBackup + `"}`,
		events.VerifyBackup:  `{"backupId":"` + someBackup + `","method":"RESTORE_TEST"}`,
		events.RestoreBackup: `{"backupId":"` + someBackup + `","target":{"instance":"orders-copy","overwrite":true}}`,
	} {
		ev := events.Event{ID: string(verb) + "-2026-01-15", Source: "https://ops.example.com/cron/nightly", Type: verb.Type(),
			ExpiryTime: time.Date(2026, 1, 15, 3, 0, 0, 0, time.UTC), Data: json.RawMessage(data)}
		line, err := events.Structured(ev)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := events.ReadCommand(nil, line); err != nil || c.Verb != verb || c.ID != ev.ID || !c.ExpiryTime.Equal(ev.ExpiryTime) {
			t.Fatalf("%s: %+v, %v", verb, c, err)
		}
		out = append(out, ev)
	}
	return out
}

// dressed gives a command the attributes that every event of the bus has, so that its data is held against its schema.
func dressed(ev events.Event) events.Event {
	if ev.Sequence != "" {
		return ev
	}
	kind, err := events.ParseType(ev.Type)
	if err != nil {
		return ev
	}
	ev.DataSchema, ev.Subject, ev.Sequence, ev.PartitionKey, ev.Project = kind.DataSchema(), "x", "0000000001", "x", "shop"
	ev.Time, ev.Severity = time.Date(2026, 1, 15, 2, 0, 0, 0, time.UTC), events.Info
	return ev
}

// binary is a create command with these headers on top.
func binary(headers ...string) map[string][]string {
	h := map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/cron"}, "ce-type": {events.CreateBackup.Type()}}
	for i := 0; i < len(headers); i += 2 {
		for k := range h {
			if strings.EqualFold(k, headers[i]) {
				delete(h, k)
			}
		}
		if headers[i+1] != "" {
			h[headers[i]] = []string{headers[i+1]}
		}
	}
	return h
}

func rejected(t testing.TB, header map[string][]string, body string) *events.Rejection {
	t.Helper()
	_, err := events.ReadCommand(header, []byte(body))
	var r *events.Rejection
	if err != nil && !errors.As(err, &r) {
		t.Fatalf("%v is no rejection", err)
	}
	return r
}

const goodBody = `{"instance":"orders"}`

// Case E7, and the rest of events.md 4.1 for commands.
func TestReadCommand_Headers(t *testing.T) {
	t.Parallel()
	c, err := events.ReadCommand(binary("Ce-Id", "Euro%20%E2%82%AC", "CE-Type", events.CreateBackup.Type(), "Content-Type", "application/json"), []byte(goodBody))
	if err != nil || c.ID != "Euro €" || c.Body.Instance != "orders" {
		t.Errorf("%+v, %v", c, err)
	}
	for name, h := range map[string]map[string][]string{
		"overlong UTF-8":          binary("ce-id", "%C0%A0"),
		"raw bytes":               binary("ce-id", "\xff"),
		"two ids":                 {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "Ce-Id": {"2"}, "ce-source": {"/"}, "ce-type": {"x"}},
		"no id":                   binary("ce-id", ""),
		"control character":       binary("ce-id", "a%0Ab"),
		"long id":                 binary("ce-id", strings.Repeat("x", 257)),
		"long source":             binary("ce-source", strings.Repeat("x", 513)),
		"no JSON":                 binary("ce-datacontenttype", "text/plain"),
		"expiry that is no time":  binary("ce-expirytime", "soon"),
		"batch":                   binary("content-type", "application/cloudevents-batch+json"),
		"structured without JSON": binary("content-type", "application/cloudevents+json"),
	} {
		if r := rejected(t, h, goodBody); r == nil || r.Reason != events.MalformedEvent {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r := rejected(t, binary("ce-specversion", "0.3"), goodBody); r == nil || r.Reason != events.UnsupportedSpecVersion {
		t.Errorf("specversion 0.3: %v", r)
	}
	for _, kind := range []string{"dev.backupbus.command.backup.create.v2", "dev.backupbus.command.backup.explode.v1", "dev.backupbus.backup.succeeded.v1", "x"} {
		if r := rejected(t, binary("ce-type", kind), goodBody); r == nil || r.Reason != events.UnsupportedType {
			t.Errorf("%s: %v", kind, r)
		}
	}
	if r := rejected(t, binary("ce-source", "https://u:p@h/x"), goodBody); r == nil || r.Reason != events.ForbiddenContent {
		t.Errorf("a password in source: %v", r)
	}
	if r := rejected(t, binary("ce-more", strings.Repeat("x", 1025)), goodBody); r == nil || r.Reason != events.TooLarge {
		t.Errorf("a large attribute: %v", r)
	}
}

func TestReadCommand_Structured(t *testing.T) {
	t.Parallel()
	event := func(rest string) string {
		return `{"specversion":"1.0","id":"1","source":"/cron","type":"` + events.CreateBackup.Type() + `"` + rest + `}`
	}
	c, err := events.ReadCommand(nil, []byte(event(`,"subject":null,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","project":"shop","data":{"instance":"orders","nobody":"knows"}`)))
	if err != nil || c.Project != "shop" || c.Trace.Parent == "" || c.Body.Instance != "orders" {
		t.Errorf("%+v, %v", c, err)
	}
	for body, reason := range map[string]string{
		event(`,"data_base64":"e30="`):                       events.MalformedEvent,
		event(`,"datacontenttype":"text/xml","data":"<a/>"`): events.MalformedEvent,
		event(`,"data":{"instance":"a","instance":"b"}`):     events.MalformedEvent,
		event(`,"data":{"instance":"` + "\xff" + `"}`):       events.MalformedEvent,
		`{"id":"1"}`:                           events.MalformedEvent,
		`[]`:                                   events.MalformedEvent,
		``:                                     events.MalformedEvent,
		event(``):                              events.SchemaViolation,
		event(`,"data":{"Instance":"orders"}`): events.SchemaViolation,
		event(`,"data":["orders"]`):            events.SchemaViolation,
		event(`,"data":{"instance":null}`):     events.SchemaViolation,
		strings.Replace(event(`,"data":{"instance":"a"}`), "1.0", "2", 1):                               events.UnsupportedSpecVersion,
		event(`,"data":{"instance":"a","x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`): events.TooLarge,
		event(`,"data":{"instance":"a","x":"` + strings.Repeat("x", events.MaxData) + `"}`):             events.TooLarge,
		event(strings.Repeat(" ", events.MaxMessage)):                                                   events.TooLarge,
	} {
		if r := rejected(t, nil, body); r == nil || r.Reason != reason {
			t.Errorf("%.120s: %v, want %s", body, r, reason)
		}
	}
	if r := rejected(t, map[string][]string{"Ce-Id": {"2"}}, event(`,"data":{"instance":"a"}`)); r == nil || r.Reason != events.MalformedEvent {
		t.Errorf("a header that contradicts: %v", r)
	}
}

// Case R4: every violation is named, no value is.
func TestReadCommand_Violations(t *testing.T) {
	t.Parallel()
	r := rejected(t, binary(), `{"labels":{"Bad Key 4711":"v"},"name":4711,"expireTime":"4711","location":null,"Instance":"4711"}`)
	var got []string
	for _, v := range r.Violations {
		got = append(got, v.Path+" "+v.Rule)
	}
	want := []string{"/data/instance required", "/data/name type", "/data/labels pattern", "/data/expireTime format"}
	if diff := cmp.Diff(want, got); diff != "" || r.Reason != events.SchemaViolation || strings.Contains(fmt.Sprintf("%+v", *r), "4711") {
		t.Errorf("%+v\n%s", r, diff)
	}
	many := rejected(t, binary("ce-type", events.RestoreBackup.Type()), `{"backupId":"x","target":{"overwrite":"yes"}}`)
	if len(many.Violations) != 3 {
		t.Errorf("%+v", many)
	}
}

// Case E9: what looks like a credential is refused wherever it stands, also where JSON escapes hide it.
func TestReadCommand_ForbiddenContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"instance":"orders","description":"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"}`,
		`{"instance":"orders","x":{"y":["postgres://u:hunter2@h/db"]}}`,
		`{"instance":"orders","labels":{"password":"hunter2"}}`,
		`{"instance":"orders","description":"\u0070assword=hunter2"}`,
		`{"instance":"orders","whsec_hunter2":1}`,
	} {
		r := rejected(t, binary(), body)
		if r == nil || r.Reason != events.ForbiddenContent || strings.Contains(r.Error(), "hunter2") || len(r.Violations) > 0 {
			t.Errorf("%s: %v", body, r)
		}
	}
}

func TestParseCommandSubject(t *testing.T) {
	t.Parallel()
	a := events.Aggregate{Project: "example.com:proj", Instance: "my db"}
	subject, err := a.CommandSubject(events.CreateBackup)
	if err != nil || subject != "backupbus.v1.command.example~2Ecom~3Aproj._.my~20db.backup.create" {
		t.Fatal(subject, err)
	}
	got, err := events.ParseCommandSubject(subject)
	want := events.CommandSubject{Project: "example~2Ecom~3Aproj", Instance: "my~20db", Verb: events.CreateBackup}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for subject, project := range map[string]string{
		"backupbus.v1.command.shop": "shop", "backupbus.v1.command.shop._.orders.backup": "shop", "backupbus.v1.command.shop._._.backup.create": "shop",
		"backupbus.v1.command.shop._.orders.restore.create": "shop", "backupbus.v1.command._._.orders.backup.create": "", "backupbus.v1.event.shop._.orders.backup.create": "",
	} {
		if got, err := events.ParseCommandSubject(subject); err == nil || got.Project != project {
			t.Errorf("%s: %+v, %v", subject, got, err)
		}
	}
}

// FuzzCommand: whatever comes, it is a command or a rejection that names its reason, and no secret is in what is shown.
func FuzzCommand(f *testing.F) {
	f.Add("application/json", "1.0", "1", "/cron", events.CreateBackup.Type(), []byte(goodBody))
	f.Add("application/cloudevents+json", "", "", "", "", []byte(`{"specversion":"1.0","id":"1","source":"/","type":"`+events.VerifyBackup.Type()+`","data":{"backupId":"`+someBackup+`"}}`))
	f.Add("", "0.3", "%C0%A0", "x", "x", []byte(`{"data_base64":"","specversion":"1.0"}`))
	f.Add("", "", "", "", "", []byte(`{"specversion":"2","id":1,"source":null,"type":{},"data":[[[]]]}`))
	f.Fuzz(func(t *testing.T, contentType, spec, id, source, kind string, body []byte) {
		h := map[string][]string{}
		for name, v := range map[string]string{"content-type": contentType, "ce-specversion": spec, "Ce-Id": id, "ce-source": source, "CE-Type": kind} {
			if v != "" {
				h[name] = []string{v}
			}
		}
		c, err := events.ReadCommand(h, body)
		if err != nil {
			var r *events.Rejection
			if !errors.As(err, &r) || r.Reason == "" || r.Message == "" || events.HasSecret(r.Message) || len(r.Violations) > events.MaxViolations {
				t.Fatalf("%#v", err)
			}
			return
		}
		if _, err := events.RequestID("shop", c.Origin()); err != nil || c.ID == "" || c.Source == "" || c.Verb == "" || !json.Valid(c.Data) {
			t.Fatalf("%+v: %v", c, err)
		}
		if _, err := c.Cause("rq"); err != nil {
			t.Fatal(err)
		}
	})
}
