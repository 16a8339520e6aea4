package filter_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/filter"
)

// full is an event with every attribute that there is.
func full() events.Event {
	attempt := 2
	return events.Event{
		ID: "bk_x-failed-2", Source: "//bus.local/projects/shop/instances/orders-db/backups/bk_x",
		Type: "dev.backupbus.backup.failed.v1", Subject: "instances/orders-db/backups/bk_x",
		Time:       time.Date(2026, 1, 15, 2, 11, 43, 512_000_000, time.UTC),
		DataSchema: "urn:backupbus:schema:backup.failed:v1", Sequence: "0000000003", PartitionKey: "bk_x",
		CorrelationID: "rq_x", CausationID: "bk_x-started-2", TraceParent: "00-a-b-01", TraceState: "v=1",
		Project: "shop", Provider: "cloudsql", Instance: "orders-db", State: "FAILED", Attempt: &attempt, Severity: 17,
		ExpiryTime: time.Date(2026, 1, 15, 3, 0, 0, 0, time.UTC),
		Extra:      map[string]string{"deprecated": "true"}, Data: []byte(`{"name":"secret"}`),
	}
}

// Filters see what receivers see: every attribute of the wire, in its canonical form.
func TestAttribute_IsWhatTheWireCarries(t *testing.T) {
	t.Parallel()
	header, _, err := events.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range header {
		name, ok := strings.CutPrefix(name, "ce-")
		if !ok {
			continue
		}
		if got, there := filter.Attribute(full(), name); !there || got != want[0] {
			t.Errorf("%s: want %q, got %q, %v", name, want[0], got, there)
		}
		if got, there := filter.Attribute(events.Event{}, name); there && name != "specversion" && name != "datacontenttype" {
			t.Errorf("%s is %q although it is not set", name, got)
		}
	}
}

func parse(t testing.TB, text string) filter.Filter {
	t.Helper()
	var f filter.Filter
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

// W16 and W17: events.md 7.2 and 7.3.
func TestMatch(t *testing.T) {
	t.Parallel()
	const example = `[{"all":[{"prefix":{"type":"dev.backupbus.backup."}},{"not":{"suffix":{"type":".overdue.v1"}}},{"sql":"severitynumber >= 13 AND instance IN ('orders-db','users-db')"}]}]`
	overdue := func(e *events.Event) { e.Type = "dev.backupbus.backup.overdue.v1" }
	restore := func(e *events.Event) { e.Type = "dev.backupbus.restore.failed.v1" }
	mild := func(e *events.Event) { e.Severity = 9 }
	elsewhere := func(e *events.Event) { e.Instance = "other-db" }
	for _, c := range []struct {
		filters   string
		change    func(*events.Event)
		want, bad bool
	}{
		{`[]`, nil, true, false}, {`null`, nil, true, false},
		{example, nil, true, false}, {example, overdue, false, false}, {example, restore, false, false},
		{example, mild, false, false}, {example, elsewhere, false, false},
		{`[{"exact":{"state":"FAILED","instance":"orders-db"}}]`, nil, true, false},
		{`[{"exact":{"state":"FAILED","instance":"users-db"}}]`, nil, false, false},
		{`[{"exact":{"state":"failed"}}]`, nil, false, false}, {`[{"exact":{"state":"FAIL"}}]`, nil, false, false},
		{`[{"exact":{"severitynumber":"17","attempt":"2","deprecated":"true"}}]`, nil, true, false},
		{`[{"exact":{"missing":"x"}}]`, nil, false, false}, {`[{"prefix":{"missing":"x"}}]`, nil, false, false},
		{`[{"not":{"exact":{"missing":"x"}}}]`, nil, true, false}, {`[{"exact":{"name":"secret"}}]`, nil, false, false},
		{`[{"prefix":{"instance":"orders"}}]`, nil, true, false}, {`[{"suffix":{"instance":"-db"}}]`, nil, true, false},
		{`[{"any":[{"exact":{"state":"X"}},{"exact":{"state":"FAILED"}}]}]`, nil, true, false},
		{`[{"not":{"any":[{"exact":{"state":"X"}},{"exact":{"state":"Y"}}]}}]`, nil, true, false},
		{`[{"prefix":{"type":"dev."}},{"suffix":{"type":".v2"}}]`, nil, false, false},
		{`[{"sql":"state = 'FAILED'"}]`, nil, true, false},
		{`[{"sql":"EXISTS missing AND missing = 'x'"}]`, nil, false, false},
		{`[{"sql":"missing = 'x'"}]`, nil, false, true},
		{`[{"not":{"sql":"missing = 'x'"}}]`, nil, false, true},
		{`[{"any":[{"exact":{"state":"FAILED"}},{"sql":"missing = 'x'"}]}]`, nil, true, false},
		{`[{"sql":"type LIKE 'dev.backupbus.backup.%'"}]`, nil, true, false},
		{`[{"sql":"attempt = 2 AND severitynumber > 16"}]`, nil, true, false},
		{`[{"sql":"'text'"}]`, nil, false, false},
		{`[{"sql":"1 / 0 = 1"}]`, nil, false, true},
	} {
		ev := full()
		if c.change != nil {
			c.change(&ev)
		}
		got, err := parse(t, c.filters).Match(ev)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: want %v, error %v; got %v, %v", c.filters, c.want, c.bad, got, err)
		}
	}
}

