package events

import "time"

// Schedule is the record of a plan by which backups of an instance are due: the `data` of every `schedule.*`
// event (events.md 2.3).
type Schedule struct {
	Project       string         `json:"project"`
	ScheduleID    string         `json:"scheduleId"`
	Name          string         `json:"name"`
	Provider      string         `json:"provider"`
	Instance      string         `json:"instance"`
	Database      string         `json:"database,omitempty"` // absent: the whole instance
	Generation    int            `json:"generation"`         // the number in `sequence`
	RequestedBy   string         `json:"requestedBy,omitempty"`
	ChangedFields []string       `json:"changedFields,omitempty"` // paths, on updated only
	Config        ScheduleConfig `json:"config"`

	// Changes are the latest changes, the last one last: what doors show as operations. Those of the last KeepChanges,
	// at most MaxChanges, and at most MaxChangesSize of them.
	Changes []ScheduleChange `json:"changes,omitempty"`
}

// KeepChanges is how long a change is remembered: doors show operations for 7 days (cloudsql.md PD-19).
const KeepChanges = 8 * 24 * time.Hour

// What a schedule remembers at most, so that its record stays well below MaxData.
const (
	MaxChanges     = 200
	MaxChangesSize = 32 << 10 // encoded
)

// Automated is the name of the schedule that the Cloud SQL and GaussDB doors read and write (events.md 1.5).
const Automated = "automated"

// ScheduleChange is one step of a schedule.
type ScheduleChange struct {
	Step        Step   `json:"step"`
	Generation  int    `json:"generation"`
	Time        Time   `json:"time"`
	RequestID   string `json:"requestId,omitempty"` // tells a repeat of the request
	RequestedBy string `json:"requestedBy,omitempty"`
}

// ScheduleConfig says when backups are due and what is kept of them. One of Cron and EverySeconds is set.
type ScheduleConfig struct {
	Cron                string     `json:"cron,omitempty"` // five fields: minute hour day month weekday
	EverySeconds        int64      `json:"everySeconds,omitempty"`
	TimeZone            string     `json:"timeZone,omitempty"`            // IANA; absent: UTC
	WindowSeconds       int64      `json:"windowSeconds,omitempty"`       // how long after the due time a backup may start
	SpreadSeconds       int64      `json:"spreadSeconds,omitempty"`       // it begins by so much later, so that not all begin at once
	OverdueAfterSeconds int64      `json:"overdueAfterSeconds,omitempty"` // absent: the window
	Missed              Missed     `json:"missed,omitempty"`
	Retention           *Retention `json:"retention,omitempty"` // absent: nothing is deleted by policy
	MaxAttempts         int        `json:"maxAttempts,omitempty"`
	Paused              bool       `json:"paused,omitempty"`
	NextDueTime         Time       `json:"nextDueTime,omitzero"`

	CloudSQL *CloudSQLSettings `json:"cloudsql,omitempty"` // what that door keeps beside
	GaussDB  *GaussDBSettings  `json:"gaussdb,omitempty"`  // what that door keeps beside
	Spanner  *SpannerSettings  `json:"spanner,omitempty"`  // likewise
}

// Missed says what becomes of due times that passed while nobody was there (closed set). Absent: ONCE.
type Missed string

// The values of missed.
const (
	MissedOnce Missed = "ONCE"
	MissedSkip Missed = "SKIP"
	MissedAll  Missed = "ALL"
)

// Retention is what a policy keeps. The newest proven backup is kept whatever it says (design.md 7).
type Retention struct {
	KeepLast      int   `json:"keepLast,omitempty"`
	MaxAgeSeconds int64 `json:"maxAgeSeconds,omitempty"`
	Daily         int   `json:"daily,omitempty"`
	Weekly        int   `json:"weekly,omitempty"`
	Monthly       int   `json:"monthly,omitempty"`
}

// CloudSQLSettings are those of Cloud SQL's `settings` that have no counterpart here (cloudsql.md 8). They are
// kept and shown; what obeys them is said at each.
type CloudSQLSettings struct {
	Location                    string `json:"location,omitempty"`         // of new backups whose request names none
	ActivationPolicy            string `json:"activationPolicy,omitempty"` // NEVER: stopped, backups are refused
	TransactionLogRetentionDays int    `json:"transactionLogRetentionDays,omitempty"`
	BinaryLogEnabled            bool   `json:"binaryLogEnabled,omitempty"`
	PointInTimeRecoveryEnabled  bool   `json:"pointInTimeRecoveryEnabled,omitempty"`
	Tier                        string `json:"tier,omitempty"`
	Edition                     string `json:"edition,omitempty"` // ENTERPRISE, ENTERPRISE_PLUS; absent: ENTERPRISE

	DefaultRetention               bool                 `json:"defaultRetention,omitempty"` // retention.keepLast is the edition's: nobody chose it
	ReplicationLogArchivingEnabled bool                 `json:"replicationLogArchivingEnabled,omitempty"`
	RetainBackupsOnDelete          bool                 `json:"retainBackupsOnDelete,omitempty"`
	FinalBackup                    *CloudSQLFinalBackup `json:"finalBackupConfig,omitempty"`
}

// RetainedBy is how many backups an edition of Cloud SQL keeps where nobody has said (cloudsql.md 8).
func RetainedBy(edition string) int {
	if edition == "ENTERPRISE_PLUS" {
		return 15
	}
	return 7
}

// KeepsDefault tells whether the number of backups that are kept is the edition's: nobody chose it at the Cloud SQL
// door, and nobody has changed it elsewhere since.
func (c ScheduleConfig) KeepsDefault() bool {
	return c.CloudSQL != nil && c.CloudSQL.DefaultRetention && c.Retention != nil && c.Retention.KeepLast == RetainedBy(c.CloudSQL.Edition)
}

// SpannerSettings are those of Spanner's BackupSchedule that have no counterpart here (spanner.md 3.2).
type SpannerSettings struct {
	RetentionSeconds int64       `json:"retentionSeconds,omitempty"` // each backup expires so long after it was made
	Encryption       *Encryption `json:"encryption,omitempty"`       // of each backup; absent: that of its database
	Incremental      bool        `json:"incremental,omitempty"`
}

// CloudSQLFinalBackup says whether a last backup is wanted when the instance goes.
type CloudSQLFinalBackup struct {
	Enabled       bool `json:"enabled,omitempty"`
	RetentionDays int  `json:"retentionDays,omitempty"`
}

// GaussDBSettings are those of GaussDB's backup policy that have no counterpart here (gaussdb.md 4.6).
type GaussDBSettings struct {
	RetainedLevel1 int `json:"retainedLevel1,omitempty"` // retention_num_backup_level1, 0 or 1; kept and shown
}

// Aggregate names the schedule.
func (s Schedule) Aggregate() Aggregate {
	return Aggregate{Project: s.Project, Provider: s.Provider, Instance: s.Instance, Entity: Schedules, ID: s.ScheduleID}
}

func (s Schedule) attributes() own { return own{} }

func (s Schedule) bounded() any { return s }
