package notifier

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events/bus"
)

// A record that nobody can read is reported and counted, and holds up no other.
func TestRecords_UnreadableIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 200)
	id := w.subscribe("shop", "a", r.URL)
	const lost = "dl_zzzzzzzzzzzzzzzzzzzzzzzzzz"
	_, errs := w.bus.DeliveryLog().Put(t.Context(),
		bus.Row{Subject: bus.DeliverySubject("shop", id, lost), Data: []byte(`{"state":`)},
		bus.Row{Subject: bus.DeliverySubject("shop", id, "dl_yyyyyyyyyyyyyyyyyyyyyyyyyy"), Data: []byte(`{"state":"NEVER"}`)})
	if errs[0] != nil || errs[1] != nil {
		t.Fatal(errs)
	}
	w.backup("shop", "orders")
	n := w.build()
	w.run(n)
	receive(t, "a request", r.requests)
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := 0.0
	for _, f := range families {
		if f.GetName() == "backupbus_delivery_records_unreadable_total" {
			got = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if got != 2 {
		t.Errorf("%v are counted", got)
	}
	if !strings.Contains(w.log.String(), "record of a delivery is unreadable") || !strings.Contains(w.log.String(), lost) {
		t.Error("the log does not name it")
	}
}
