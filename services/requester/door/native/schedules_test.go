package native_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

type schedule struct {
	ScheduleID, Instance, Name, Database, Outcome string
	Generation                                    int
	ExpireAfterSeconds                            int64
	Config                                        map[string]any
	NextDueTimes                                  []time.Time
}

type preview struct {
	Paused  bool
	Due     []struct{ DueTime, StartTime time.Time }
	Backups []struct {
		BackupID, Why string
		Keep          bool
	}
}

func planned(t *testing.T, p *pipelinetest.Pipeline, method, path, body string) schedule {
	t.Helper()
	return pipelinetest.JSON[schedule](p, method, base+"/schedules"+path, body)
}

// What another door keeps in a schedule outlives a change that is made here.
func TestSchedules_KeepWhatOtherDoorsHaveSet(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	const spanners = "/v1/projects/shop/instances/orders/databases/orders.db/backupSchedules"
	const made = `{"retentionDuration":"604800s","spec":{"cronSpec":{"text":"0 3 * * *"}},"fullBackupSpec":{}}`
	if code, b := p.Call(http.MethodPost, spanners+"?backupScheduleId=nightly", made); code != http.StatusOK {
		t.Fatalf("%d %s", code, b)
	}
	list := pipelinetest.JSON[struct{ Schedules []schedule }](p, http.MethodGet, base+"/schedules?instance=orders", "").Schedules
	if len(list) != 1 || list[0].ExpireAfterSeconds != 604800 {
		t.Fatalf("%+v", list)
	}
	changed := planned(t, p, http.MethodPatch, "/"+list[0].ScheduleID, `{"config":{"cron":"0 4 * * *"}}`)
	if changed.Outcome != "updated" || changed.ExpireAfterSeconds != 604800 {
		t.Errorf("%+v", changed)
	}
	shown := pipelinetest.JSON[struct {
		RetentionDuration string
		Spec              struct{ CronSpec struct{ Text string } }
	}](p, http.MethodGet, spanners+"/nightly", "")
	if shown.RetentionDuration != "604800s" || shown.Spec.CronSpec.Text != "0 4 * * *" {
		t.Errorf("%+v", shown)
	}
}

func TestSchedules_FromPlanToDeletion(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "users")
	const nightly = `{"instance":"orders","name":"nightly","config":{"cron":"30 2 * * *","timeZone":"Europe/Berlin","windowSeconds":3600,"retention":{"keepLast":7}}}`
	first := planned(t, p, http.MethodPost, "", nightly)
	if first.Outcome != "created" || first.Generation != 1 || len(first.NextDueTimes) != 3 || first.Config["paused"] != false {
		t.Fatalf("%+v", first)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if due := first.NextDueTimes[0].In(berlin).Format("15:04"); due != "02:30" {
		t.Errorf("due at %s in Berlin", due)
	}
	if again := planned(t, p, http.MethodPost, "", nightly); again.Outcome != "unchanged" || again.Generation != 1 || again.ScheduleID != first.ScheduleID {
		t.Errorf("again: %+v", again)
	}
	if other := planned(t, p, http.MethodPost, "", strings.Replace(nightly, "30 2", "45 2", 1)); other.Outcome != "updated" || other.Generation != 2 || other.Config["cron"] != "45 2 * * *" {
		t.Errorf("changed: %+v", other)
	}
	planned(t, p, http.MethodPost, "", `{"instance":"users","name":"often","config":{"everySeconds":21600}}`)
	list := func(query string) int {
		return len(pipelinetest.JSON[struct{ Schedules []schedule }](p, http.MethodGet, base+"/schedules"+query, "").Schedules)
	}
	if all, ofOne, ofNone := list(""), list("?instance=orders"), list("?instance=nobody"); all != 2 || ofOne != 1 || ofNone != 0 {
		t.Errorf("listed %d, %d, %d", all, ofOne, ofNone)
	}
	one := "/" + first.ScheduleID
	if got := planned(t, p, http.MethodGet, one, ""); got.Name != "nightly" || got.Outcome != "" || got.Generation != 2 {
		t.Errorf("%+v", got)
	}

	if gone := planned(t, p, http.MethodDelete, one, ""); gone.Outcome != "deleted" || len(gone.NextDueTimes) != 0 {
		t.Errorf("%+v", gone)
	}
	refused(t, p, http.MethodGet, base+"/schedules"+one, "", 404, "SCHEDULE_NOT_FOUND")
	refused(t, p, http.MethodDelete, base+"/schedules"+one, "", 404, "SCHEDULE_NOT_FOUND")
	refused(t, p, http.MethodPatch, base+"/schedules"+one, `{"config":{"paused":true}}`, 404, "SCHEDULE_NOT_FOUND")
	refused(t, p, http.MethodGet, base+"/schedules"+one+"/preview", "", 404, "SCHEDULE_NOT_FOUND")
	if back := planned(t, p, http.MethodPost, "", nightly); back.Outcome != "created" || back.ScheduleID != first.ScheduleID || back.Generation != 4 {
		t.Errorf("made again: %+v", back)
	}
}

