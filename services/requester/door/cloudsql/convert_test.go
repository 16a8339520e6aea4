package cloudsql

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

func TestRun_SaysToWhichKeyItIsEncrypted(t *testing.T) {
	t.Parallel()
	b := events.Backup{Project: "p", Instance: "i", State: lifecycle.Successful, IDs: events.BackupIDs{CloudSQL: "5"}}
	for name, c := range map[string]struct {
		of              *events.Encryption
		config, version string
	}{
		"not known":   {nil, "", ""},
		"none":        {&events.Encryption{Type: "NONE"}, "", ""},
		"provider's":  {&events.Encryption{Type: "PROVIDER_MANAGED"}, "", ""},
		"a key":       {&events.Encryption{Type: "CUSTOMER_MANAGED", KeyName: "k", KeyVersion: "k/1"}, "k", "k/1"},
		"a recipient": {&events.Encryption{Type: "CUSTOMER_MANAGED", KeyName: "age1x"}, "age1x", "age1x"},
	} {
		b.Encryption = c.of
		r := links{}.backupRun(b)
		var config, version string
		if r.DiskEncryptionConfiguration != nil {
			config = r.DiskEncryptionConfiguration.KmsKeyName
		}
		if r.DiskEncryptionStatus != nil {
			version = r.DiskEncryptionStatus.KmsKeyVersionName
		}
		if config != c.config || version != c.version {
			t.Errorf("%s: %q, %q", name, config, version)
		}
	}
}

// Every state of the life cycle has one of the ten words, and only FAILED has an error.
func TestRun_StatusOfEveryState(t *testing.T) {
	t.Parallel()
	at := events.At(time.Unix(1e9, 0))
	got := map[events.State]string{}
	for _, s := range []events.State{lifecycle.Enqueued, lifecycle.Overdue, lifecycle.Running, lifecycle.Cancelling, lifecycle.Successful, lifecycle.Failed,
		lifecycle.Skipped, lifecycle.Cancelled, lifecycle.DeletionPending, lifecycle.DeletionFailed, lifecycle.Deleted} {
		b := events.Backup{State: s, StartTime: at, EnqueuedTime: at, Error: &events.Failure{Code: events.Internal}}
		r := links{}.backupRun(b)
		got[s] = r.Status
		if (r.Error != nil) != (r.Status == "FAILED") {
			t.Errorf("%s: error %+v", s, r.Error)
		}
	}
	if diff := cmp.Diff(map[events.State]string{
		lifecycle.Enqueued: "ENQUEUED", lifecycle.Overdue: "OVERDUE", lifecycle.Running: "RUNNING", lifecycle.Cancelling: "RUNNING",
		lifecycle.Successful: "SUCCESSFUL", lifecycle.Failed: "FAILED", lifecycle.Skipped: "SKIPPED", lifecycle.Cancelled: "FAILED",
		lifecycle.DeletionPending: "DELETION_PENDING", lifecycle.DeletionFailed: "DELETION_FAILED", lifecycle.Deleted: "DELETED",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRateLimit_Validates(t *testing.T) {
	t.Parallel()
	for l, ok := range map[RateLimit]bool{{}: true, {5, 10 * time.Minute}: true, {5, 0}: false, {-1, time.Minute}: false, {1000, time.Minute}: false, {1, -time.Minute}: false} {
		if err := l.Validate(); (err == nil) != ok {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestCron_IsTheTimeOfDay(t *testing.T) {
	t.Parallel()
	for start, cron := range map[string]string{"00:00": "0 0 * * *", "13:05": "5 13 * * *", "23:59": "59 23 * * *"} {
		if got := cronOf(start); got != cron || startOf(events.ScheduleConfig{Cron: got}) != start {
			t.Errorf("%s: %q and back %q", start, got, startOf(events.ScheduleConfig{Cron: got}))
		}
	}
	for _, other := range []string{"", "@daily", "*/5 * * * *", "0 0"} {
		if got := startOf(events.ScheduleConfig{Cron: other}); got != "" {
			t.Errorf("%q has no time of day, and shows %q", other, got)
		}
	}
}
