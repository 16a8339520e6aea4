package native_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// A PATCH is a JSON merge patch (events.md 5.4): labels one by one, null takes out.
func TestBackups_ChangedInPart(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	type shown struct {
		Description string
		ExpireTime  *time.Time
		Labels      map[string]string
		Held        bool
	}
	expire := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups",
		`{"instance":"orders","description":"before","labels":{"team":"core","tier":"1"},"expireTime":"`+expire.Format(time.RFC3339)+`"}`).BackupID
	p.Await("shop", id, events.Succeeded)
	later := expire.Add(time.Hour)
	want := shown{"before", &expire, map[string]string{"team": "core", "tier": "1"}, false}
	for n, c := range []struct {
		patch string
		then  func(s *shown)
	}{
		{`{"description":"after"}`, func(s *shown) { s.Description = "after" }},
		{`{"labels":{"tier":null,"by":"me"}}`, func(s *shown) { s.Labels = map[string]string{"team": "core", "by": "me"} }},
		{`{"labels":{}}`, func(*shown) {}},
		{`{"expireTime":"` + later.Format(time.RFC3339) + `","held":true}`, func(s *shown) { s.ExpireTime, s.Held = &later, true }},
		{`{"expireTime":null,"held":null}`, func(s *shown) { s.ExpireTime, s.Held = nil, false }},
		{`{"description":null}`, func(s *shown) { s.Description = "" }},
		{`{"labels":{"team":null,"by":null}}`, func(s *shown) { s.Labels = nil }},
		{`{"labels":{"a":"1"}}`, func(s *shown) { s.Labels = map[string]string{"a": "1"} }},
		{`{"labels":null}`, func(s *shown) { s.Labels = nil }},
	} {
		if code, raw := p.Call(http.MethodPatch, base+"/backups/"+id, c.patch); code != http.StatusAccepted {
			t.Fatalf("%s: %d %s", c.patch, code, raw)
		}
		c.then(&want)
		if diff := cmp.Diff(want, pipelinetest.JSON[shown](p, http.MethodGet, base+"/backups/"+id, "")); diff != "" {
			t.Errorf("%d %s: %s", n, c.patch, diff)
		}
	}
	refused(t, p, http.MethodPatch, base+"/backups/"+id, `{}`, 400, "SCHEMA_VIOLATION")
	refused(t, p, http.MethodPatch, base+"/backups/"+id, `{"labels":{"Team":"x"}}`, 400, "SCHEMA_VIOLATION")
	refused(t, p, http.MethodPatch, base+"/backups/"+id, `{"expireTime":"2001-01-01T00:00:00Z"}`, 400, "SCHEMA_VIOLATION")
}

// A refusal says whether the same may be asked again, and when (events.md 5.5).
func TestRefusals_SayWhetherToComeAgain(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`).BackupID
	for path, retryable := range map[string]bool{base + "/backups": true, base + "/backups/" + id + ":verify": false} {
		_, h, raw := p.CallHeaders(http.MethodPost, path, map[bool]string{true: `{"instance":"orders"}`}[retryable], nil)
		var e struct{ Retryable bool }
		if err := json.Unmarshal(raw, &e); err != nil || e.Retryable != retryable || h.Get("Retry-After") != "" {
			t.Errorf("%s: %v %q %s", path, err, h.Get("Retry-After"), raw)
		}
	}
	schedule := func(n int) (int, http.Header, []byte) {
		return p.CallHeaders(http.MethodPost, base+"/schedules", fmt.Sprintf(`{"instance":"orders","name":"s%d","config":{"cron":"0 3 * * *"}}`, n), nil)
	}
	for n := 0; ; n++ {
		code, h, raw := schedule(n)
		if code < 300 && n < 1000 {
			continue
		}
		var e struct {
			Reason            string
			Retryable         bool
			RetryAfterSeconds int
		}
		if err := json.Unmarshal(raw, &e); err != nil || code != http.StatusTooManyRequests || e.Reason != "QUOTA_EXCEEDED" || !e.Retryable ||
			h.Get("Retry-After") != fmt.Sprint(e.RetryAfterSeconds) || e.RetryAfterSeconds == 0 {
			t.Errorf("after %d schedules: %d %q %s", n, code, h.Get("Retry-After"), raw)
		}
		return
	}
}
