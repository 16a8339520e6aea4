package cloudsql_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// facts makes an instance known with an engine and with what Cloud SQL says of it.
func facts(t *testing.T, p *pipelinetest.Pipeline, name, engine, region, of string) {
	t.Helper()
	code, body := p.Call(http.MethodPost, "/api/v1/projects/acme/instances",
		`{"provider":"sqlite","instance":"`+name+`","config":{"engine":"`+engine+`","region":"`+region+`","file":"/x/`+name+`.db","cloudsql":{`+of+`}}}`)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", name, code, body)
	}
}

func patchSettings(p *pipelinetest.Pipeline, name, settings string) {
	pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "instances", name), `{"settings":`+settings+`}`)
}

// kept is how many backups and days of log an instance shows.
func kept(p *pipelinetest.Pipeline, name string) [2]int {
	c := getInstance(p, name).Settings.BackupConfiguration
	return [2]int{c.BackupRetentionSettings.RetainedBackups, c.TransactionLogRetentionDays}
}

func TestSettings_DefaultsAreThoseOfTheEdition(t *testing.T) { // cloudsql.md 8
	t.Parallel()
	p := setup(t, "orders", "later")
	patch(p, "later", `{"enabled":true,"startTime":"13:00"}`) // an edition is chosen after something else was
	for _, name := range []string{"orders", "later"} {
		for _, step := range []struct {
			settings string
			want     [2]int
		}{
			{`{"edition":"ENTERPRISE_PLUS"}`, [2]int{15, 14}},
			{`{"tier":"db-perf-optimized-N-2"}`, [2]int{15, 14}},
			{`{"edition":"ENTERPRISE"}`, [2]int{7, 7}},
			{`{"edition":2,"backupConfiguration":{"backupRetentionSettings":{"retainedBackups":40},"transactionLogRetentionDays":35}}`, [2]int{40, 35}},
			{`{"backupConfiguration":{"transactionLogRetentionDays":null}}`, [2]int{40, 14}},
			{`{"edition":null}`, [2]int{40, 7}}, // what was chosen stays
			{`{"backupConfiguration":{"backupRetentionSettings":null}}`, [2]int{7, 7}},
		} {
			patchSettings(p, name, step.settings)
			if got := kept(p, name); got != step.want {
				t.Errorf("%s after %s: %v, want %v", name, step.settings, got, step.want)
			}
			if r := lastSchedule(t, p).Config.Retention; r == nil || r.KeepLast != step.want[0] {
				t.Errorf("%s after %s: the schedule keeps %+v", name, step.settings, r)
			}
		}
	}
	patchSettings(p, "orders", `{"edition":2,"backupConfiguration":{"transactionLogRetentionDays":12}}`)
	refused(t, p, http.MethodPatch, path("acme", "instances", "orders"), `{"settings":{"edition":1}}`, 400, "invalid") // 12 days of log
}

// shown is an instance's settings as they come, without their version.
func shown(t *testing.T, p *pipelinetest.Pipeline, name string) map[string]any {
	t.Helper()
	s := pipelinetest.JSON[map[string]any](p, http.MethodGet, path("acme", "instances", name), "")["settings"].(map[string]any)
	delete(s, "settingsVersion")
	return s
}

const everything = `{"tier":"db-f1-micro","edition":"ENTERPRISE_PLUS","activationPolicy":"NEVER","retainBackupsOnDelete":true,
	"finalBackupConfig":{"enabled":true,"retentionDays":90},
	"backupConfiguration":{"enabled":true,"startTime":"13:00","location":"us","transactionLogRetentionDays":20,"binaryLogEnabled":true,
		"replicationLogArchivingEnabled":true,"backupRetentionSettings":{"retainedBackups":30}}}`

