package gaussdb_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
)

type shownPolicy struct {
	Policy struct {
		KeepDays  int    `json:"keep_days"`
		StartTime string `json:"start_time"`
		Period    string
		Level1    *int `json:"retention_num_backup_level1"`
	} `json:"backup_policy"`
}

func policy(t *testing.T, p *pipelinetest.Pipeline, instance, body string) {
	t.Helper()
	got := pipelinetest.JSON[struct {
		Status       string
		InstanceID   string `json:"instance_id"`
		InstanceName string `json:"instance_name"`
	}](p, http.MethodPut, path("instances", gaussID(t, project, instance), "backups", "policy", "update"), body)
	if got.Status != "COMPLETED" || got.InstanceID != gaussID(t, project, instance) || got.InstanceName != instance {
		t.Errorf("%+v", got)
	}
}

func showPolicy(t *testing.T, p *pipelinetest.Pipeline, instance string) shownPolicy {
	t.Helper()
	return pipelinetest.JSON[shownPolicy](p, http.MethodGet, path("instances", gaussID(t, project, instance), "backups", "policy"), "")
}

func TestPolicy_ShowsWhatWasSet(t *testing.T) { // cases 32, 33; rows 21, 34 to 39
	t.Parallel()
	p := setup(t, settings{}, "orders")
	if got := showPolicy(t, p, "orders").Policy; got.KeepDays != 7 || got.StartTime != "00:00-01:00" || got.Period != "1,2,3,4,5,6,7" || got.Level1 != nil {
		t.Errorf("of an instance without one: %+v", got)
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"19:00-20:00","keep_days":7,"period":"1,2,3"}}`)
	set := showPolicy(t, p, "orders")
	if got := set.Policy; got.KeepDays != 7 || got.StartTime != "19:00-20:00" || got.Period != "1,2,3" {
		t.Errorf("%+v", got)
	}
	before := len(p.Events(project))
	update := path("instances", gaussID(t, project, "orders"), "backups", "policy", "update")
	for _, c := range []struct{ start, days, period, more, code string }{
		{`"19:30-20:30"`, "7", `"1"`, "", "DBS.280253"},
		{`"19:00-21:00"`, "7", `"1"`, "", "DBS.280253"},
		{`"23:00-24:00"`, "7", `"1"`, "", "DBS.280253"},
		{`""`, "7", `"1"`, "", "DBS.280253"},
		{`"9:00-10:00"`, "7", `"1"`, "", "DBS.280253"},
		{`"19:00-20:00"`, "0", `"1"`, "", "DBS.280250"},
		{`"19:00-20:00"`, "733", `"1"`, "", "DBS.280250"},
		{`"19:00-20:00"`, "-1", `"1"`, "", "DBS.280250"},
		{`"19:00-20:00"`, "99999999999999", `"1"`, "", "DBS.280250"},
		{`"19:00-20:00"`, `"7"`, `"1"`, "", "DBS.280001"},
		{`"19:00-20:00"`, `7.5`, `"1"`, "", "DBS.280001"},
		{`"19:00-20:00"`, "7", `"0,8"`, "", "DBS.280251"},
		{`"19:00-20:00"`, "7", `"1,1"`, "", "DBS.280251"},
		{`"19:00-20:00"`, "7", `"1, 2"`, "", "DBS.280251"},
		{`"19:00-20:00"`, "7", `""`, "", "DBS.280251"},
		{`"19:00-20:00"`, "7", `"1"`, `,"retention_num_backup_level1":2`, "DBS.280204"},
		{`null`, "7", `"1"`, "", "DBS.200006"},
		{`"19:00-20:00"`, "null", `"1"`, "", "DBS.200006"},
		{`"19:00-20:00"`, "7", `null`, "", "DBS.200006"},
	} {
		refused(t, p, http.MethodPut, update, `{"backup_policy":{"start_time":`+c.start+`,"keep_days":`+c.days+`,"period":`+c.period+c.more+`}}`, 400, c.code)
	}
	for body, code := range map[string]string{"": "DBS.200006", "{}": "DBS.200006", `{"backup_policy":[]}`: "DBS.280001", "x": "DBS.280001"} {
		refused(t, p, http.MethodPut, update, body, 400, code)
	}
	good := `{"backup_policy":{"start_time":"19:00-20:00","keep_days":7,"period":"1"}}`
	refused(t, p, http.MethodPut, path("instances", "abc", "backups", "policy", "update"), good, 400, "DBS.280404")
	refused(t, p, http.MethodPut, path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01", "backups", "policy", "update"), good, 404, "DBS.201028")
	refused(t, p, http.MethodGet, path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01", "backups", "policy"), "", 404, "DBS.201028")
	if n := len(p.Events(project)); n != before {
		t.Errorf("refused requests left %d events", n-before)
	}
	if diff := cmp.Diff(set, showPolicy(t, p, "orders")); diff != "" {
		t.Errorf("the old policy did not stay:\n%s", diff)
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"23:00-00:00","keep_days":732,"period":"7,1"}}`)
	if got := showPolicy(t, p, "orders").Policy; got.KeepDays != 732 || got.StartTime != "23:00-00:00" || got.Period != "1,7" {
		t.Errorf("%+v", got)
	}
}

