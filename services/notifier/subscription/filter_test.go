package subscription

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/backupbus/backupbus/events"
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
	n := 0
	for name, want := range header {
		name, ok := strings.CutPrefix(name, "ce-")
		if !ok {
			continue
		}
		n++
		if got, there := attribute(full(), name); !there || got != want[0] {
			t.Errorf("%s: want %q, got %q, %v", name, want[0], got, there)
		}
	}
	if n != len(attributes)+1 { // and the one of Extra
		t.Errorf("the event has %d attributes, the list %d", n, len(attributes))
	}
	for name := range attributes {
		if _, there := attribute(events.Event{}, name); there && name != "specversion" && name != "datacontenttype" {
			t.Errorf("%s is there although it is not set", name)
		}
	}
}

// W16 and events.md 7.2.
func TestWants(t *testing.T) {
	t.Parallel()
	// The example of 7.2, without its CESQL part.
	const example = `[{all: [{prefix: {type: dev.backupbus.backup.}}, {not: {suffix: {type: .overdue.v1}}}]}]`
	overdue := func(e *events.Event) { e.Type = "dev.backupbus.backup.overdue.v1" }
	restore := func(e *events.Event) { e.Type = "dev.backupbus.restore.failed.v1" }
	for _, c := range []struct {
		types, filters string
		change         func(*events.Event)
		want           bool
	}{
		{``, ``, nil, true},
		{`[dev.backupbus.backup.failed.v1]`, ``, nil, true},
		{`[dev.backupbus.backup.succeeded.v1, dev.backupbus.backup.failed.v1]`, ``, nil, true},
		{`[dev.backupbus.backup.succeeded.v1]`, ``, nil, false},
		{`[dev.backupbus.backup.failed.v1]`, `[{exact: {provider: spanner}}]`, nil, false},
		{``, example, nil, true}, {``, example, overdue, false}, {``, example, restore, false},
		{``, `[{exact: {state: FAILED, instance: orders-db}}]`, nil, true},
		{``, `[{exact: {state: FAILED, instance: users-db}}]`, nil, false},
		{``, `[{exact: {state: failed}}]`, nil, false},
		{``, `[{exact: {state: FAIL}}]`, nil, false},
		{``, `[{exact: {severitynumber: "17", attempt: "2"}}]`, nil, true},
		{``, `[{exact: {deprecated: "true"}}]`, nil, true},
		{``, `[{exact: {missing: x}}]`, nil, false},
		{``, `[{prefix: {missing: x}}]`, nil, false},
		{``, `[{not: {exact: {missing: x}}}]`, nil, true},
		{``, `[{exact: {name: secret}}]`, nil, false}, // a member of data
		{``, `[{prefix: {instance: orders}}]`, nil, true}, {``, `[{prefix: {instance: db}}]`, nil, false},
		{``, `[{suffix: {instance: -db}}]`, nil, true}, {``, `[{suffix: {instance: orders}}]`, nil, false},
		{``, `[{prefix: {instance: orders, type: dev.}}, {suffix: {type: .v1}}]`, nil, true},
		{``, `[{prefix: {instance: orders}}, {suffix: {type: .v2}}]`, nil, false},
		{``, `[{any: [{exact: {state: X}}, {exact: {state: FAILED}}]}]`, nil, true},
		{``, `[{any: [{exact: {state: X}}, {exact: {state: Y}}]}]`, nil, false},
		{``, `[{not: {any: [{exact: {state: X}}, {exact: {state: Y}}]}}]`, nil, true},
		{``, `[{all: [{exact: {state: FAILED}}, {exact: {state: Y}}]}]`, nil, false},
	} {
		s := parse(t, c.types, c.filters)
		if p := s.Problems("s"); len(p) > 0 {
			t.Errorf("%s %s: %v", c.types, c.filters, p)
		}
		ev := full()
		if c.change != nil {
			c.change(&ev)
		}
		if got := s.Wants(ev); got != c.want {
			t.Errorf("%s %s on %s: want %v, got %v", c.types, c.filters, ev.Type, c.want, got)
		}
	}
}

func parse(t testing.TB, types, filters string) Subscription {
	t.Helper()
	s := Subscription{Name: "n", Project: "shop"}
	if err := yaml.Unmarshal([]byte(types), &s.Types); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(filters), &s.Filters); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProblems_NameEveryPlace(t *testing.T) {
	t.Parallel()
	deep := "{exact: {a: b}}"
	for range maxNesting {
		deep = "{not: " + deep + "}"
	}
	many := strings.Repeat("{exact: {a: b}},", maxFilters+1)
	for _, c := range []struct {
		filters string
		want    []string
	}{
		{`[{}]`, []string{`s.filters[0]: has to be one of exact, prefix, suffix, all, any, not; it has 0 of them`}},
		{`[{exact: {a: b}, not: {exact: {a: b}}}]`, []string{`s.filters[0]: has to be one of exact, prefix, suffix, all, any, not; it has 2 of them`}},
		{`[{exact: {}}, {all: []}, {any: []}]`, []string{
			`s.filters[0].exact: is empty: name an attribute and its value`,
			`s.filters[1].all: is empty: name at least one filter`,
			`s.filters[2].any: is empty: name at least one filter`}},
		{`[{all: [{exact: {a: b}}, {not: {prefix: {a: "", "B-c": x, data: y}}}]}]`, []string{
			`s.filters[0].all[1].not.prefix: "B-c" is no attribute: names are lower-case letters and digits`,
			`s.filters[0].all[1].not.prefix: the value of a is empty`,
			`s.filters[0].all[1].not.prefix: filters see attributes, not data`}},
		{`[` + deep + `]`, []string{`s.filters[0]` + strings.Repeat(".not", maxNesting) + `: is nested 9 deep, at most 8`}},
		{`[` + many + `]`, []string{`s.filters: are 33 with those inside, at most 32: split the subscription`}},
	} {
		got := texts(parse(t, ``, c.filters).Problems("s"))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.filters, diff)
		}
	}
}

func TestProblems_OfEverythingElse(t *testing.T) {
	t.Parallel()
	s := Subscription{Name: "a\nb", TimeoutMs: 999, MaxInFlight: 65,
		Interest: Interest{Types: []string{"dev.backupbus.backup.failed.v1", "backup.failed", "dev.backupbus.backup.progress.v1"}}}
	want := []string{
		"s.name: holds a line feed: remove it",
		"s.project: is missing",
		"s.timeoutMs: 999 is not between 1000 and 30000",
		"s.maxInFlight: 65 is not between 1 and 64",
		`s.types[1]: "backup.failed" is no event type: write it as dev.backupbus.backup.succeeded.v1`,
		"s.types[2]: progress never goes to webhooks: read it from the event stream",
	}
	if diff := cmp.Diff(want, texts(s.Problems("s"))); diff != "" {
		t.Error(diff)
	}
	d := Subscription{Name: "n", Project: "p"}
	if d.Timeout() != 15*time.Second || d.InFlight() != 8 || len(d.Problems("s")) != 0 {
		t.Errorf("defaults: %s, %d, %v", d.Timeout(), d.InFlight(), d.Problems("s"))
	}
}

func texts(errs []error) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return out
}

func TestURL_ShowsNoQuery(t *testing.T) {
	t.Parallel()
	s := Subscription{Sink: "https://a.example/in?token=canary"}
	out := fmt.Sprintf("%v %+v %#v %v", s, s, s, &s)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if out += string(j) + string(y); strings.Contains(out, "canary") || !strings.Contains(out, "https://a.example/in?…") {
		t.Errorf("got %s", out)
	}
}
