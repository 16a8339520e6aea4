package native_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// Who starts before the history limit is told first that not all comes, by the stream and by pages, and gets what is
// left (events.md 6.2, case L7); a past state from before it is refused. Who starts after it is told nothing.
func TestFeeds_TellOfHistoryThatIsNotWhole(t *testing.T) {
	t.Parallel()
	var days atomic.Int64
	p := pipelinetest.Start(t, pipelinetest.Options{Today: func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }})
	p.Register("shop", "orders")
	p.Hand.Auto()
	id := take(t, p, "orders")
	all := readPage(t, p, base+"/events")
	epoch, _, _ := strings.Cut(all.cursor, "-")
	began := "since=" + url.QueryEscape(time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	asOf := base + "/backups?asOf=" + url.QueryEscape(time.Now().UTC().Format(time.RFC3339Nano))
	after := func() string {
		return "since=" + url.QueryEscape(time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339))
	}
	for _, path := range []string{"", "?" + began, "?since=2020-01-01T00:00:00Z", "?cursor=" + epoch + "-1"} {
		if pg := readPage(t, p, base+"/events"+path); pg.truncated != "" {
			t.Errorf("%s is truncated on the first day", path)
		}
	}
	if code, body := p.Call(http.MethodGet, asOf, ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if hello := listen(t, p, began, "").next(); hello.Event != "" {
		t.Errorf("on the first day: %+v", hello)
	}

	p.Tracker.Stop()
	days.Store(91)
	p.Tracker.Start() // its janitor cleans up
	registered := p.Await("shop", id, events.Succeeded)
	for name, l := range map[string]*listener{
		"since":         listen(t, p, began, ""),
		"Last-Event-ID": listen(t, p, "", epoch+"-1"),
		"cursor":        listen(t, p, "cursor="+epoch+"-1", ""),
	} {
		if reset := l.next(); reset.Event != "backupbus.reset" || reset.Data != `{"reason":"HISTORY_COMPACTED"}` || reset.Retry != "3000" {
			t.Errorf("%s: %+v", name, reset)
		}
		l.next()                            // its place
		for m := l.next(); ; m = l.next() { // what the janitor has not come to yet may come too
			if m.Event == registered.Type {
				break
			}
		}
	}
	for path, truncated := range map[string]string{"": "true", "?" + began: "true", "?cursor=" + epoch + "-0": "true",
		"?cursor=" + all.cursor: "", "?" + after(): "", "?cursor=00000000-9": "true"} {
		if pg := readPage(t, p, base+"/events"+path); pg.truncated != truncated {
			t.Errorf("%q: truncated is %q", path, pg.truncated)
		}
	}
	if hello := listen(t, p, "", all.cursor).next(); hello.Event != "" || hello.ID != all.cursor {
		t.Errorf("after everything: %+v", hello)
	}
	if hello := listen(t, p, "", "").next(); hello.Event != "" {
		t.Errorf("from now on: %+v", hello)
	}
	if lost := listen(t, p, "", "00000000-5").next(); !strings.Contains(lost.Data, "CURSOR_UNKNOWN") {
		t.Errorf("of another log: %+v", lost)
	}
	refused(t, p, http.MethodGet, asOf, "", 400, "SCHEMA_VIOLATION")
	refused(t, p, http.MethodGet, base+"/backups/"+id+strings.TrimPrefix(asOf, base+"/backups"), "", 400, "SCHEMA_VIOLATION")
}