// A patch changes what it names: false and zero count, null takes out, and what other doors keep stays.
func TestSchedules_Patch(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	s := planned(t, p, http.MethodPost, "", `{"instance":"orders","name":"nightly","config":{"cron":"@daily","missed":"SKIP","retention":{"keepLast":7,"daily":3}}}`)
	patch := func(config string) schedule {
		t.Helper()
		return planned(t, p, http.MethodPatch, "/"+s.ScheduleID, `{"config":`+config+`}`)
	}
	if got := patch(`{"paused":true}`); got.Outcome != "updated" || got.Config["paused"] != true || got.Config["cron"] != "@daily" || got.NextDueTimes != nil {
		t.Errorf("paused: %+v", got)
	}
	if got := patch(`{"paused":true}`); got.Outcome != "unchanged" {
		t.Errorf("paused again: %+v", got)
	}
	if got := planned(t, p, http.MethodPost, "", `{"instance":"orders","name":"nightly","config":{"cron":"@daily","missed":"SKIP","retention":{"keepLast":7,"daily":3}}}`); got.Outcome != "unchanged" {
		t.Errorf("applied again, which says nothing of the pause: %+v", got)
	}
	if got := patch(`{"paused":false}`); got.Config["paused"] != false || len(got.NextDueTimes) != 3 {
		t.Errorf("resumed: %+v", got)
	}
	want := map[string]any{"everySeconds": 3600.0, "missed": "SKIP", "paused": false, "retention": map[string]any{"daily": 3.0, "monthly": 2.0}}
	if diff := cmp.Diff(want, patch(`{"cron":null,"everySeconds":3600,"retention":{"keepLast":0,"monthly":2}}`).Config); diff != "" {
		t.Error(diff)
	}
	delete(want, "retention")
	if diff := cmp.Diff(want, patch(`{"retention":null}`).Config); diff != "" {
		t.Error(diff)
	}
	for bad, code := range map[string]int{`{"everySeconds":null}`: 400, `{"cron":"@daily"}`: 400, `{"paused":"yes"}`: 422, `{"colour":1}`: 422, `7`: 422} {
		refused(t, p, http.MethodPatch, base+"/schedules/"+s.ScheduleID, `{"config":`+bad+`}`, code, "SCHEMA_VIOLATION")
	}
	if got := planned(t, p, http.MethodGet, "/"+s.ScheduleID, ""); !cmp.Equal(want, got.Config) {
		t.Errorf("refused patches left %+v", got.Config)
	}
}

// What the Cloud SQL door keeps in the schedule it shares with this one survives a change here.
func TestSchedules_KeepWhatTheCloudSQLDoorKeeps(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	if code, raw := p.Call(http.MethodPatch, "/sql/v1beta4/projects/shop/instances/orders", `{"settings":{"tier":"db-n1-standard-1","backupConfiguration":{"enabled":true,"startTime":"03:00"}}}`); code != 200 {
		t.Fatalf("%d %s", code, raw)
	}
	planned(t, p, http.MethodPost, "", `{"instance":"orders","name":"automated","config":{"cron":"0 5 * * *"}}`)
	_, raw := p.Call(http.MethodGet, "/sql/v1beta4/projects/shop/instances/orders", "")
	var i struct {
		Settings struct {
			Tier                string
			BackupConfiguration struct {
				Enabled   bool
				StartTime string
			}
		}
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		t.Fatal(err)
	}
	if i.Settings.Tier != "db-n1-standard-1" || !i.Settings.BackupConfiguration.Enabled || i.Settings.BackupConfiguration.StartTime != "05:00" {
		t.Errorf("%s", raw)
	}
}

