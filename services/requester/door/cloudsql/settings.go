package cloudsql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// The backup configuration of an instance is its schedule events.Automated (events.md 1.5): `enabled` is that it
// is not paused, `startTime` its cron line, retention its retention. What has no counterpart is in
// CloudSQLSettings, where zero is what nobody has set: the default is that of the edition when it is read.

// Defaults of an instance that has none (cloudsql.md 8).
const (
	windowSeconds  = 4 * 60 * 60 // the window of cloudsql.md 11
	spreadSeconds  = 30 * 60     // of it, over which the instances of all projects begin
	anyTime        = "00:00"     // startTime of a configuration that names none
	logDays        = 7
	logDaysPlus    = 14
	finalDays      = 30 // cloudsql.md 11.3
	maxRetained    = 365
	maxLogDays     = 7
	maxLogDaysPlus = 35
	maxFinalDays   = 365
)

const (
	never          = "NEVER"
	always         = "ALWAYS"
	enterprise     = "ENTERPRISE"
	enterprisePlus = "ENTERPRISE_PLUS"
	utc            = "Etc/UTC"
)

// stored are the settings as they were set: zero where nobody did.
func (i configured) stored() events.CloudSQLSettings {
	if i.automated == nil {
		return events.CloudSQLSettings{DefaultRetention: true}
	}
	s := events.CloudSQLSettings{}
	if i.automated.Config.CloudSQL != nil {
		s = *i.automated.Config.CloudSQL
	}
	s.DefaultRetention = i.automated.Config.KeepsDefault()
	return s
}

// settings are those of the instance, with the defaults for what was never set.
func (i configured) settings() events.CloudSQLSettings { return withDefaults(i.stored()) }

func withDefaults(s events.CloudSQLSettings) events.CloudSQLSettings {
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

// retained is how many backups a configuration keeps, or would.
func retained(c events.ScheduleConfig, edition string) int {
	if c.Retention != nil && c.Retention.KeepLast > 0 {
		return c.Retention.KeepLast
	}
	return events.RetainedBy(edition)
}

// configuration is the schedule's, or what a first change begins with: backups are off until somebody enables them.
func (i configured) configuration() events.ScheduleConfig {
	if i.automated == nil {
		return events.ScheduleConfig{Cron: cronOf(anyTime), TimeZone: utc, WindowSeconds: windowSeconds, SpreadSeconds: spreadSeconds, Missed: events.MissedSkip, Paused: true}
	}
	return i.automated.Config
}

// schedule names the one that holds the configuration, be it there or not.
func (i configured) schedule() (events.Schedule, error) {
	id, err := events.ScheduleID(i.Project, i.Instance.Instance, "", events.Automated)
	return events.Schedule{Project: i.Project, ScheduleID: id, Name: events.Automated, Provider: i.Provider, Instance: i.Instance.Instance}, err
}

// etag tells two states of an instance apart.
func (i configured) etag() string {
	sum := sha256.Sum256([]byte(i.InstanceID + "\n" + strconv.Itoa(i.version())))
	return hex.EncodeToString(sum[:])
}

// engine is what the instance runs, in the form of Cloud SQL's versions.
func (i configured) engine() string {
	if i.Config.Engine == "" {
		return i.Provider
	}
	return i.Config.Engine
}

// binaryLogs and recovers tell which engines have binaryLogEnabled, and pointInTimeRecoveryEnabled (cloudsql.md 8).
func (i configured) binaryLogs() bool {
	return slices.Contains([]string{"mysql", "mariadb"}, i.engine())
}

func (i configured) recovers() bool {
	return slices.Contains([]string{"postgres", "postgresql", "sqlserver"}, i.engine())
}

// cronOf is the daily line of a time of day.
func cronOf(startTime string) string {
	hour, minute, _ := strings.Cut(startTime, ":")
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	return fmt.Sprintf("%d %d * * *", m, h)
}

// startOf is the time of day, UTC, at which a schedule opens its window. One that was made elsewhere may have none,
// or another zone.
func startOf(c events.ScheduleConfig) string {
	fields := strings.Fields(c.Cron)
	if len(fields) != 5 || !slices.Contains([]string{"", "UTC", utc}, c.TimeZone) {
		return ""
	}
	m, err := strconv.Atoi(fields[0])
	h, herr := strconv.Atoi(fields[1])
	if err != nil || herr != nil {
		return ""
	}
	return fmt.Sprintf("%02d:%02d", h, m)
}