func TestSettings_UpdateAndNullAreTheDefault(t *testing.T) { // PUT is the settings as a whole
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	facts(t, p, "orders", "mysql", "us-central1", "")
	fresh := shown(t, p, "orders")
	version := func() string { return getInstance(p, "orders").Settings.SettingsVersion }
	put := func(settings map[string]any) {
		settings["settingsVersion"] = version()
		body, err := json.Marshal(map[string]any{"settings": settings})
		if err != nil {
			t.Fatal(err)
		}
		pipelinetest.JSON[op](p, http.MethodPut, path("acme", "instances", "orders"), string(body))
	}
	patchSettings(p, "orders", everything)
	all := shown(t, p, "orders")
	b := all["backupConfiguration"].(map[string]any)
	if all["retainBackupsOnDelete"] != true || b["replicationLogArchivingEnabled"] != true || b["binaryLogEnabled"] != true || b["location"] != "us" {
		t.Errorf("%v", all)
	}
	if diff := cmp.Diff(map[string]any{"enabled": true, "retentionDays": 90.0}, all["finalBackupConfig"]); diff != "" {
		t.Error(diff)
	}
	put(all) // Terraform sends what it read
	delete(all, "settingsVersion")
	if diff := cmp.Diff(all, shown(t, p, "orders")); diff != "" {
		t.Errorf("what was read was sent back:\n%s", diff)
	}
	put(map[string]any{"backupConfiguration": map[string]any{"enabled": true}})
	want := shown(t, p, "orders")
	if w := want["backupConfiguration"].(map[string]any); w["enabled"] != true {
		t.Errorf("%v", w)
	} else {
		w["enabled"] = false
	}
	if diff := cmp.Diff(fresh, want); diff != "" {
		t.Errorf("an update that names enabled alone:\n%s", diff)
	}
	for name, clear := range map[string]func(){
		"PUT of nothing": func() { put(map[string]any{}) },
		"PATCH of null":  func() { patchSettings(p, "orders", "null") },
		"PATCH of null, by name": func() {
			patchSettings(p, "orders", `{"tier":null,"edition":null,"activationPolicy":null,"retainBackupsOnDelete":null,"finalBackupConfig":null,"backupConfiguration":null}`)
		},
		"PATCH of null, member by member": func() {
			patchSettings(p, "orders", `{"tier":null,"edition":null,"activationPolicy":null,"retainBackupsOnDelete":null,"finalBackupConfig":{"enabled":null,"retentionDays":null},
				"backupConfiguration":{"enabled":null,"startTime":null,"location":null,"transactionLogRetentionDays":null,"binaryLogEnabled":null,
				"replicationLogArchivingEnabled":null,"backupRetentionSettings":{"retainedBackups":null}}}`)
		},
	} {
		patchSettings(p, "orders", everything)
		clear()
		if diff := cmp.Diff(fresh, shown(t, p, "orders")); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	patchSettings(p, "orders", `{"finalBackupConfig":{"enabled":true}}`)
	if diff := cmp.Diff(map[string]any{"enabled": true, "retentionDays": 30.0}, shown(t, p, "orders")["finalBackupConfig"]); diff != "" {
		t.Error(diff)
	}
	refused(t, p, http.MethodPatch, path("acme", "instances", "orders"), `{"settings":{"finalBackupConfig":{"retentionDays":366}}}`, 400, "invalid")
}

func TestSettings_UnspecifiedIsNotGiven(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	patchSettings(p, "orders", `{"activationPolicy":"NEVER","edition":"ENTERPRISE_PLUS"}`)
	for _, none := range []string{`{"activationPolicy":0,"edition":0}`, `{"activationPolicy":"SQL_ACTIVATION_POLICY_UNSPECIFIED","edition":"EDITION_UNSPECIFIED"}`} {
		patchSettings(p, "orders", none)
		if s := getInstance(p, "orders").Settings; s.ActivationPolicy != "NEVER" || s.Edition != "ENTERPRISE_PLUS" {
			t.Errorf("%s: %+v", none, s)
		}
	}
	patchSettings(p, "orders", `{"activationPolicy":"ALWAYS","backupConfiguration":{"backupRetentionSettings":{"retentionUnit":0,"retainedBackups":20}}}`)
	if got := kept(p, "orders"); got != [2]int{20, 14} {
		t.Errorf("%v", got)
	}
}

func TestSettings_LogsOfTheEngine(t *testing.T) { // cloudsql.md 8
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	for engine, want := range map[string]struct{ binaryLog, pitr int }{
		"mysql": {200, 400}, "mariadb": {200, 400}, "postgres": {400, 200}, "sqlserver": {400, 200}, "sqlite": {400, 400},
	} {
		facts(t, p, engine, engine, "", "")
		for member, code := range map[string]int{"binaryLogEnabled": want.binaryLog, "pointInTimeRecoveryEnabled": want.pitr} {
			body := `{"settings":{"backupConfiguration":{"enabled":true,"` + member + `":true}}}`
			if code == 400 {
				refused(t, p, http.MethodPatch, path("acme", "instances", engine), body, code, "invalid")
				patch(p, engine, `{"`+member+`":false}`) // gcloud sends false for every engine
				continue
			}
			pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "instances", engine), body)
		}
	}
}

