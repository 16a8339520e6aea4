package spanner_test

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/backupbus/backupbus/events"
)

const planned = parent + "/databases/db"

func cron(s *databasepb.BackupSchedule, text string) *databasepb.BackupSchedule {
	s.Spec.GetCronSpec().Text = text
	return s
}

func (w world) plan(of, id string, s *databasepb.BackupSchedule) (*databasepb.BackupSchedule, error) {
	return w.admin.CreateBackupSchedule(w.ctx(), &databasepb.CreateBackupScheduleRequest{Parent: of, BackupScheduleId: id, BackupSchedule: s})
}

func TestSchedules_Life(t *testing.T) {
	t.Parallel()
	w := setup(t)
	name := planned + "/backupSchedules/nightly"
	made, err := w.plan(planned, "nightly", cron(daily(), "0 2/12 * * *"))
	if err != nil {
		t.Fatal(err)
	}
	c := made.GetSpec().GetCronSpec()
	if made.GetName() != name || made.GetRetentionDuration().AsDuration() != 30*24*time.Hour || made.GetUpdateTime() == nil || made.GetFullBackupSpec() == nil ||
		c.GetText() != "0 2/12 * * *" || c.GetTimeZone() != "UTC" || c.GetCreationWindow().AsDuration() != 4*time.Hour ||
		made.GetEncryptionConfig().GetEncryptionType() != databasepb.CreateBackupEncryptionConfig_USE_DATABASE_ENCRYPTION {
		t.Errorf("made %v", made)
	}
	_, err = w.plan(planned, "nightly", daily())
	st := refused(t, "the same name", err, codes.AlreadyExists, "Backup schedule already exists: "+name)
	about(t, st, "database.v1.BackupSchedule", name, "Backup schedule already exists.")
	update := func(s *databasepb.BackupSchedule, paths ...string) (*databasepb.BackupSchedule, error) {
		s.Name = name
		return w.admin.UpdateBackupSchedule(w.ctx(), &databasepb.UpdateBackupScheduleRequest{BackupSchedule: s, UpdateMask: mask(paths...)})
	}
	changed, err := update(&databasepb.BackupSchedule{RetentionDuration: durationpb.New(7 * 24 * time.Hour)}, "retentionDuration")
	if err != nil || changed.GetRetentionDuration().AsDuration() != 7*24*time.Hour || changed.GetSpec().GetCronSpec().GetText() != "0 2/12 * * *" {
		t.Errorf("%v, %v", changed, err)
	}
	got := w.rest("PATCH", name+"?updateMask=retentionDuration,spec.cron_spec.text,encryptionConfig", `{"retentionDuration":"86400s","spec":{"cronSpec":{"text":"30 1 * * *"}},"encryptionConfig":{"encryptionType":"GOOGLE_DEFAULT_ENCRYPTION"}}`, 200)
	if got.at("retentionDuration") != "86400s" || got.at("spec/cronSpec/text") != "30 1 * * *" || got.at("encryptionConfig/encryptionType") != "GOOGLE_DEFAULT_ENCRYPTION" {
		t.Errorf("over REST: %v", got)
	}
	if found, err := w.admin.GetBackupSchedule(w.ctx(), &databasepb.GetBackupScheduleRequest{Name: name}); err != nil || found.GetSpec().GetCronSpec().GetText() != "30 1 * * *" {
		t.Errorf("%v, %v", found, err)
	}
	for what, call := range map[string]func() error{
		"no mask":         func() error { _, err := update(daily()); return err },
		"a mask of names": func() error { _, err := update(daily(), "name"); return err },
		"a short duration": func() error {
			_, err := update(&databasepb.BackupSchedule{RetentionDuration: durationpb.New(time.Hour)}, "retention_duration")
			return err
		},
		"too often": func() error { _, err := update(cron(daily(), "0 */2 * * *"), "spec"); return err },
	} {
		refused(t, what, call(), codes.InvalidArgument, "")
	}
	for range 2 {
		_, err = w.admin.DeleteBackupSchedule(w.ctx(), &databasepb.DeleteBackupScheduleRequest{Name: name})
		if err != nil {
			break
		}
	}
	refused(t, "delete again", err, codes.NotFound, "Backup schedule not found: "+name)
	_, err = w.admin.GetBackupSchedule(w.ctx(), &databasepb.GetBackupScheduleRequest{Name: name})
	refused(t, "get", err, codes.NotFound, "Backup schedule not found: "+name)
	_, err = update(daily(), "spec")
	refused(t, "update", err, codes.NotFound, "Backup schedule not found: "+name)
	if _, err := w.plan(planned, "nightly", daily()); err != nil {
		t.Errorf("the name again: %v", err)
	}
}

