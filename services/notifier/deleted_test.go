package notifier

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The deliveries of a subscription can be listed after it was deleted, by its project only.
func TestAPI_DeliveriesOutliveTheSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200, 400, 500)
	w.plan.Delays[0] = soon // what fails waits
	c := w.serve(r.URL)
	id, _ := c.make(r.URL, func(b map[string]any) {
		b["types"] = []string{"dev.backupbus.backup.requested.v1"}
		b["protocolsettings"] = map[string]any{"maxInFlight": 1}
	})
	unused, _ := c.make(r.URL, func(b map[string]any) { b["types"] = []string{"dev.backupbus.backup.failed.v1"} })
	for range 3 {
		w.backup("shop", "orders")
		receive(t, "a request", r.requests)
	}
	listed := func(query string) []any {
		return c.must(200, "GET", "/"+id+"/deliveries"+query, nil)["deliveries"].([]any)
	}
	eventually(t, "two wait", func() bool { return len(listed("?state=DELIVERED")) == 1 && len(listed("?state=RETRYING")) == 2 })
	c.must(204, "DELETE", "/"+id, nil)
	c.must(404, "GET", "/"+id, nil)
	eventually(t, "what waited is suppressed", func() bool { return len(listed("?state=SUPPRESSED")) == 2 })
	reasons := map[string]int{}
	for _, d := range listed("") {
		reason, _ := d.(map[string]any)["reason"].(string)
		reasons[d.(map[string]any)["state"].(string)+" "+reason]++
	}
	if diff := cmp.Diff(map[string]int{"DELIVERED ": 1, "SUPPRESSED DELETED": 2}, reasons); diff != "" {
		t.Error(diff)
	}
	page := c.must(200, "GET", "/"+id+"/deliveries?limit=2", nil)
	rest := listed("?cursor=" + page["nextCursor"].(string))
	if len(page["deliveries"].([]any)) != 2 || len(rest) != 1 {
		t.Errorf("a page of %d, then %d", len(page["deliveries"].([]any)), len(rest))
	}
	if n := len(listed("?state=DEAD")); n != 0 {
		t.Errorf("%d of a state that none has", n)
	}
	c.must(204, "DELETE", "/"+unused, nil)
	c.must(404, "GET", "/"+unused+"/deliveries", nil)
	other := &client{world: w, base: strings.Replace(c.base, "/shop/", "/other/", 1)}
	other.must(404, "GET", "/"+id+"/deliveries", nil)
}
