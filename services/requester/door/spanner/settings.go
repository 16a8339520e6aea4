package spanner

import (
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
)

// How often a schedule may come, and how late a backup may start (spanner.md 4.10 and Google's reference of
// CrontabSpec.creation_window).
const (
	fullEvery         = 12 * time.Hour
	fullWindow        = 4 * time.Hour
	incrementalEvery  = 4 * time.Hour
	incrementalWindow = time.Hour
)

// changeable are the paths that the mask of UpdateBackupSchedule may have.
var changeable = []string{"retention_duration", "encryption_config", "encryption_config.encryption_type", "encryption_config.kms_key_name", "encryption_config.kms_key_names",
	"spec", "spec.cron_spec", "spec.cron_spec.text", "full_backup_spec", "incremental_backup_spec"}

// settings reads what a BackupSchedule wants.
type settings struct {
	wanted   *databasepb.BackupSchedule
	instance events.Instance
}

// all is the configuration of a new schedule.
func (s settings) all(c events.ScheduleConfig) (events.ScheduleConfig, error) {
	return s.some(c, []string{"retention_duration", "encryption_config", "spec", "full_backup_spec"})
}

// some changes what a mask names. What is kept of the schedule beside stays: only its own fields are this door's.
func (s settings) some(c events.ScheduleConfig, paths []string) (events.ScheduleConfig, error) {
	own := events.SpannerSettings{}
	if c.Spanner != nil {
		own = *c.Spanner
	}
	timed := false
	for _, p := range paths {
		var err error
		switch snakePath(p) {
		case "retention_duration":
			own.RetentionSeconds, err = s.retention()
			c.Retention = ageless(c.Retention)
		case "encryption_config", "encryption_config.encryption_type", "encryption_config.kms_key_name", "encryption_config.kms_key_names":
			own.Encryption, err = encryptionOf(s.instance, s.wanted.GetEncryptionConfig())
		case "spec", "spec.cron_spec", "spec.cron_spec.text":
			timed = true
			if text := s.wanted.GetSpec().GetCronSpec().GetText(); text != c.Cron { // what was counted from the old times goes
				c.Cron, c.EverySeconds, c.NextDueTime, c.OverdueAfterSeconds = text, 0, events.Time{}, 0
			}
		case "full_backup_spec", "incremental_backup_spec":
			timed = true
			own.Incremental, err = s.incremental()
		}
		if err != nil {
			return c, err
		}
	}
	c.Spanner = &own
	if !timed { // when it comes, and how late, stays as whoever made it wants it
		return c, nil
	}
	return s.timed(c)
}

// retention is how long each backup is kept.
func (s settings) retention() (int64, error) {
	d := s.wanted.GetRetentionDuration()
	if !d.IsValid() || d.AsDuration() < minKeep || d.AsDuration() > maxKeep {
		return 0, invalid("retention_duration must be at least 6 hours and at most 366 days.")
	}
	return int64(d.AsDuration() / time.Second), nil
}

// ageless is a policy without a greatest age, which would take backups away before the duration that is shown.
func ageless(r *events.Retention) *events.Retention {
	if r == nil {
		return nil
	}
	rest := *r
	rest.MaxAgeSeconds = 0
	if rest == (events.Retention{}) {
		return nil
	}
	return &rest
}

func (s settings) incremental() (bool, error) {
	switch {
	case s.wanted.GetFullBackupSpec() != nil:
		return false, nil
	case s.wanted.GetIncrementalBackupSpec() == nil:
		return false, invalid("backup_type_spec is required: full_backup_spec or incremental_backup_spec.")
	case s.instance.Provider != "spanner":
		return false, refuse(codes.FailedPrecondition, "Backups of provider %s are full ones: use full_backup_spec.", s.instance.Provider)
	}
	return true, nil
}

// timed checks how often the schedule comes, in UTC, and gives it the window of its kind.
func (s settings) timed(c events.ScheduleConfig) (events.ScheduleConfig, error) {
	if c.Cron == "" || len(c.Cron) > 256 {
		return c, invalid("spec.cron_spec.text is required: a cron line of five fields, in UTC.")
	}
	if _, err := due.New(c); err != nil {
		return c, invalid("spec.cron_spec.text is no cron line of five fields.")
	}
	every, window := fullEvery, fullWindow
	if c.Spanner.Incremental {
		every, window = incrementalEvery, incrementalWindow
	}
	if due.Shortest(c) < every {
		return c, invalid("spec.cron_spec.text comes too often: backups of this kind are made every %d hours or less often.", int(every/time.Hour))
	}
	c.WindowSeconds = int64(window / time.Second)
	c.SpreadSeconds = min(c.SpreadSeconds, c.WindowSeconds)
	return c, nil
}

// show is a schedule as the resource. One that another door made may have no cron line, and no duration of retention.
func (h home) show(s events.Schedule) *databasepb.BackupSchedule {
	c := s.Config
	out := &databasepb.BackupSchedule{Name: h.scheduleName(s), EncryptionConfig: &databasepb.CreateBackupEncryptionConfig{EncryptionType: databasepb.CreateBackupEncryptionConfig_USE_DATABASE_ENCRYPTION},
		BackupTypeSpec: &databasepb.BackupSchedule_FullBackupSpec{FullBackupSpec: &databasepb.FullBackupSpec{}}}
	if n := len(s.Changes); n > 0 {
		out.UpdateTime = stamp(s.Changes[n-1].Time)
	}
	if c.Cron != "" {
		zone := c.TimeZone
		if zone == "" {
			zone = "UTC"
		}
		out.Spec = &databasepb.BackupScheduleSpec{ScheduleSpec: &databasepb.BackupScheduleSpec_CronSpec{CronSpec: &databasepb.CrontabSpec{
			Text: c.Cron, TimeZone: zone, CreationWindow: seconds(c.WindowSeconds)}}}
	}
	if c.Retention != nil {
		out.RetentionDuration = seconds(c.Retention.MaxAgeSeconds)
	}
	if c.Spanner == nil {
		return out
	}
	if c.Spanner.RetentionSeconds > 0 {
		out.RetentionDuration = seconds(c.Spanner.RetentionSeconds)
	}
	if c.Spanner.Incremental {
		out.BackupTypeSpec = &databasepb.BackupSchedule_IncrementalBackupSpec{IncrementalBackupSpec: &databasepb.IncrementalBackupSpec{}}
	}
	switch e := c.Spanner.Encryption; {
	case e != nil && e.Type == customerManaged:
		out.EncryptionConfig = &databasepb.CreateBackupEncryptionConfig{EncryptionType: databasepb.CreateBackupEncryptionConfig_CUSTOMER_MANAGED_ENCRYPTION, KmsKeyNames: e.KeyNames}
		if len(e.KeyNames) == 0 {
			out.EncryptionConfig.KmsKeyName = e.KeyName
		}
	case e != nil:
		out.EncryptionConfig = &databasepb.CreateBackupEncryptionConfig{EncryptionType: databasepb.CreateBackupEncryptionConfig_GOOGLE_DEFAULT_ENCRYPTION}
	}
	return out
}

func seconds(n int64) *durationpb.Duration {
	if n == 0 {
		return nil
	}
	return durationpb.New(time.Duration(n) * time.Second)
}