func TestPolicy_IsTheScheduleOfTheOtherDoors(t *testing.T) {
	t.Parallel()
	p := setup(t, settings{}, "orders")
	sql := "/sql/v1beta4/projects/" + project + "/instances/orders"
	type settings struct {
		Settings struct {
			Tier                string
			BackupConfiguration struct {
				Enabled                 bool
				StartTime, Location     string
				BackupRetentionSettings struct{ RetainedBackups int }
			}
		}
	}
	shownThere := func() settings { return pipelinetest.JSON[settings](p, http.MethodGet, sql, "") }
	patch := func(body string) { t.Helper(); pipelinetest.JSON[struct{}](p, http.MethodPatch, sql, body) }

	patch(`{"settings":{"tier":"db-1","backupConfiguration":{"enabled":true,"startTime":"02:30","location":"eu","backupRetentionSettings":{"retainedBackups":30}}}}`)
	if got := showPolicy(t, p, "orders").Policy; got.StartTime != "02:30-03:30" || got.Period != "1,2,3,4,5,6,7" || got.KeepDays != 30 {
		t.Errorf("what Cloud SQL set: %+v", got)
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":10,"period":"1,2,3,4,5,6,7"}}`)
	there := shownThere()
	if c := there.Settings.BackupConfiguration; !c.Enabled || c.StartTime != "21:00" || c.Location != "eu" || c.BackupRetentionSettings.RetainedBackups != 30 || there.Settings.Tier != "db-1" {
		t.Errorf("what GaussDB set: %+v", there)
	}
	if got := showPolicy(t, p, "orders").Policy; got.KeepDays != 10 || got.StartTime != "21:00-22:00" {
		t.Errorf("%+v", got)
	}
	patch(`{"settings":{"backupConfiguration":{"startTime":"04:00"}}}`)
	if got := showPolicy(t, p, "orders").Policy; got.KeepDays != 10 || got.StartTime != "04:00-05:00" {
		t.Errorf("keep_days is lost: %+v", got)
	}
	patch(`{"settings":{"backupConfiguration":{"enabled":false}}}`)
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":10,"period":"2"}}`)
	if c := shownThere().Settings.BackupConfiguration; !c.Enabled {
		t.Errorf("who sets a policy has automated backups: %+v", c)
	}
}

// A number of backups that somebody chose at the Cloud SQL door stays beside keep_days; that door's default does not.
func TestPolicy_RetentionOfTheOtherDoor(t *testing.T) {
	t.Parallel()
	for chosen, want := range map[string]events.Retention{
		"": {MaxAgeSeconds: 30 * 86400}, `,"backupRetentionSettings":{"retainedBackups":9}`: {KeepLast: 9, MaxAgeSeconds: 30 * 86400},
	} {
		p := setup(t, settings{}, "orders")
		pipelinetest.JSON[struct{}](p, http.MethodPatch, "/sql/v1beta4/projects/"+project+"/instances/orders", `{"settings":{"backupConfiguration":{"enabled":true`+chosen+`}}}`)
		policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":30,"period":"1,2,3,4,5,6,7"}}`)
		s, err := p.View.SchedulesByID(t.Context(), project, []string{scheduleID(t, "orders")})
		if err != nil || len(s) != 1 {
			t.Fatal(s, err)
		}
		if diff := cmp.Diff(&want, s[0].Config.Retention); diff != "" {
			t.Errorf("%q:\n%s", chosen, diff)
		}
		if c := s[0].Config; c.WindowSeconds != 3600 || c.SpreadSeconds > 3600 || c.Cron != "0 21 * * *" || c.Paused {
			t.Errorf("%+v", c)
		}
	}
}

// A number of backups that was chosen at the native door stays, also where the Cloud SQL door had its default before.
func TestPolicy_RetentionChosenAtTheNativeDoor(t *testing.T) {
	t.Parallel()
	p := setup(t, settings{}, "orders")
	type settings struct {
		Settings struct {
			BackupConfiguration struct {
				BackupRetentionSettings struct{ RetainedBackups int }
			}
		}
	}
	sql := "/sql/v1beta4/projects/" + project + "/instances/orders"
	pipelinetest.JSON[struct{}](p, http.MethodPatch, sql, `{"settings":{"backupConfiguration":{"enabled":true}}}`)
	native := "/api/v1/projects/" + project + "/schedules/" + scheduleID(t, "orders")
	pipelinetest.JSON[struct{}](p, http.MethodPatch, native, `{"config":{"retention":{"keepLast":30}}}`)
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":400,"period":"1,2,3,4,5,6,7"}}`)
	if diff := cmp.Diff(&events.Retention{KeepLast: 30, MaxAgeSeconds: 400 * 86400}, configOf(t, p, "orders").Retention); diff != "" {
		t.Error(diff)
	}
	if n := pipelinetest.JSON[settings](p, http.MethodGet, sql, "").Settings.BackupConfiguration.BackupRetentionSettings.RetainedBackups; n != 30 {
		t.Errorf("the Cloud SQL door shows %d", n)
	}
}

// configOf is that of the schedule behind an instance's policy.
func configOf(t *testing.T, p *pipelinetest.Pipeline, instance string) events.ScheduleConfig {
	t.Helper()
	s, err := p.View.SchedulesByID(t.Context(), project, []string{scheduleID(t, instance)})
	if err != nil || len(s) != 1 {
		t.Fatal(s, err)
	}
	return s[0].Config
}

// What was read can be written back, and nothing is changed by it, however poor its words are for what stands.
func TestPolicy_WrittenBackIsNoChange(t *testing.T) {
	t.Parallel()
	p := setup(t, settings{}, "orders")
	for n, config := range []string{
		`{"cron":"0 3 * * *"}`,
		`{"cron":"0 3 * * *","retention":{"keepLast":5}}`,
		`{"cron":"0 3 * * *","retention":{"keepLast":5000}}`,
		`{"cron":"0 3 * * *","retention":{"daily":7,"weekly":4,"monthly":12}}`,
		`{"cron":"0 3 * * *","retention":{"daily":7}}`,
		`{"cron":"0 3 * * *","retention":{"maxAgeSeconds":90000}}`,
		`{"cron":"0 3 * * *","retention":{"maxAgeSeconds":94608000,"keepLast":3}}`,
		`{"cron":"30 2 * * 1-5","timeZone":"Asia/Kolkata","windowSeconds":7200,"overdueAfterSeconds":600,"missed":"ALL"}`,
		`{"everySeconds":86400,"retention":{"keepLast":9}}`,
		`{"cron":"0 5 1 * *","timeZone":"Europe/Berlin","retention":{"monthly":6}}`,
	} {
		instance := fmt.Sprintf("orders-%d", n)
		p.Register(project, instance)
		if code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/schedules", `{"instance":"`+instance+`","name":"automated","config":`+config+`}`); code/100 != 2 {
			t.Fatal(code, string(raw))
		}
		was, before := configOf(t, p, instance), len(p.Events(project))
		_, shown := p.Call(http.MethodGet, path("instances", gaussID(t, project, instance), "backups", "policy"), "")
		policy(t, p, instance, string(shown))
		if diff := cmp.Diff(was, configOf(t, p, instance)); diff != "" || len(p.Events(project)) != before {
			t.Errorf("%s, written back as %s: %d events\n%s", config, shown, len(p.Events(project))-before, diff)
		}
	}
}

