package cloudsql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// The backup configuration of an instance is its schedule events.Automated (events.md 1.5): `enabled` is that it
// is not paused, `startTime` its cron line, retention its retention. What has no counterpart is in CloudSQLSettings.

// Defaults of an instance that has none (cloudsql.md 8).
const (
	windowSeconds   = 4 * 60 * 60 // the window of cloudsql.md 11
	anyTime         = "00:00"     // startTime of a configuration that names none
	retainedBackups = 7
	retainedPlus    = 15 // Enterprise Plus
	logDays         = 7
	logDaysPlus     = 14
	maxRetained     = 365
	maxLogDays      = 7
	maxLogDaysPlus  = 35
)

const (
	never          = "NEVER"
	always         = "ALWAYS"
	enterprise     = "ENTERPRISE"
	enterprisePlus = "ENTERPRISE_PLUS"
)

// The names of the enums, in the order of their numbers.
var (
	activationPolicies = []string{"SQL_ACTIVATION_POLICY_UNSPECIFIED", always, never, "ON_DEMAND"}
	editions           = []string{"EDITION_UNSPECIFIED", enterprise, enterprisePlus}
	retentionUnits     = []string{"RETENTION_UNIT_UNSPECIFIED", "COUNT"}
)

// manner is how a change treats what it does not name.
type manner int

const (
	patched manner = iota // stays
	updated               // becomes the default
)

// settingsChange is what a body names of an instance's settings.
type settingsChange struct {
	version                   member[int64]
	policy, tier, edition     member[string]
	backup                    bool // backupConfiguration is there
	enabled, binaryLog, pitr  member[bool]
	startTime, location, unit member[string]
	retained, logDays         member[int32]
}

func readSettings(b *body) settingsChange {
	c := b.object("backupConfiguration")
	r := c.object("backupRetentionSettings")
	return settingsChange{
		version: b.int64("settingsVersion"), policy: b.enum("activationPolicy", activationPolicies), tier: b.text("tier"),
		edition: b.enum("edition", editions), backup: c.present && !c.null,
		enabled: c.flag("enabled"), binaryLog: c.flag("binaryLogEnabled"), pitr: c.flag("pointInTimeRecoveryEnabled"),
		startTime: c.text("startTime"), location: c.text("location"), unit: r.enum("retentionUnit", retentionUnits),
		retained: r.int32("retainedBackups"), logDays: c.int32("transactionLogRetentionDays"),
	}
}

// apply is the configuration after a change, or the refusal of cloudsql.md B34 to B39.
func (n settingsChange) apply(i configured, how manner) (events.ScheduleConfig, error) {
	if n.version.given() && n.version.value != int64(i.version()) {
		return events.ScheduleConfig{}, errStale
	}
	next := i.configuration()
	s := i.settings()
	if n.policy.given() {
		s.ActivationPolicy = n.policy.value
	}
	if n.tier.present {
		s.Tier = n.tier.value
	}
	if n.edition.given() {
		s.Edition = n.edition.value
	}
	if n.backup {
		n.backups(&next, &s, how)
	}
	next.CloudSQL = &s
	return next, n.check(i, next, how)
}

// backups changes the backupConfiguration.
func (n settingsChange) backups(next *events.ScheduleConfig, s *events.CloudSQLSettings, how manner) {
	if how == updated { // what is left out is false; numbers and the window keep what they had
		next.Paused, s.BinaryLogEnabled, s.PointInTimeRecoveryEnabled = true, false, false
	}
	if n.enabled.present {
		next.Paused = !n.enabled.value
	}
	if n.startTime.given() && startForm.MatchString(n.startTime.value) {
		next.Cron = cronOf(n.startTime.value)
	}
	if n.location.present {
		s.Location = n.location.value
	}
	if n.binaryLog.present {
		s.BinaryLogEnabled = n.binaryLog.value
	}
	if n.pitr.present {
		s.PointInTimeRecoveryEnabled = n.pitr.value
	}
	if n.retained.given() {
		kept := *next.Retention
		kept.KeepLast = int(n.retained.value)
		next.Retention = &kept
	}
	if n.logDays.given() {
		s.TransactionLogRetentionDays = int(n.logDays.value)
	}
}