func TestParse_NamesEveryPlace(t *testing.T) {
	t.Parallel()
	deep := `{"exact":{"a":"b"}}`
	for range 8 {
		deep = `{"not":` + deep + `}`
	}
	many := strings.TrimSuffix(strings.Repeat(`{"exact":{"a":"b"}},`, 33), ",")
	for _, c := range []struct {
		filters string
		want    []string
	}{
		{`{}`, []string{""}}, {`[1]`, []string{"/0"}}, {`[{}]`, []string{"/0"}},
		{`[{"exact":{"a":"b"},"not":{"exact":{"a":"b"}}}]`, []string{"/0"}},
		{`[{"regexp":{"type":"x"}}]`, []string{"/0/regexp"}},
		{`[{"exact":{}},{"all":[]},{"any":{}}]`, []string{"/0/exact", "/1/all", "/2/any"}},
		{`[{"all":[{"exact":{"a":"b"}},{"not":{"prefix":{"a":"","B/c":"x","data":"y"}}}]}]`,
			[]string{"/0/all/1/not/prefix/B~1c", "/0/all/1/not/prefix/a", "/0/all/1/not/prefix/data"}},
		{`[` + deep + `]`, []string{"/0" + strings.Repeat("/not", 8)}},
		{`[` + many + `]`, []string{""}},
		{`[{"sql":1}]`, []string{"/0/sql"}}, {`[{"sql":""}]`, []string{"/0/sql"}},
		{`[{"sql":"state = 'FAILED"}]`, []string{"/0/sql"}}, {`[{"sql":"state ="}]`, []string{"/0/sql"}},
		{`[{"sql":"(state = 'x'"}]`, []string{"/0/sql"}}, {`[{"sql":"§"}]`, []string{"/0/sql"}},
		{`[{"sql":"` + strings.Repeat("a", 1025) + `"}]`, []string{"/0/sql"}},
	} {
		var f filter.Filter
		err := json.Unmarshal([]byte(c.filters), &f)
		problems, ok := filter.ProblemsOf(err)
		var got []string
		for _, p := range problems {
			got = append(got, p.Pointer)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || !ok {
			t.Errorf("%s: %v %s", c.filters, err, diff)
		}
	}
}

func TestFilter_EncodesAsItWasWritten(t *testing.T) {
	t.Parallel()
	const text = `[{"not":{"sql":"state = 'FAILED'"}}]`
	got, err := json.Marshal(parse(t, text))
	if err != nil || string(got) != text {
		t.Errorf("got %s, %v", got, err)
	}
}

// What a user sends must not stop the process, whatever it is.
func FuzzParseSQL(f *testing.F) {
	for _, s := range []string{"state = 'FAILED", "a IN (", "1/0", "-'x'", "LENGTH(", "\\'", "NOT EXISTS a", "a LIKE '%\\'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := filter.ParseSQL(text); err == nil {
			_, _ = p.Match(full())
		}
	})
}

// What comes after one filter too many is not parsed: its mistakes are not even found.
func TestParse_StopsAtTheLimit(t *testing.T) {
	t.Parallel()
	list := make([]any, 0, 1000)
	for range cap(list) {
		sql := "EXISTS state"
		if len(list) >= 32 {
			sql = "state ="
		}
		list = append(list, map[string]any{"sql": sql})
	}
	_, err := filter.Parse(list)
	var problems filter.Problems
	if !errors.As(err, &problems) || len(problems) != 1 {
		t.Errorf("%d problems: %v", len(problems), err)
	}
}