func TestSchedules_Refusals(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	for name, c := range map[string]struct{ config, says string }{
		"neither cron nor every":        {`{}`, "needs cron or everySeconds"},
		"both":                          {`{"cron":"@daily","everySeconds":60}`, "exclude each other"},
		"six fields":                    {`{"cron":"0 30 2 * * *"}`, "five fields"},
		"no such day":                   {`{"cron":"0 0 30 2 *"}`, "no year has"},
		"unknown zone":                  {`{"cron":"@daily","timeZone":"Mars/Olympus"}`, "timeZone"},
		"too often":                     {`{"everySeconds":59}`, "everySeconds"},
		"window longer than the period": {`{"everySeconds":3600,"windowSeconds":3601}`, "config.windowSeconds"},
		"window over the next":          {`{"cron":"0 9,10 * * *","windowSeconds":7200}`, "config.windowSeconds"},
		"spread over the window":        {`{"cron":"@daily","windowSeconds":600,"spreadSeconds":601}`, "config.spreadSeconds"},
		"window of more than a month":   {`{"cron":"@yearly","windowSeconds":2678401}`, "config.windowSeconds"},
		"overdue after a month":         {`{"cron":"@yearly","overdueAfterSeconds":2678401}`, "config.overdueAfterSeconds"},
		"kept for over a century":       {`{"cron":"@daily","retention":{"maxAgeSeconds":3153600001}}`, "config.retention.maxAgeSeconds"},
		"spread without a window":       {`{"cron":"@daily","spreadSeconds":3601}`, "config.spreadSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			e := refused(t, p, http.MethodPost, base+"/schedules", `{"instance":"orders","name":"a","config":`+c.config+`}`, 400, "SCHEMA_VIOLATION")
			if !strings.Contains(e.Detail, c.says) {
				t.Errorf("%q does not say %q", e.Detail, c.says)
			}
		})
	}
	for _, c := range []string{`{"cron":"@daily","windowSeconds":-1}`, `{"cron":"@daily","overdueAfterSeconds":-1}`, `{"cron":"@daily","missed":"TWICE"}`,
		`{"cron":"@daily","retention":{"keepLast":-1}}`, `{"cron":"@daily","retention":{"daily":10001}}`, `{"cron":"@daily","maxAttempts":21}`} {
		if e := refused(t, p, http.MethodPost, base+"/schedules", `{"instance":"orders","name":"a","config":`+c+`}`, 422, "SCHEMA_VIOLATION"); len(e.Violations) == 0 {
			t.Errorf("%s: no field is named", c)
		}
	}
	refused(t, p, http.MethodPost, base+"/schedules", `{"instance":"nobody","name":"a","config":{"cron":"@daily"}}`, 404, "INSTANCE_NOT_FOUND")
	refused(t, p, http.MethodPost, base+"/schedules", `{"instance":"orders","name":"a\u0007","config":{"cron":"@daily"}}`, 400, "NAME_INVALID")
	refused(t, p, http.MethodGet, base+"/schedules/nonsense", "", 422, "SCHEMA_VIOLATION")
	if n := len(p.Events("shop")); n != 1 {
		t.Errorf("refused requests left %d events", n-1)
	}
}

func TestSchedules_TwentyOfAnInstance(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "users")
	body := func(instance string, n int) string {
		return fmt.Sprintf(`{"instance":%q,"name":"s%d","config":{"cron":"@daily"}}`, instance, n)
	}
	for n := range 20 {
		planned(t, p, http.MethodPost, "", body("orders", n))
	}
	refused(t, p, http.MethodPost, base+"/schedules", body("orders", 20), 429, "QUOTA_EXCEEDED")
	if got := planned(t, p, http.MethodPost, "", body("orders", 7)); got.Outcome != "unchanged" {
		t.Errorf("one that is there: %+v", got)
	}
	planned(t, p, http.MethodPost, "", body("users", 20))
	planned(t, p, http.MethodPost, "", `{"instance":"orders","name":"automated","config":{"cron":"@daily"}}`)
}