var (
	startForm    = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	locationForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	tierForm     = regexp.MustCompile(`^[A-Za-z0-9_-]{0,63}$`)
)

func (n settingsChange) check(i configured, next events.ScheduleConfig, _ manner) error {
	s, before := next.CloudSQL, i.settings()
	most := maxLogDays
	if s.Edition == enterprisePlus {
		most = maxLogDaysPlus
	}
	switch {
	case !next.Paused && i.replica():
		return errNoBackups
	case n.startTime.given() && !startForm.MatchString(n.startTime.value):
		return invalid("backupConfiguration.startTime is a time of day in 24 hour format, as 23:00.")
	case s.Location != "" && !locationForm.MatchString(s.Location):
		return invalid("Invalid backup location.")
	case !tierForm.MatchString(s.Tier):
		return invalid("settings.tier is not the name of a machine type.")
	case next.Retention.KeepLast < 1 || next.Retention.KeepLast > maxRetained:
		return invalid(fmt.Sprintf("backupRetentionSettings.retainedBackups is 1 to %d.", maxRetained))
	case s.TransactionLogRetentionDays < 1 || s.TransactionLogRetentionDays > most:
		return invalid(fmt.Sprintf("transactionLogRetentionDays is 1 to %d.", most))
	case s.BinaryLogEnabled && next.Paused:
		return invalid("binaryLogEnabled needs backups that are enabled.")
	}
	// A configuration as it stands is accepted: that of a fresh instance keeps 7 backups and 7 days of log.
	changed := s.TransactionLogRetentionDays != before.TransactionLogRetentionDays || next.Retention.KeepLast != i.configuration().Retention.KeepLast
	if changed && s.TransactionLogRetentionDays >= next.Retention.KeepLast {
		return invalid("backup retention must exceed log retention: keep more backups than days of log.")
	}
	return nil
}

// settings are those of the instance, with the defaults for what was never set.
func (i configured) settings() events.CloudSQLSettings {
	s := events.CloudSQLSettings{}
	if i.automated != nil && i.automated.Config.CloudSQL != nil {
		s = *i.automated.Config.CloudSQL
	}
	if s.ActivationPolicy == "" {
		s.ActivationPolicy = always
	}
	if s.Edition == "" {
		s.Edition = enterprise
	}
	if s.TransactionLogRetentionDays == 0 {
		s.TransactionLogRetentionDays = logDays
		if s.Edition == enterprisePlus {
			s.TransactionLogRetentionDays = logDaysPlus
		}
	}
	return s
}

// configuration is the schedule's, or what a first change begins with: backups are off until somebody enables them.
func (i configured) configuration() events.ScheduleConfig {
	if i.automated == nil {
		return events.ScheduleConfig{Cron: cronOf(anyTime), TimeZone: "Etc/UTC", WindowSeconds: windowSeconds, Missed: events.MissedSkip,
			Paused: true, Retention: &events.Retention{KeepLast: i.retained()}}
	}
	c := i.automated.Config
	if c.Retention == nil {
		c.Retention = &events.Retention{KeepLast: i.retained()}
	}
	return c
}

func (i configured) retained() int {
	if i.settings().Edition == enterprisePlus {
		return retainedPlus
	}
	return retainedBackups
}

// cronOf is the daily line of a time of day.
func cronOf(startTime string) string {
	hour, minute, _ := strings.Cut(startTime, ":")
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	return fmt.Sprintf("%d %d * * *", m, h)
}

// startOf is the time of day of a cron line that has one; another schedule of that name may have none.
func startOf(cron string) string {
	fields := strings.Fields(cron)
	if len(fields) != 5 {
		return ""
	}
	m, err := strconv.Atoi(fields[0])
	h, herr := strconv.Atoi(fields[1])
	if err != nil || herr != nil {
		return ""
	}
	return fmt.Sprintf("%02d:%02d", h, m)
}