func TestSettings_OfAnInstanceThatIsBetweenStates(t *testing.T) { // B13 of PATCH, PUT and DELETE
	t.Parallel()
	p := setup(t, "orders")
	p.Hand.Auto()
	o := insert(t, p, "orders", "")
	bk := backupID(t, p)
	p.Await("acme", bk, events.Succeeded)
	at := path("acme", "instances", "orders")
	for n, state := range []string{"PENDING_CREATE", "MAINTENANCE", "ONLINE_MAINTENANCE", "REPAIRING"} {
		facts(t, p, "orders", "sqlite", "eu", `"state":"`+state+`"`)
		before := len(p.Events("acme"))
		refused(t, p, http.MethodPatch, at, `{"settings":{"tier":"x"}}`, 409, "invalidState")
		refused(t, p, http.MethodPut, at, `{"settings":{"settingsVersion":`+getInstance(p, "orders").Settings.SettingsVersion+`}}`, 409, "invalidState")
		refused(t, p, http.MethodDelete, at+"/backupRuns/"+o.BackupContext.BackupId, "", 409, "invalidState")
		refused(t, p, http.MethodDelete, path("acme", "backups", bk), "", 409, "invalidState")
		refused(t, p, http.MethodPatch, at, `{"settings":{"backupConfiguration":{"transactionLogRetentionDays":8}}}`, 400, "invalid") // 400 is said first
		refused(t, p, http.MethodPost, at+"/backupRuns", `{"location":"atlantis"}`, 400, "invalid")
		if got := len(p.Events("acme")); got != before {
			t.Errorf("%d: refused requests left %d events", n, got-before)
		}
	}
	facts(t, p, "orders", "sqlite", "eu", `"state":"SUSPENDED"`)
	patchSettings(p, "orders", `{"activationPolicy":"NEVER"}`) // what has stopped stays patchable
	patchSettings(p, "orders", `{"activationPolicy":"ALWAYS"}`)
	pipelinetest.JSON[op](p, http.MethodDelete, at+"/backupRuns/"+o.BackupContext.BackupId, "")
}

// planned appends the schedule `automated` of an instance as others make it.
func planned(t *testing.T, p *pipelinetest.Pipeline, name string, c events.ScheduleConfig) {
	t.Helper()
	id, err := events.ScheduleID("acme", name, "", events.Automated)
	if err != nil {
		t.Fatal(err)
	}
	s := events.Schedule{Project: "acme", ScheduleID: id, Name: events.Automated, Provider: "sqlite", Instance: name, Generation: 1, Config: c}
	appended(t, p, s, events.Created, 1)
}

func appended(t *testing.T, p *pipelinetest.Pipeline, record events.Payload, step events.Step, n int) {
	t.Helper()
	a := record.Aggregate()
	done, err := p.Bus.Append(t.Context(), events.Draft{Aggregate: a, Step: step, At: time.Now(), EventID: events.EventID(a.ID, a.Entity, step, n),
		Decide: func(context.Context, events.Prior) (events.Payload, error) { return record, nil }})
	if err == nil {
		err = p.View.Passed(t.Context(), "acme", done.Seq)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettings_StartTimeIsDailyInUTCWhateverItWas(t *testing.T) {
	t.Parallel()
	p := setup(t, "hourly", "berlin")
	planned(t, p, "hourly", events.ScheduleConfig{EverySeconds: 3600})
	planned(t, p, "berlin", events.ScheduleConfig{Cron: "0 13 * * *", TimeZone: "Europe/Berlin"})
	for _, name := range []string{"hourly", "berlin"} {
		if c := getInstance(p, name).Settings.BackupConfiguration; c.StartTime != "" || !c.Enabled {
			t.Errorf("%s has no time of day in UTC, and shows %+v", name, c)
		}
		patch(p, name, `{"location":"us"}`)
		if c := lastSchedule(t, p).Config; c.Retention != nil || c.EverySeconds == 0 && c.TimeZone != "Europe/Berlin" {
			t.Errorf("%s: only the location was named: %+v", name, c)
		}
		patch(p, name, `{"startTime":"02:30"}`)
		if c := lastSchedule(t, p).Config; c.EverySeconds != 0 || c.Cron != "30 2 * * *" || c.TimeZone != "Etc/UTC" {
			t.Errorf("%s: %+v", name, c)
		}
		if c := getInstance(p, name).Settings.BackupConfiguration; c.StartTime != "02:30" {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestSettings_VersionGoesOnBehindAScheduleThatWasRemoved(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "billing")
	patch(p, "orders", `{"enabled":true,"startTime":"13:00","backupRetentionSettings":{"retainedBackups":9}}`)
	s := lastSchedule(t, p)
	s.Generation, s.ChangedFields = s.Generation+1, nil
	appended(t, p, s, events.Deleted, s.Generation)
	put := path("acme", "instances", "orders")
	i := getInstance(p, "orders")
	if i.Settings.SettingsVersion != "3" || i.Settings.BackupConfiguration.Enabled || kept(p, "orders") != [2]int{7, 7} {
		t.Errorf("%+v", i)
	}
	for _, listed := range pipelinetest.JSON[struct{ Items []instance }](p, http.MethodGet, path("acme", "instances"), "").Items {
		if want := map[string]string{"orders": "3", "billing": "1"}[listed.Name]; listed.Settings.SettingsVersion != want {
			t.Errorf("%+v, want version %s", listed, want)
		}
	}
	refused(t, p, http.MethodPut, put, `{"settings":{"settingsVersion":2}}`, 412, "staleData")
	pipelinetest.JSON[op](p, http.MethodPut, put, `{"settings":{"settingsVersion":3,"backupConfiguration":{"enabled":true}}}`)
	if i := getInstance(p, "orders").Settings; i.SettingsVersion != "4" || !i.BackupConfiguration.Enabled {
		t.Errorf("%+v", i)
	}
}