// A window within an hour is accepted while it stands, and the hour that is set is the window.
func TestPolicy_WindowThatStands(t *testing.T) {
	t.Parallel()
	p := setup(t, settings{}, "orders")
	if code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/schedules", `{"instance":"orders","name":"automated","config":{"cron":"30 2 * * *","windowSeconds":7200,"spreadSeconds":7200,"overdueAfterSeconds":600}}`); code/100 != 2 {
		t.Fatal(code, string(raw))
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"02:30-03:30","keep_days":9,"period":"1,2,3,4,5,6,7"}}`)
	if c := configOf(t, p, "orders"); c.Cron != "30 2 * * *" || c.WindowSeconds != 7200 || c.Retention.MaxAgeSeconds != 9*86400 {
		t.Errorf("%+v", c)
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"02:30-03:30","keep_days":9,"period":"1"}}`)
	if c := configOf(t, p, "orders"); c.Cron != "30 2 * * 1" || c.WindowSeconds != 3600 || c.SpreadSeconds != 1800 || c.OverdueAfterSeconds != 0 {
		t.Errorf("%+v", c)
	}
	at := path("instances", gaussID(t, project, "orders"), "backups", "policy", "update")
	refused(t, p, http.MethodPut, at, `{"backup_policy":{"start_time":"03:30-04:30","keep_days":9,"period":"1"}}`, 400, "DBS.280253")
	gone := path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01", "backups", "policy", "update")
	refused(t, p, http.MethodPut, gone, `{"backup_policy":{"start_time":"03:30-04:30","keep_days":9,"period":"1"}}`, 400, "DBS.280253")
}

