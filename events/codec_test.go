package events_test

import (
	_ "embed"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/backupbus/backupbus/events"
)

func sample(t testing.TB) events.Event {
	t.Helper()
	b := events.Backup{
		BackupID: "bk_oa2dry5sym5ypupjn6gheq6nlr", Project: "example.com:proj", Provider: "sqlite", Instance: "my db",
		IDs:     events.NewBackupIDs("bk_oa2dry5sym5ypupjn6gheq6nlr", "", time.UnixMilli(1768442400250)),
		Trigger: events.OnDemand, Door: "native", RequestID: "rq_plzjtrhp2jm424uw5tkhrkkx6u",
		EnqueuedTime: events.At(time.UnixMilli(1768442400250)), Step: events.Requested, State: "ENQUEUED",
		Verification: events.NotVerified, MaxAttempts: 3, Description: "über <b> & \"quoted\"",
	}
	ev, err := events.New("bus.local", b, events.Requested, events.EventID(b.BackupID, events.Backups, events.Requested, 0), 1,
		time.Date(2026, 1, 15, 2, 0, 0, 250e6, time.UTC),
		events.Cause{CausationID: "x", Trace: events.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestCodec_BothModesGiveTheEventBack(t *testing.T) {
	t.Parallel()
	want := sample(t)
	header, body, err := events.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Parse(header, body)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("binary mode: %v\n%s", err, diff)
	}
	line, err := events.Structured(want)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsRune(string(line), '\n') {
		t.Error("structured mode is not one line")
	}
	for _, h := range []map[string][]string{{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, {}} {
		got, err := events.Parse(h, line)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("structured mode: %v\n%s", err, diff)
		}
	}
	again, err := events.Structured(want)
	if err != nil || string(again) != string(line) {
		t.Errorf("the same event gave other bytes (%v):\n%s\n%s", err, line, again)
	}
}

//go:embed testdata/signing_vector.json
var signingVector []byte // the body of the long vector of events.md 10

func TestStructured_GivesTheContractsBytes(t *testing.T) {
	t.Parallel()
	ev, err := events.Parse(nil, signingVector)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Structured(ev)
	if diff := cmp.Diff(string(signingVector), string(got)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	rec, err := events.Decode[events.Backup](ev)
	if err != nil {
		t.Fatal(err)
	}
	again, err := events.New("bus.example.com", rec, events.Succeeded, ev.ID, 3, ev.Time,
		events.Cause{CausationID: ev.CausationID, Trace: events.Trace{Parent: ev.TraceParent}})
	if diff := cmp.Diff(ev, again); diff != "" || err != nil {
		t.Errorf("the event built from its own record differs: %v\n%s", err, diff)
	}
}

func TestParse_HeadersInAnyCaseAndPercentEncoded(t *testing.T) { // case E7
	t.Parallel()
	h := map[string][]string{
		"Ce-Id": {"1"}, "CE-Type": {"dev.backupbus.backup.failed.v1"}, "ce-source": {"Euro%20%E2%82%AC"},
		"CE-SpecVersion": {"1.0"}, "ce-unheardof": {"100%"},
	}
	ev, err := events.Parse(h, []byte(`{}`))
	if err != nil || ev.Source != "Euro €" || ev.ID != "1" || ev.Extra["unheardof"] != "100%" {
		t.Errorf("got %+v, %v", ev, err)
	}
}

func TestParse_RefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	binary := func(change func(map[string][]string)) map[string][]string {
		h, _, err := events.Encode(sample(t))
		if err != nil {
			t.Fatal(err)
		}
		change(h)
		return h
	}
	structured := map[string][]string{"content-type": {"application/cloudevents+json"}}
	for name, c := range map[string]struct {
		header map[string][]string
		body   string
	}{
		"empty":                    {nil, ""},
		"not JSON":                 {nil, "hello"},
		"array":                    {nil, "[]"},
		"no specversion":           {nil, `{"id":"1","source":"a","type":"b"}`},
		"specversion 0.3":          {nil, `{"specversion":"0.3","id":"1","source":"a","type":"b"}`},
		"no id":                    {nil, `{"specversion":"1.0","source":"a","type":"b"}`},
		"data_base64":              {structured, `{"specversion":"1.0","id":"1","source":"a","type":"b","data_base64":"AAAA"}`},
		"XML data":                 {structured, `{"specversion":"1.0","id":"1","source":"a","type":"b","datacontenttype":"text/xml","data":"<a/>"}`},
		"batch":                    {map[string][]string{"content-type": {"application/cloudevents-batch+json"}}, `[]`},
		"contradicting header":     {map[string][]string{"content-type": {"application/cloudevents+json"}, "ce-id": {"2"}}, `{"specversion":"1.0","id":"1","source":"a","type":"b","data":{}}`},
		"bad UTF-8 in a header":    {binary(func(h map[string][]string) { h["ce-source"] = []string{"%C0%A0"} }), `{}`},
		"header twice":             {binary(func(h map[string][]string) { h["CE-ID"] = []string{"2"} }), `{}`},
		"header with two values":   {binary(func(h map[string][]string) { h["ce-id"] = []string{"1", "2"} }), `{}`},
		"binary, data not JSON":    {binary(func(map[string][]string) {}), `{"a":`},
		"binary, time not a time":  {binary(func(h map[string][]string) { h["ce-time"] = []string{"yesterday"} }), `{}`},
		"binary, attempt negative": {binary(func(h map[string][]string) { h["ce-attempt"] = []string{"-1"} }), `{}`},
	} {
		if ev, err := events.Parse(c.header, []byte(c.body)); !errors.Is(err, events.ErrUnreadable) {
			t.Errorf("%s: got %+v, %v", name, ev, err)
		}
	}
}

func TestNew_RefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i", Labels: map[string]string{}}
	b.ChangedFields = []string{strings.Repeat("x", events.MaxData)}
	if _, err := events.New("bus.local", b, events.Updated, "x", 1, time.Now(), events.Cause{}); !errors.Is(err, events.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestNew_RedactsEveryString(t *testing.T) { // case E8
	t.Parallel()
	b := events.Backup{BackupID: "bk_x", Project: "p", Provider: "sqlite", Instance: "i",
		Error: &events.Failure{Code: events.Network, Category: events.BySystem, Message: "dial postgres://u:p@h/db"}}
	ev, err := events.New("bus.local", b, events.Failed, "x", 1, time.Now(), events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Decode[events.Backup](ev)
	if err != nil || got.Error.Message != "dial postgres://[redacted]h/db" {
		t.Errorf("got %q, %v", got.Error.Message, err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"nothing here: a=b, 12:30":      "nothing here: a=b, 12:30",
		"mysql --password=hunter2 -h x": "mysql --password=[redacted] -h x",
		`{"token": "abc def"}`:          `{"token": [redacted]}`,
		"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----": "[redacted]",
		"Bearer eyJhbGciOiJ9.eyJzdWIi.c2ln":                                 "Bearer [redacted]",
		"whsec_n+VyQXfKZFHh0TkFGdCnY3WSCIqSRRu0wQg=":                        "[redacted]",
		"to AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L:":             "to [redacted]:",
		"key AKIAIOSFODNN7EXAMPLE.":                                         "key [redacted].",
		"https://b.example/o?X-Amz-Signature=abc&d=1":                       "https://b.example/o?X-Amz-Signature=[redacted]&d=1",
		"https://b.example/o?a=1&sig=abc%3D":                                "https://b.example/o?a=1&sig=[redacted]",
		"the secretary has a tokenizer":                                     "the secretary has a tokenizer",
	} {
		if got := events.Redact(raw); got != want {
			t.Errorf("Redact(%q) = %q, want %q", raw, got, want)
		}
		if again := events.Redact(want); again != want {
			t.Errorf("Redact is not idempotent: %q became %q", want, again)
		}
	}
}

func TestCodec_AnyAttributesSurvive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, 200)
		want := events.Event{ID: text.Draw(t, "id"), Source: text.Draw(t, "source"), Type: text.Draw(t, "type"),
			CausationID: text.Draw(t, "cause"), Data: json.RawMessage(`{}`)}
		h, body, err := events.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := events.Parse(h, body)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	ev := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := events.Encode(ev); err != nil {
			b.Fatal(err)
		}
	}
}
