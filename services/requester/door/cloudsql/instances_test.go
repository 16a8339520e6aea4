package cloudsql_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

type instance struct {
	Name, State, InstanceType string
	Settings                  instanceSettings
}

type instanceSettings struct {
	SettingsVersion, ActivationPolicy, Tier, Edition string
	BackupConfiguration                              struct {
		Enabled                 bool
		StartTime, Location     string
		BackupRetentionSettings struct {
			RetentionUnit   string
			RetainedBackups int
		}
		TransactionLogRetentionDays int
		BinaryLogEnabled            bool
		BackupTier                  string
	}
}

func getInstance(p *pipelinetest.Pipeline, name string) instance {
	return pipelinetest.JSON[instance](p, http.MethodGet, path("acme", "instances", name), "")
}

func patch(p *pipelinetest.Pipeline, name, configuration string) op {
	return pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "instances", name), `{"settings":{"backupConfiguration":`+configuration+`}}`)
}

func TestInstances_PatchChangesOnlyWhatItNames(t *testing.T) { // cases 32, 33
	t.Parallel()
	p := setup(t, "orders")
	fresh := getInstance(p, "orders")
	if c := fresh.Settings.BackupConfiguration; c.Enabled || c.StartTime != "00:00" || c.BackupRetentionSettings.RetainedBackups != 7 ||
		c.TransactionLogRetentionDays != 7 || c.BackupRetentionSettings.RetentionUnit != "COUNT" || c.BackupTier != "STANDARD" || fresh.Settings.SettingsVersion != "1" {
		t.Errorf("an instance that was never configured: %+v", fresh)
	}
	o := patch(p, "orders", `{"enabled":true,"startTime":"13:00","backupRetentionSettings":{"retainedBackups":"9","retentionUnit":1},"location":"eu"}`)
	if o.Kind != "sql#operation" || o.OperationType != "UPDATE" || o.Status != "PENDING" || o.TargetId != "orders" || o.EndTime != "" {
		t.Errorf("operation %+v", o)
	}
	if o = getOp(p, o.Name); o.Status != "DONE" || o.Error != nil || o.EndTime == "" || o.StartTime == "" {
		t.Errorf("operation %+v", o)
	}
	i := getInstance(p, "orders")
	if c := i.Settings.BackupConfiguration; !c.Enabled || c.StartTime != "13:00" || c.BackupRetentionSettings.RetainedBackups != 9 || c.Location != "eu" || i.Settings.SettingsVersion != "2" {
		t.Errorf("%+v", i)
	}
	patch(p, "orders", `{"enabled":false}`)
	j := getInstance(p, "orders")
	want := i
	want.Settings.SettingsVersion, want.Settings.BackupConfiguration.Enabled = "3", false
	if diff := cmp.Diff(want, j); diff != "" {
		t.Errorf("only enabled was named:\n%s", diff)
	}
	patch(p, "orders", `{"enabled":true}`)
	patch(p, "orders", `{"start_time":"23:59"}`)
	k := getInstance(p, "orders")
	want.Settings.SettingsVersion, want.Settings.BackupConfiguration.Enabled, want.Settings.BackupConfiguration.StartTime = "5", true, "23:59"
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("only startTime was named:\n%s", diff)
	}
	pipelinetest.JSON[op](p, http.MethodPatch, path("acme", "instances", "orders"), `{"settings":{"tier":"db-n1-standard-1","edition":2}}`)
	if s := getInstance(p, "orders").Settings; s.Tier != "db-n1-standard-1" || s.Edition != "ENTERPRISE_PLUS" || !s.BackupConfiguration.Enabled {
		t.Errorf("%+v", s)
	}
	last := lastSchedule(t, p)
	if last.Name != events.Automated || last.Config.Cron != "59 23 * * *" || last.Config.TimeZone != "Etc/UTC" || last.Config.WindowSeconds != 14_400 || last.Config.Paused {
		t.Errorf("the schedule behind it: %+v", last)
	}
}