func TestSchedules_Refusals(t *testing.T) {
	t.Parallel()
	w := setup(t)
	incremental := func(text string) *databasepb.BackupSchedule {
		s := cron(daily(), text)
		s.BackupTypeSpec = &databasepb.BackupSchedule_IncrementalBackupSpec{IncrementalBackupSpec: &databasepb.IncrementalBackupSpec{}}
		return s
	}
	bare := daily()
	bare.BackupTypeSpec = nil
	long := daily()
	long.RetentionDuration = durationpb.New(367 * 24 * time.Hour)
	for _, c := range []struct {
		what, of, id string
		s            *databasepb.BackupSchedule
		code         codes.Code
	}{
		{"no id", planned, "", daily(), codes.InvalidArgument}, {"a bad id", planned, "A", daily(), codes.InvalidArgument}, {"no schedule", planned, "ab", nil, codes.InvalidArgument},
		{"a bad parent", parent, "ab", daily(), codes.InvalidArgument}, {"no cron line", planned, "ab", cron(daily(), ""), codes.InvalidArgument},
		{"a bad one", planned, "ab", cron(daily(), "every day"), codes.InvalidArgument}, {"every six hours", planned, "ab", cron(daily(), "0 */6 * * *"), codes.InvalidArgument},
		{"incremental every two hours", planned, "ab", incremental("0 */2 * * *"), codes.InvalidArgument}, {"incremental of a file", files + "/databases/a.db", "ab", incremental("0 */4 * * *"), codes.FailedPrecondition},
		{"no kind", planned, "ab", bare, codes.InvalidArgument}, {"kept for 367 days", planned, "ab", long, codes.InvalidArgument},
		{"no such database", named + "/databases/none", "ab", daily(), codes.NotFound}, {"no such instance", "projects/acme/instances/none/databases/db", "ab", daily(), codes.NotFound},
	} {
		_, err := w.plan(c.of, c.id, c.s)
		refused(t, c.what, err, c.code, "")
	}
	if _, err := w.plan(planned, "often", incremental("0 */4 * * *")); err != nil {
		t.Error(err)
	}
	for n := range 3 {
		if _, err := w.plan(planned, fmt.Sprintf("s%d", n), daily()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.plan(planned, "fifth", daily())
	refused(t, "a fifth", err, codes.ResourceExhausted, "")
	if _, err := w.plan(parent+"/databases/other", "first", daily()); err != nil {
		t.Errorf("of another database: %v", err)
	}
	var names []string
	r := &databasepb.ListBackupSchedulesRequest{Parent: planned, PageSize: 3}
	for {
		resp, err := w.admin.ListBackupSchedules(w.ctx(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range resp.GetBackupSchedules() {
			names = append(names, lastOf(s.GetName()))
		}
		if r.PageToken = resp.GetNextPageToken(); r.PageToken == "" {
			break
		}
	}
	if fmt.Sprint(names) != "[often s0 s1 s2]" {
		t.Errorf("listed %v", names)
	}
	got := w.rest("POST", planned+"/backupSchedules?backup_schedule_id=ab&alt=json", `{}`, 400) // Terraform's spelling
	if got.at("error/status") != "INVALID_ARGUMENT" {
		t.Errorf("%v", got)
	}
}

// What a schedule makes has its expiry, its time and its name on it.
func TestSchedules_MakeBackups(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.schedule(t, "nightly", "db")
	due := time.Now().Add(-time.Minute).Truncate(time.Second)
	b := w.Slot(s, due, events.Requested, nil)
	w.Hand.Finish(b.BackupID, nil)
	w.Await("acme", b.BackupID, events.Succeeded)
	got := w.backup(parent + "/backups/" + b.IDs.Spanner)
	if len(got.GetBackupSchedules()) != 1 || got.GetBackupSchedules()[0] != planned+"/backupSchedules/nightly" || got.GetDatabase() != planned {
		t.Errorf("%v", got)
	}
	if ids := w.list(&databasepb.ListBackupsRequest{Filter: "backup_schedules:nightly"}); len(ids) != 1 {
		t.Errorf("by its schedule: %v", ids)
	}
	if names := w.operations(&databasepb.ListBackupOperationsRequest{}); len(names) != 1 {
		t.Errorf("operations %v", names)
	}
}

// The instance's schedules are these: one for a whole file that has no other shows here too.
func TestSchedules_OfOtherDoors(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Register("acme", "single")
	code, raw := w.Call("POST", "/api/v1/projects/acme/schedules", `{"instance":"single","name":"hourly","config":{"everySeconds":3600,"retention":{"maxAgeSeconds":86400}}}`)
	if code/100 != 2 {
		t.Fatalf("%d %s", code, raw)
	}
	of := "projects/acme/instances/single/databases/single.db"
	got, err := w.admin.GetBackupSchedule(w.ctx(), &databasepb.GetBackupScheduleRequest{Name: of + "/backupSchedules/hourly"})
	if err != nil || got.GetSpec() != nil || got.GetRetentionDuration().AsDuration() != 24*time.Hour {
		t.Errorf("%v, %v", got, err)
	}
	code, raw = w.Call("POST", "/api/v1/projects/acme/schedules", `{"instance":"files","name":"all","config":{"everySeconds":3600}}`)
	if code/100 != 2 {
		t.Fatalf("%d %s", code, raw)
	}
	if list, err := w.admin.ListBackupSchedules(w.ctx(), &databasepb.ListBackupSchedulesRequest{Parent: files + "/databases/a.db"}); err != nil || len(list.GetBackupSchedules()) != 0 {
		t.Errorf("of one file among several: %v, %v", list, err)
	}
}

// A change of what one field says leaves the rest of a schedule as whoever made it wants it.
func TestSchedules_ChangesOfOtherDoors(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Register("acme", "single")
	code, raw := w.Call("POST", "/api/v1/projects/acme/schedules", `{"instance":"single","name":"hourly","config":{"cron":"0 * * * *","windowSeconds":600,"retention":{"maxAgeSeconds":86400}}}`)
	if code/100 != 2 {
		t.Fatalf("%d %s", code, raw)
	}
	name := "projects/acme/instances/single/databases/single.db/backupSchedules/hourly"
	for _, c := range []struct {
		path string
		s    *databasepb.BackupSchedule
		kept time.Duration
	}{
		{"encryption_config", &databasepb.BackupSchedule{Name: name}, 24 * time.Hour},
		{"retention_duration", &databasepb.BackupSchedule{Name: name, RetentionDuration: durationpb.New(7 * 24 * time.Hour)}, 7 * 24 * time.Hour},
	} {
		got, err := w.admin.UpdateBackupSchedule(w.ctx(), &databasepb.UpdateBackupScheduleRequest{BackupSchedule: c.s, UpdateMask: mask(c.path)})
		cron := got.GetSpec().GetCronSpec()
		if err != nil || cron.GetText() != "0 * * * *" || cron.GetCreationWindow().AsDuration() != 10*time.Minute || got.GetRetentionDuration().AsDuration() != c.kept {
			t.Errorf("%s: %v, %v", c.path, got, err)
		}
	}
}

// What this door sets holds as it is shown: no greatest age takes backups away sooner, and nothing that was meant for
// the old times stays with new ones.
func TestSchedules_SetsWhatItShows(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Register("acme", "single")
	code, raw := w.Call("POST", "/api/v1/projects/acme/schedules", `{"instance":"single","name":"daily","config":{"cron":"0 3 * * *","windowSeconds":36000,"spreadSeconds":30000,"overdueAfterSeconds":600,"retention":{"keepLast":90,"maxAgeSeconds":86400}}}`)
	if code/100 != 2 {
		t.Fatalf("%d %s", code, raw)
	}
	s := cron(daily(), "0 5 * * *")
	s.Name = "projects/acme/instances/single/databases/single.db/backupSchedules/daily"
	if _, err := w.admin.UpdateBackupSchedule(w.ctx(), &databasepb.UpdateBackupScheduleRequest{BackupSchedule: s, UpdateMask: mask("retention_duration", "spec.cron_spec.text")}); err != nil {
		t.Fatal(err)
	}
	var got events.Schedule
	for _, e := range w.Events("acme") {
		if e.Entity() == events.Schedules {
			var err error
			if got, err = events.Decode[events.Schedule](e.Event); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := got.Config
	if c.Retention == nil || *c.Retention != (events.Retention{KeepLast: 90}) || c.Spanner.RetentionSeconds != 30*86400 {
		t.Errorf("retention %+v, %+v", c.Retention, c.Spanner)
	}
	if c.Cron != "0 5 * * *" || c.WindowSeconds != 4*3600 || c.SpreadSeconds != 4*3600 || c.OverdueAfterSeconds != 0 || !c.NextDueTime.IsZero() {
		t.Errorf("%+v", c)
	}
}

// What is there can be seen and removed, also where no more of it can be made.
func TestSchedules_OfAPhysicalInstance(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.RegisterAs("acme", "server", "mysql", `{"engine":"mysql","address":"db:3306","user":"u"}`)
	of := "projects/acme/instances/server/databases/d1"
	if _, err := w.plan(of, "nightly", daily()); err != nil {
		t.Fatal(err)
	}
	w.RegisterAs("acme", "server", "mysql", `{"engine":"mysql","address":"db:3306","user":"u","method":"PHYSICAL"}`)
	_, err := w.plan(of, "another", daily())
	refused(t, "create", err, codes.FailedPrecondition, "")
	name := of + "/backupSchedules/nightly"
	if _, err := w.admin.GetBackupSchedule(w.ctx(), &databasepb.GetBackupScheduleRequest{Name: name}); err != nil {
		t.Error(err)
	}
	if list, err := w.admin.ListBackupSchedules(w.ctx(), &databasepb.ListBackupSchedulesRequest{Parent: of}); err != nil || len(list.GetBackupSchedules()) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := w.admin.DeleteBackupSchedule(w.ctx(), &databasepb.DeleteBackupScheduleRequest{Name: name}); err != nil {
		t.Error(err)
	}
}
