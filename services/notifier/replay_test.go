package notifier

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ever is a replay of all that there is.
func ever(more ...map[string]any) map[string]any {
	out := map[string]any{"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
	for _, m := range more {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// A replay of a time sends what the subscription wants and the replay asks for; an event by its id is sent as asked.
func TestReplay_OfATimeKeepsToWhatIsWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, _ := c.make(r.URL, func(b map[string]any) {
		b["types"] = []string{"dev.backupbus.backup.requested.v1"}
		b["filters"] = []any{map[string]any{"exact": map[string]any{"instance": "orders"}}}
	})
	unwanted := w.backup("shop", "users") // and subscription.created
	want := []string{w.backup("shop", "orders").ID, w.backup("shop", "orders").ID}
	next := func() string { return receive(t, "a replay", r.requests).Header.Get("webhook-id") }
	for range want { // as they happen
		next()
	}
	asked := func(replay map[string]any) { // once the one before is taken in
		eventually(t, "the replay is accepted", func() bool {
			status, _, _ := c.do("POST", "/"+id+":replay", replay)
			return status == 202
		})
	}
	sent := func(n int, replay map[string]any) map[string]bool {
		asked(replay)
		asked(map[string]any{"eventIds": []string{unwanted.ID}}) // taken in after it
		got := map[string]bool{}
		for range n + 1 {
			got[next()] = true
		}
		return got
	}
	both := map[string]bool{want[0]: true, want[1]: true, unwanted.ID: true}
	if diff := cmp.Diff(both, sent(2, ever())); diff != "" {
		t.Error(diff)
	}
	wider := map[string]any{"types": []string{"dev.backupbus.backup.requested.v1", "dev.backupbus.subscription.created.v1"}}
	if diff := cmp.Diff(both, sent(2, ever(wider))); diff != "" {
		t.Errorf("of types that it does not want too: %s", diff)
	}
	narrower := map[string]any{"types": []string{"dev.backupbus.backup.failed.v1"}}
	if diff := cmp.Diff(map[string]bool{unwanted.ID: true}, sent(0, ever(narrower))); diff != "" {
		t.Errorf("of a type that there was not: %s", diff)
	}
	w.allEnded()
	if n := len(w.deliveries()); n != 9 || len(r.requests) != 0 {
		t.Errorf("%d deliveries, %d more requests", n, len(r.requests))
	}
}
