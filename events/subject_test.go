package events_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

func TestSubjects_ContractRows(t *testing.T) {
	t.Parallel()
	a := events.Aggregate{Project: "shop", Provider: "cloudsql", Instance: "orders-db", Entity: events.Backups, ID: "bk_oa2dry5sym5ypupjn6gheq6nlr"}
	b := events.Aggregate{Project: "example.com:proj", Provider: "cloudsql", Instance: "my db.*>", Entity: events.Backups, ID: "bk_x"}
	d := events.Aggregate{Project: "shop", Entity: events.Deliveries, ID: "dl_x", Parent: "su_x"}
	for _, row := range []struct {
		make func() (string, error)
		want string
	}{
		{func() (string, error) { return a.EventSubject(events.Succeeded) }, "backupbus.v1.event.shop.cloudsql.orders-db.backup.bk_oa2dry5sym5ypupjn6gheq6nlr.succeeded"},
		{func() (string, error) { return b.EventSubject(events.Failed) }, "backupbus.v1.event.example~2Ecom~3Aproj.cloudsql.my~20db~2E~2A~3E.backup.bk_x.failed"},
		{func() (string, error) { return d.EventSubject(events.DeadLettered) }, "backupbus.v1.event.shop._._.delivery.dl_x.dead_lettered"},
		{a.ProgressSubject, "backupbus.v1.progress.shop.cloudsql.orders-db.backup.bk_oa2dry5sym5ypupjn6gheq6nlr"},
		{a.Scope, "backupbus.v1.event.shop.cloudsql.orders-db.backup.bk_oa2dry5sym5ypupjn6gheq6nlr.*"},
		{a.InstanceScope, "backupbus.v1.event.shop.cloudsql.orders-db.>"},
		{a.AnywhereScope, "backupbus.v1.event.shop.*.*.backup.bk_oa2dry5sym5ypupjn6gheq6nlr.*"},
		{a.NameScope, "backupbus.v1.event.shop.*.orders-db.instance.>"},
		{func() (string, error) { return events.DeadLetterSubject("tracker", "shop", "illegal_transition") }, "backupbus.v1.deadletter.tracker.shop.illegal_transition"},
		{func() (string, error) { return events.DeadLetterSubject("tracker", "", "unreadable") }, "backupbus.v1.deadletter.tracker._.unreadable"},
		{func() (string, error) { return d.Source("bus.local") }, "//bus.local/projects/shop/subscriptions/su_x/deliveries/dl_x"},
		{func() (string, error) { return a.Source("bus.local") }, "//bus.local/projects/shop/instances/orders-db/backups/bk_oa2dry5sym5ypupjn6gheq6nlr"},
	} {
		got, err := row.make()
		if err != nil || got != row.want {
			t.Errorf("got %q, %v; want %q", got, err, row.want)
		}
	}
}

func TestParseSubject_UndoesTheMaking(t *testing.T) {
	t.Parallel()
	got, err := events.ParseSubject("backupbus.v1.event.shop._._.delivery.dl_x.dead_lettered")
	if err != nil {
		t.Fatal(err)
	}
	want := events.Subject{Project: "shop", Provider: "_", Instance: "_", Entity: events.Deliveries, ID: "dl_x", Step: events.DeadLettered}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "other.v1", "backupbus.v1.event.shop", "backupbus.v1.progress.a.b.c.backup.id.step"} {
		if _, err := events.ParseSubject(bad); err == nil {
			t.Errorf("ParseSubject(%q) gave no error", bad)
		}
	}
}

func TestSubjects_RefuseNamesThatHaveNone(t *testing.T) {
	t.Parallel()
	a := events.Aggregate{Project: "", Instance: "x", Entity: events.Backups, ID: "bk_x"}
	if s, err := a.EventSubject(events.Failed); err == nil {
		t.Errorf("an empty project gave %q", s)
	}
	a = events.Aggregate{Project: "p", Instance: "x", Entity: events.Backups, ID: strings.Repeat("y", 600)}
	if _, err := a.EventSubject(events.Failed); err == nil {
		t.Error("a subject over 512 bytes was made")
	}
}