func TestSchedules_Preview(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	s := planned(t, p, http.MethodPost, "", `{"instance":"orders","name":"often","config":{"everySeconds":86400,"spreadSeconds":600,"windowSeconds":3600,"paused":true}}`)
	record := events.Schedule{Project: "shop", ScheduleID: s.ScheduleID, Name: s.Name, Provider: "sqlite", Instance: "orders"}
	var ids []string
	for day := range 2 {
		b := p.Slot(record, time.Date(2026, 1, 1+day, 0, 0, 0, 0, time.UTC), events.Requested, nil)
		p.Await("shop", b.BackupID, events.Succeeded)
		ids = append(ids, b.BackupID)
	}
	skipped := p.Slot(record, time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), events.Skipped, &events.Skip{Reason: "NO_CHANGES", Message: "nothing changed", CoveredByBackupID: ids[1]})
	p.Await("shop", skipped.BackupID, events.Skipped)

	planned(t, p, http.MethodPatch, "/"+s.ScheduleID, `{"config":{"retention":{"keepLast":1}}}`) // paused, it deletes nothing yet

	got := pipelinetest.JSON[preview](p, http.MethodGet, base+"/schedules/"+s.ScheduleID+"/preview", "")
	if !got.Paused || len(got.Due) != 10 || len(got.Backups) != 2 {
		t.Fatalf("%+v", got)
	}
	for _, d := range got.Due {
		if late := d.StartTime.Sub(d.DueTime); late < 0 || late > 10*time.Minute || d.DueTime.UTC().Hour() != 0 {
			t.Errorf("due %s starts %s", d.DueTime, d.StartTime)
		}
	}
	if newest, older := got.Backups[0], got.Backups[1]; newest.BackupID != ids[1] || !newest.Keep || older.BackupID != ids[0] || older.Keep || older.Why != "surplus" {
		t.Errorf("%+v", got.Backups)
	}
	b := pipelinetest.JSON[struct {
		ScheduleID, SkipReason, SkipMessage, CoveredByBackupID string
		DueTime                                                time.Time
	}](p, http.MethodGet, base+"/backups/"+skipped.BackupID, "")
	if b.ScheduleID != s.ScheduleID || b.DueTime.Day() != 3 || b.SkipReason != "NO_CHANGES" || b.SkipMessage != "nothing changed" || b.CoveredByBackupID != ids[1] {
		t.Errorf("%+v", b)
	}
}

// TestHealth_TellsTheAgeOfTheLastGoodBackupAndTheRate: of nothing, and of one good backup that no schedule asked for.
func TestHealth_TellsTheAgeOfTheLastGoodBackupAndTheRate(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	type health struct {
		LastGoodBackup *struct {
			BackupID, Proof string
			AgeSeconds      int64
		}
		SuccessRate *float64
		Slots       map[string]int
	}
	read := func() health {
		return pipelinetest.JSON[health](p, http.MethodGet, base+"/instances/orders/health", "")
	}
	if h := read(); h.LastGoodBackup != nil || h.SuccessRate != nil || h.Slots["due"] != 0 || len(h.Slots) != 6 {
		t.Errorf("%+v", h)
	}
	made := pipelinetest.JSON[struct{ BackupID string }](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`)
	p.Await("shop", made.BackupID, events.Succeeded)
	if h := read(); h.LastGoodBackup == nil || h.LastGoodBackup.BackupID != made.BackupID || h.LastGoodBackup.AgeSeconds > 600 || h.SuccessRate != nil {
		t.Errorf("%+v", h)
	}
	refused(t, p, http.MethodGet, base+"/instances/nobody/health", "", 404, "INSTANCE_NOT_FOUND")
	refused(t, p, http.MethodGet, base+"/instances/orders/health?days=0", "", 422, "SCHEMA_VIOLATION")
	refused(t, p, http.MethodGet, base+"/instances/orders/health?days=91", "", 422, "SCHEMA_VIOLATION")
}