func TestPolicy_OfScheduleMadeElsewhere(t *testing.T) {
	t.Parallel()
	p := setup(t, settings{}, "orders")
	for _, c := range []struct {
		config, start, period string
		days                  int
	}{
		{`{"cron":"15 3 * * 1-5","timeZone":"UTC","retention":{"keepLast":5}}`, "03:15-04:15", "1,2,3,4,5", 7},
		{`{"everySeconds":86400,"retention":{"maxAgeSeconds":90000}}`, "00:00-01:00", "1,2,3,4,5,6,7", 2},
		{`{"cron":"0 5 * * 0"}`, "05:00-06:00", "7", 732},
	} {
		if code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/schedules", `{"instance":"orders","name":"automated","config":`+c.config+`}`); code/100 != 2 {
			t.Fatal(code, string(raw))
		}
		if got := showPolicy(t, p, "orders").Policy; got.StartTime != c.start || got.Period != c.period || got.KeepDays != c.days {
			t.Errorf("%s: %+v", c.config, got)
		}
	}
}

func TestPolicy_Level1(t *testing.T) { // 4.5, 4.6; row 39
	t.Parallel()
	p := setup(t, settings{Config: gaussdb.Config{Level1: true}}, "orders")
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":10,"period":"1","retention_num_backup_level1":1}}`)
	if got := showPolicy(t, p, "orders").Policy; got.Level1 == nil || *got.Level1 != 1 {
		t.Errorf("%+v", got)
	}
	pipelinetest.JSON[struct{}](p, http.MethodPatch, "/sql/v1beta4/projects/"+project+"/instances/orders", `{"settings":{"backupConfiguration":{"startTime":"04:00"}}}`)
	if got := showPolicy(t, p, "orders").Policy; got.Level1 == nil || *got.Level1 != 1 || got.StartTime != "04:00-05:00" {
		t.Errorf("after a change at another door: %+v", got)
	}
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":10,"period":"1"}}`)
	if got := showPolicy(t, p, "orders").Policy; got.Level1 == nil || *got.Level1 != 0 {
		t.Errorf("the default: %+v", got)
	}
}

func TestInstance_Detail(t *testing.T) { // 4.9
	t.Parallel()
	p := setup(t, settings{}, "orders")
	policy(t, p, "orders", `{"backup_policy":{"start_time":"21:00-22:00","keep_days":10,"period":"1"}}`)
	code, raw := p.Call(http.MethodGet, path("instances", gaussID(t, project, "orders")), "")
	var got struct{ Instance map[string]any }
	if err := json.Unmarshal(raw, &got); err != nil || code != 200 {
		t.Fatal(code, string(raw), err)
	}
	delete(got.Instance, "created")
	delete(got.Instance, "updated")
	want := map[string]any{"id": gaussID(t, project, "orders"), "name": "orders", "status": "ACTIVE", "project_id": project, "type": "Cluster", "port": "3306", "node_count": 1.0,
		"datastore": map[string]any{"type": "sqlite", "version": ""}, "backup_strategy": map[string]any{"start_time": "21:00-22:00", "keep_days": "10"}, "nodes": []any{}}
	if diff := cmp.Diff(want, got.Instance); diff != "" {
		t.Error(diff)
	}
	refused(t, p, http.MethodGet, path("instances", "abc"), "", 400, "DBS.280404")
	refused(t, p, http.MethodGet, path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01"), "", 404, "DBS.201028")
}
