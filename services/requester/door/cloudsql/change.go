package cloudsql

import (
	"fmt"
	"regexp"

	"github.com/backupbus/backupbus/events"
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
	updated               // becomes the default, as what is named null always does
)

// below is the manner for the members of an object.
func (m manner) below(o *body) manner {
	if o.null {
		return updated
	}
	return m
}

// settingsChange is what a body says of an instance's settings.
type settingsChange struct {
	version member[int64]
	all     settingsMembers
	backup  backupMembers
	final   finalMembers
}

type settingsMembers struct {
	how                   manner
	policy, tier, edition member[string]
	retain                member[bool]
}

type backupMembers struct {
	how                              manner
	enabled, binaryLog, pitr, replog member[bool]
	startTime, location              member[string]
	retained, logDays                member[int32]
	retention                        manner
}

type finalMembers struct {
	how     manner
	enabled member[bool]
	days    member[int32]
}

// readSettings reads the settings of a patch or an update, and refuses what is right for no instance.
func readSettings(b *body, how manner) (settingsChange, error) {
	how = how.below(b)
	c, f := b.object("backupConfiguration"), b.object("finalBackupConfig")
	r := c.object("backupRetentionSettings")
	r.enum("retentionUnit", retentionUnits) // there is one, which unspecified means too
	n := settingsChange{
		version: b.int64("settingsVersion"),
		all: settingsMembers{how, specified(b.enum("activationPolicy", activationPolicies)), b.text("tier"),
			specified(b.enum("edition", editions)), b.flag("retainBackupsOnDelete")},
		backup: backupMembers{
			how: how.below(c), enabled: c.flag("enabled"), binaryLog: c.flag("binaryLogEnabled"), pitr: c.flag("pointInTimeRecoveryEnabled"),
			replog: c.flag("replicationLogArchivingEnabled"), startTime: c.text("startTime"), location: c.text("location"),
			retained: r.int32("retainedBackups"), logDays: c.int32("transactionLogRetentionDays"), retention: how.below(c).below(r),
		},
		final: finalMembers{how.below(f), f.flag("enabled"), f.int32("retentionDays")},
	}
	if err := b.err(); err != nil {
		return n, err
	}
	return n, n.form()
}

// specified reads the number 0 of an enum, which names nothing, as absent.
func specified(m member[string]) member[string] {
	if m.value == activationPolicies[0] || m.value == editions[0] {
		return member[string]{}
	}
	return m
}

