package bus_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

// matching reads through an ephemeral consumer what these filters let through; the last subject in the log ends it.
func matching(t *testing.T, js jetstream.JetStream, stream string, filters ...string) []string {
	t.Helper()
	c, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{FilterSubjects: filters, AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := c.CachedInfo().NumPending; n > 0; n-- {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Subject())
	}
	slices.Sort(got)
	return got
}

func subjects(t *testing.T, a events.Aggregate, steps ...events.Step) []string {
	t.Helper()
	var out []string
	for _, s := range steps {
		out = append(out, must[string](t)(a.EventSubject(s)))
	}
	return out
}

// Case N1: names with stops, spaces and wildcards stay one token, and a filter over the token finds their events.
func TestSubjects_NamesStayOneToken(t *testing.T) {
	t.Parallel()
	_, s, _ := setup(t)
	odd := events.Aggregate{Project: "shop", Provider: "sqlite", Instance: "my db.*>", Entity: events.Backups, ID: "bk_1"}
	plain := odd
	plain.Instance = "my"
	want := subjects(t, odd, events.Requested, events.Succeeded)
	for _, subject := range append(subjects(t, plain, events.Requested), want...) {
		if n := len(strings.Split(subject, ".")); n != 9 {
			t.Errorf("%s has %d tokens", subject, n)
		}
		s.PublishRaw(t, subject, []byte("{}"))
	}
	js := raw(t, s)
	if diff := cmp.Diff(want, matching(t, js, bus.EventStream, "backupbus.v1.event.*.*.my~20db~2E~2A~3E.>")); diff != "" {
		t.Error(diff)
	}
	filter := must[string](t)(bus.ConsumerFilter("shop", "my db.*>", "backup.succeeded"))
	if diff := cmp.Diff(want[1:], matching(t, js, bus.EventStream, filter)); diff != "" {
		t.Error(diff)
	}
}

// Case N8: each row of events.md 4.3 finds exactly what it is for in a mixed set of events.
func TestSubjects_WildcardsOfTheContract(t *testing.T) {
	t.Parallel()
	_, s, _ := setup(t)
	all := map[string]bool{}
	for _, project := range []string{"shop", "shopping"} {
		for _, provider := range []string{"sqlite", "spanner"} {
			for _, instance := range []string{"orders-db", "orders"} {
				of := func(e events.Entity, id string, steps ...events.Step) {
					a := events.Aggregate{Project: project, Provider: provider, Instance: instance, Entity: e, ID: id}
					for _, subject := range subjects(t, a, steps...) {
						all[subject] = true
					}
				}
				of(events.Backups, "bk_1", events.Requested, events.Started, events.AttemptFailed, events.Succeeded, events.Failed, events.Overdue,
					events.VerificationRequested, events.VerificationFailed, events.DeletionRequested, events.DeletionFailed)
				of(events.Restores, "rs_1", events.Requested, events.Failed)
				of(events.Instances, "in_1", events.Registered)
				of(events.Schedules, "sc_1", events.Created)
			}
		}
		for _, subject := range subjects(t, events.Aggregate{Project: project, Entity: events.Requests, ID: "rq_1"}, events.Accepted, events.Rejected) {
			all[subject] = true
		}
		for _, subject := range subjects(t, events.Aggregate{Project: project, Entity: events.Subscriptions, ID: "su_1"}, events.Failing) {
			all[subject] = true
		}
	}
	for subject := range all {
		s.PublishRaw(t, subject, []byte("{}"))
	}
	for _, instance := range []string{"orders-db", "orders"} {
		a := events.Aggregate{Project: "shop", Provider: "sqlite", Instance: instance, Entity: events.Backups, ID: "bk_1"}
		s.PublishRaw(t, must[string](t)(a.ProgressSubject()), []byte("{}"))
	}
	js := raw(t, s)
	const head, person = "backupbus.v1.event.", "backupbus.v1.event.shop.*.*.backup.*."
	for name, c := range map[string]struct {
		filters []string
		wanted  func(s events.Subject) bool
	}{
		"everything of a project": {[]string{head + "shop.>"}, func(s events.Subject) bool { return s.Project == "shop" }},
		"one instance":            {[]string{head + "shop.*.orders-db.>"}, func(s events.Subject) bool { return s.Project == "shop" && s.Instance == "orders-db" }},
		"something needs a person": {
			[]string{person + "failed", person + "overdue", person + "verification_failed", person + "deletion_failed", head + "shop.*.*.restore.*.failed"},
			func(s events.Subject) bool {
				return s.Project == "shop" && (s.Entity == events.Backups && slices.Contains([]events.Step{events.Failed, events.Overdue,
					events.VerificationFailed, events.DeletionFailed}, s.Step) || s.Entity == events.Restores && s.Step == events.Failed)
			},
		},
		"work for the Spanner executor": {events.WorkFilters("spanner"), func(s events.Subject) bool {
			return s.Provider == "spanner" && (s.Entity == events.Backups && slices.Contains([]events.Step{events.Requested,
				events.VerificationRequested, events.DeletionRequested}, s.Step) || s.Entity == events.Restores && s.Step == events.Requested)
		}},
		"answers to my commands": {[]string{head + "shop._._.request.*.*"}, func(s events.Subject) bool { return s.Project == "shop" && s.Entity == events.Requests }},
	} {
		var want []string
		for _, subject := range slices.Sorted(maps.Keys(all)) {
			if c.wanted(must[events.Subject](t)(events.ParseSubject(subject))) {
				want = append(want, subject)
			}
		}
		if diff := cmp.Diff(want, matching(t, js, bus.EventStream, c.filters...)); diff != "" || len(want) == 0 {
			t.Errorf("%s: %d wanted\n%s", name, len(want), diff)
		}
	}
	if got := matching(t, js, bus.ProgressStream, "backupbus.v1.progress.shop.*.orders-db.>"); len(got) != 1 {
		t.Errorf("progress of one instance: %v", got)
	}
}

func TestConsumerFilter(t *testing.T) {
	t.Parallel()
	for in, want := range map[[3]string]string{
		{"shop", "", ""}:                                       "backupbus.v1.event.shop.>",
		{"example.com:proj", "", ""}:                           "backupbus.v1.event.example~2Ecom~3Aproj.>",
		{"shop", "my db", ""}:                                  "backupbus.v1.event.shop.*.my~20db.*.*.*",
		{"shop", "", "backup.failed"}:                          "backupbus.v1.event.shop.*.*.backup.*.failed",
		{"shop", "", "dev.backupbus.backup.attempt_failed.v1"}: "backupbus.v1.event.shop.*.*.backup.*.attempt_failed",
		{"shop", "orders", "backup.*"}:                         "backupbus.v1.event.shop.*.orders.backup.*.*",
		{"", "", ""}:                                           "",
		{"shop", "", "backup"}:                                 "",
		{"shop", "", "backup.>"}:                               "",
		{"shop", "", "*.failed.x"}:                             "",
		{"shop", "", "backup.failed.other"}:                    "",
	} {
		if got, err := bus.ConsumerFilter(in[0], in[1], in[2]); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}