// lastSchedule is the schedule that was changed last.
func lastSchedule(t *testing.T, p *pipelinetest.Pipeline) (s events.Schedule) {
	t.Helper()
	for _, ev := range p.Events("acme") {
		if ev.Entity() == events.Schedules {
			var err error
			if s, err = events.Decode[events.Schedule](ev.Event); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func TestInstances_UpdateNeedsTheVersionThatStands(t *testing.T) { // case 31, B34
	t.Parallel()
	p := setup(t, "orders")
	put := path("acme", "instances", "orders")
	body := func(version, configuration string) string {
		return `{"settings":{"settingsVersion":"` + version + `","tier":"db-f1-micro","backupConfiguration":` + configuration + `}}`
	}
	pipelinetest.JSON[op](p, http.MethodPut, put, body("1", `{"enabled":true,"startTime":"02:30","location":"eu"}`))
	before := len(p.Events("acme"))
	e := refused(t, p, http.MethodPut, put, body("1", `{"enabled":false}`), 412, "staleData")
	if e.Error.Errors[0].Message != "Condition does not match." {
		t.Errorf("%+v", e)
	}
	refused(t, p, http.MethodPatch, put, body("1", `{"enabled":false}`), 412, "staleData")
	refused(t, p, http.MethodPut, put, `{"settings":{"backupConfiguration":{"enabled":false}}}`, 400, "invalid")
	if n := len(p.Events("acme")); n != before {
		t.Errorf("refused changes left %d events", n-before)
	}
	pipelinetest.JSON[op](p, http.MethodPut, put, body("2", `{"startTime":"03:00"}`))
	if c := getInstance(p, "orders").Settings.BackupConfiguration; c.Enabled || c.StartTime != "03:00" { // a full one without enabled is false
		t.Errorf("%+v", c)
	}
	pipelinetest.JSON[op](p, http.MethodPut, put, `{"settings":{"settingsVersion":3,"activationPolicy":"ALWAYS"}}`)
	if c := getInstance(p, "orders").Settings; c.SettingsVersion != "4" || c.BackupConfiguration.StartTime != "00:00" || c.BackupConfiguration.Enabled {
		t.Errorf("a full one without a configuration has the default: %+v", c)
	}
}

func TestInstances_TwentyUpdatesOfOneVersion_OneWins(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders")
	codes := make(chan int, 20)
	for n := range 20 {
		go func() {
			code, _ := p.Call(http.MethodPut, path("acme", "instances", "orders"),
				fmt.Sprintf(`{"settings":{"settingsVersion":"1","backupConfiguration":{"enabled":true,"startTime":"%02d:00"}}}`, n))
			codes <- code
		}()
	}
	count := map[int]int{}
	for range 20 {
		count[<-codes]++
	}
	if diff := cmp.Diff(map[int]int{200: 1, 412: 19}, count); diff != "" {
		t.Error(diff)
	}
}

func TestInstances_Refusals(t *testing.T) { // B6, B12-B14, B35-B39
	t.Parallel()
	p := setup(t, "orders", "busy")
	for name, facts := range map[string]string{
		"replica": `"instanceType":"READ_REPLICA_INSTANCE"`, "pool": `"instanceType":"READ_POOL_INSTANCE"`,
		"creating": `"state":"PENDING_CREATE"`, "maintained": `"state":"MAINTENANCE"`, "suspended": `"state":"SUSPENDED"`,
	} {
		code, body := p.Call(http.MethodPost, "/api/v1/projects/acme/instances",
			`{"provider":"sqlite","instance":"`+name+`","config":{"engine":"sqlite","file":"/x/`+name+`.db","cloudsql":{`+facts+`}}}`)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, code, body)
		}
	}
	insert(t, p, "busy", "")
	p.Await("acme", backupID(t, p), events.Started)
	before := len(p.Events("acme"))
	runs := func(name string) string { return path("acme", "instances", name, "backupRuns") }
	at := func(name string) string { return path("acme", "instances", name) }
	conf := func(s string) string { return `{"settings":{"backupConfiguration":` + s + `}}` }
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		reason                   string
	}{
		{"B6", "PATCH", at("busy"), conf(`{"enabled":true}`), 409, "operationInProgress"},
		{"B13 creating", "POST", runs("creating"), "", 409, "invalidState"},
		{"B13 maintenance", "POST", runs("maintained"), "", 409, "invalidState"},
		{"PD-15", "POST", runs("suspended"), "", 400, "invalid"},
		{"B14", "POST", runs("replica"), "", 400, "errorReplicaInvalidOperation"},
		{"B14 pool", "POST", runs("pool"), "", 400, "errorReplicaInvalidOperation"},
		{"B35", "PATCH", at("orders"), conf(`{"transactionLogRetentionDays":8,"backupRetentionSettings":{"retainedBackups":30}}`), 400, "invalid"},
		{"log 0", "PATCH", at("orders"), conf(`{"transactionLogRetentionDays":0}`), 400, "invalid"},
		{"B36", "PATCH", at("orders"), conf(`{"transactionLogRetentionDays":6,"backupRetentionSettings":{"retainedBackups":6}}`), 400, "invalid"},
		{"B36 less kept", "PATCH", at("orders"), conf(`{"backupRetentionSettings":{"retainedBackups":5}}`), 400, "invalid"},
		{"B37", "PATCH", at("orders"), conf(`{"startTime":"25:00"}`), 400, "invalid"},
		{"B37 form", "PATCH", at("orders"), conf(`{"startTime":"7:00"}`), 400, "invalid"},
		{"B38", "PATCH", at("orders"), conf(`{"binaryLogEnabled":true,"enabled":false}`), 400, "invalid"},
		{"B39", "PATCH", at("replica"), conf(`{"enabled":true}`), 400, "errorDisallowedEnablingBackupsForReadReplica"},
		{"PD-14", "PATCH", at("orders"), conf(`{"backupRetentionSettings":{"retainedBackups":366}}`), 400, "invalid"},
		{"PD-14 none", "PATCH", at("orders"), conf(`{"backupRetentionSettings":{"retainedBackups":0}}`), 400, "invalid"},
		{"location", "PATCH", at("orders"), conf(`{"location":"Nowhere!"}`), 400, "invalid"},
		{"enum", "PATCH", at("orders"), conf(`{"backupRetentionSettings":{"retentionUnit":"DAYS"}}`), 400, "invalid"},
		{"type", "PATCH", at("orders"), conf(`{"enabled":"yes"}`), 400, "invalid"},
		{"int64", "PATCH", at("orders"), `{"settings":{"settingsVersion":"9223372036854775808"}}`, 400, "invalid"},
		{"int32", "PATCH", at("orders"), conf(`{"transactionLogRetentionDays":2147483648}`), 400, "invalid"},
		{"JSON", "PATCH", at("orders"), `{"settings":`, 400, "parseError"},
		{"unknown", "PATCH", at("none"), conf(`{"enabled":true}`), 404, "instanceDoesNotExist"},
		{"all", "PATCH", at("-"), conf(`{"enabled":true}`), 400, "invalidRequest"},
		{"filter", "GET", path("acme", "instances") + "?filter=secret:x", "", 400, "invalid"},
		{"fields", "GET", at("orders") + "?fields=a(", "", 400, "invalidParameter"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, p, c.method, c.path, c.body, c.code, c.reason) })
	}
	if n := len(p.Events("acme")); n != before {
		t.Errorf("refused requests left %d events", n-before)
	}
	// B12: stopped by its own policy.
	pipelinetest.JSON[op](p, http.MethodPatch, at("orders"), `{"settings":{"activationPolicy":"NEVER"}}`)
	if e := refused(t, p, "POST", runs("orders"), "", 400, "invalid"); !strings.HasPrefix(e.Error.Message, "Invalid request:") || !strings.Contains(e.Error.Message, "not running") {
		t.Errorf("%+v", e)
	}
	pipelinetest.JSON[op](p, http.MethodPatch, at("orders"), `{"settings":{"activationPolicy":"ALWAYS"}}`)
	patch(p, "orders", `{"enabled":false,"location":"us"}`)
	o := insert(t, p, "orders", "") // B18: without automated ones; location of the configuration
	if r := getRun(p, "orders", o.BackupContext.BackupId); r.Location != "us" {
		t.Errorf("%+v", r)
	}
}