var (
	startForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	tierForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{0,63}$`)
)

func (n settingsChange) form() error {
	outside := func(m member[int32], most int32) bool { return m.given() && (m.value < 1 || m.value > most) }
	switch b := n.backup; {
	case b.startTime.given() && !startForm.MatchString(b.startTime.value):
		return invalid("backupConfiguration.startTime is a time of day in 24 hour format, as 23:00.")
	case b.location.value != "" && !locationForm.MatchString(b.location.value):
		return errLocation
	case !tierForm.MatchString(n.all.tier.value):
		return invalid("settings.tier is not the name of a machine type.")
	case outside(b.retained, maxRetained):
		return invalid(fmt.Sprintf("backupRetentionSettings.retainedBackups is 1 to %d.", maxRetained))
	case outside(b.logDays, maxLogDaysPlus):
		return invalid(fmt.Sprintf("transactionLogRetentionDays is 1 to %d, and with %s 1 to %d.", maxLogDays, enterprisePlus, maxLogDaysPlus))
	case outside(n.final.days, maxFinalDays):
		return invalid(fmt.Sprintf("finalBackupConfig.retentionDays is 1 to %d.", maxFinalDays))
	}
	return nil
}

// apply is the configuration after a change, or the refusal of cloudsql.md B13, B34 to B39.
func (n settingsChange) apply(i configured) (events.ScheduleConfig, error) {
	if n.version.given() && n.version.value != int64(i.version()) {
		return events.ScheduleConfig{}, errStale
	}
	next, s := i.configuration(), i.stored()
	n.all.set(&s)
	n.backup.set(&next, &s)
	s.FinalBackup = n.final.of(s.FinalBackup)
	next.CloudSQL = &s
	if err := n.check(i, next); err != nil {
		return next, err
	}
	if i.transitional() {
		return next, errState
	}
	return next, nil
}

// set makes of a value what a member says: its own, or the default (zero) for null, and for absence in an update.
func set[T, M any](value *T, m member[M], how manner, read func(M) T) {
	if m.present || how == updated {
		*value = read(m.value)
	}
}

func same[T any](v T) T { return v }

func (n settingsMembers) set(s *events.CloudSQLSettings) {
	set(&s.ActivationPolicy, n.policy, n.how, same)
	set(&s.Tier, n.tier, n.how, same)
	set(&s.Edition, n.edition, n.how, same)
	set(&s.RetainBackupsOnDelete, n.retain, n.how, same)
}

func (n backupMembers) set(c *events.ScheduleConfig, s *events.CloudSQLSettings) {
	set(&c.Paused, n.enabled, n.how, func(on bool) bool { return !on })
	set(&s.Location, n.location, n.how, same)
	set(&s.BinaryLogEnabled, n.binaryLog, n.how, same)
	set(&s.PointInTimeRecoveryEnabled, n.pitr, n.how, same)
	set(&s.ReplicationLogArchivingEnabled, n.replog, n.how, same)
	set(&s.TransactionLogRetentionDays, n.logDays, n.how, func(days int32) int { return int(days) })
	if n.startTime.present || n.how == updated { // daily in UTC, whatever it was
		c.Cron, c.EverySeconds, c.TimeZone, c.NextDueTime = cronOf(n.startTime.or(anyTime)), 0, utc, events.Time{}
	}
	if n.retained.present || n.retention == updated {
		s.DefaultRetention = !n.retained.given()
	} else if !s.DefaultRetention {
		return // chosen before
	}
	kept := events.Retention{}
	if c.Retention != nil {
		kept = *c.Retention
	}
	if kept.KeepLast = int(n.retained.value); s.DefaultRetention {
		kept.KeepLast = events.RetainedBy(s.Edition)
	}
	c.Retention = &kept
}

func (n finalMembers) of(before *events.CloudSQLFinalBackup) *events.CloudSQLFinalBackup {
	f := events.CloudSQLFinalBackup{}
	if before != nil {
		f = *before
	}
	set(&f.Enabled, n.enabled, n.how, same)
	set(&f.RetentionDays, n.days, n.how, func(days int32) int { return int(days) })
	if f == (events.CloudSQLFinalBackup{}) && !n.enabled.given() {
		return nil
	}
	return &f
}

func (n settingsChange) check(i configured, next events.ScheduleConfig) error {
	s, before := withDefaults(*next.CloudSQL), i.settings()
	days, kept := s.TransactionLogRetentionDays, retained(next, s.Edition)
	most := maxLogDays
	if s.Edition == enterprisePlus {
		most = maxLogDaysPlus
	}
	// What stands is accepted again, and so is what nobody chose: the defaults are 7 backups and 7 days of log.
	chosen := next.CloudSQL.TransactionLogRetentionDays != 0 && days != before.TransactionLogRetentionDays ||
		!s.DefaultRetention && kept != retained(i.configuration(), before.Edition)
	switch {
	case !next.Paused && i.replica():
		return errNoBackups
	case n.backup.binaryLog.value && !i.binaryLogs():
		return invalid("binaryLogEnabled is for MySQL: leave it out, or send false.")
	case n.backup.pitr.value && !i.recovers():
		return invalid("pointInTimeRecoveryEnabled is for PostgreSQL and SQL Server: leave it out, or send false.")
	case s.BinaryLogEnabled && next.Paused:
		return invalid("binaryLogEnabled needs backups that are enabled.")
	case days > most:
		return invalid(fmt.Sprintf("transactionLogRetentionDays is 1 to %d with %s.", most, s.Edition))
	case chosen && days >= kept:
		return invalid("backup retention must exceed log retention: keep more backups than days of log.")
	}
	return nil
}