func TestInstances_ListFiltersAndSelects(t *testing.T) {
	t.Parallel()
	p := setup(t, "orders", "orders-eu", "billing")
	patch(p, "billing", `{"enabled":true,"startTime":"01:00"}`)
	type list struct{ Items []instance }
	for filter, want := range map[string][]string{
		"":               {"billing", "orders", "orders-eu"},
		"name:orders-eu": {"orders-eu"},
		"name:orders*":   {"orders", "orders-eu"},
		"state:RUNNABLE AND settings.backupConfiguration.enabled:true": {"billing"},
		"name:billing OR name=orders":                                  {"billing", "orders"},
		"-name:billing":                                                {"orders", "orders-eu"},
	} {
		var got []string
		for _, i := range pipelinetest.JSON[list](p, http.MethodGet, path("acme", "instances")+"?filter="+strings.ReplaceAll(filter, " ", "%20"), "").Items {
			got = append(got, i.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", filter, diff)
		}
	}
	code, raw := p.Call(http.MethodGet, path("acme", "instances")+"?fields=items(name,settings/backupConfiguration/startTime)&filter=name:billing&prettyPrint=false", "")
	if want := `{"items":[{"name":"billing","settings":{"backupConfiguration":{"startTime":"01:00"}}}]}` + "\n"; code != 200 || string(raw) != want {
		t.Errorf("%d %s", code, raw)
	}
}
