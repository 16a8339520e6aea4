package native

import (
	"time"

	"github.com/backupbus/backupbus/events"
)

// shownDue is how many due times are said with a schedule.
const shownDue = 3

type scheduleBody struct {
	ScheduleID   string         `json:"scheduleId"`
	Project      string         `json:"project"`
	Provider     string         `json:"provider"`
	Instance     string         `json:"instance"`
	Name         string         `json:"name"`
	Database     string         `json:"database,omitempty"`
	Generation   int            `json:"generation"`
	Outcome      string         `json:"outcome,omitempty" enum:"created,updated,unchanged,deleted" doc:"of this call"`
	Config       scheduleConfig `json:"config"`
	ExpireAfter  int64          `json:"expireAfterSeconds,omitempty" doc:"each backup expires so long after it was made, beside what the retention says; set by Spanner's door"`
	NextDueTimes []time.Time    `json:"nextDueTimes,omitempty" doc:"the next few; absent while it is paused"`
}

// scheduleConfig is what a person says of events.ScheduleConfig.
type scheduleConfig struct {
	Cron                string         `json:"cron,omitempty" nullable:"true" maxLength:"256" doc:"minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly; either this or everySeconds"`
	EverySeconds        int64          `json:"everySeconds,omitempty" nullable:"true" minimum:"0" doc:"at least 60; either this or cron"`
	TimeZone            string         `json:"timeZone,omitempty" nullable:"true" maxLength:"64" doc:"of the IANA database, as Europe/Berlin; absent: UTC"`
	WindowSeconds       int64          `json:"windowSeconds,omitempty" nullable:"true" minimum:"0" doc:"how long after its due time a backup may start; absent: where the instance is at work then, it is skipped"`
	SpreadSeconds       int64          `json:"spreadSeconds,omitempty" nullable:"true" minimum:"0" doc:"a backup begins up to so much later, so that not all begin at once; within the window, without one an hour at most"`
	OverdueAfterSeconds int64          `json:"overdueAfterSeconds,omitempty" nullable:"true" minimum:"0" doc:"absent: the window, without one an hour"`
	Missed              events.Missed  `json:"missed,omitempty" nullable:"true" enum:"ONCE,SKIP,ALL" doc:"which due times are made up for that passed while nobody was there: the last, none, all; absent: ONCE"`
	Retention           *retentionBody `json:"retention,omitempty" doc:"absent: nothing is deleted by policy"`
	MaxAttempts         int            `json:"maxAttempts,omitempty" nullable:"true" minimum:"0" maximum:"20" doc:"tries of one backup; absent: as the server is set"`
	Paused              *bool          `json:"paused,omitempty" doc:"nothing is due; absent: as it is, and a new schedule is not"`
}

// retentionBody is events.Retention.
type retentionBody struct {
	_ struct{} `nullable:"true"`

	KeepLast      int   `json:"keepLast,omitempty" nullable:"true" minimum:"0" maximum:"10000" doc:"the newest so many"`
	MaxAgeSeconds int64 `json:"maxAgeSeconds,omitempty" nullable:"true" minimum:"0" doc:"older ones go, whatever else is said; the newest proven backup is always kept"`
	Daily         int   `json:"daily,omitempty" nullable:"true" minimum:"0" maximum:"10000" doc:"the newest of each of the last so many days that have one"`
	Weekly        int   `json:"weekly,omitempty" nullable:"true" minimum:"0" maximum:"10000"`
	Monthly       int   `json:"monthly,omitempty" nullable:"true" minimum:"0" maximum:"10000"`
}

// over is the configuration in full: what other doors keep in it stays.
func (c scheduleConfig) over(before *events.Schedule) events.ScheduleConfig {
	out := events.ScheduleConfig{
		Cron: c.Cron, EverySeconds: c.EverySeconds, TimeZone: c.TimeZone, WindowSeconds: c.WindowSeconds, SpreadSeconds: c.SpreadSeconds,
		OverdueAfterSeconds: c.OverdueAfterSeconds, Missed: c.Missed, MaxAttempts: c.MaxAttempts,
	}
	if r := c.Retention; r != nil && *r != (retentionBody{}) { // an empty one is none
		out.Retention = &events.Retention{KeepLast: r.KeepLast, MaxAgeSeconds: r.MaxAgeSeconds, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly}
	}
	if before != nil {
		b := before.Config
		out.CloudSQL, out.GaussDB, out.Spanner, out.Paused = b.CloudSQL, b.GaussDB, b.Spanner, b.Paused
	}
	if c.Paused != nil {
		out.Paused = *c.Paused
	}
	return out
}

func toScheduleConfig(c events.ScheduleConfig) scheduleConfig {
	out := scheduleConfig{
		Cron: c.Cron, EverySeconds: c.EverySeconds, TimeZone: c.TimeZone, WindowSeconds: c.WindowSeconds, SpreadSeconds: c.SpreadSeconds,
		OverdueAfterSeconds: c.OverdueAfterSeconds, Missed: c.Missed, MaxAttempts: c.MaxAttempts, Paused: &c.Paused,
	}
	if r := c.Retention; r != nil {
		out.Retention = &retentionBody{KeepLast: r.KeepLast, MaxAgeSeconds: r.MaxAgeSeconds, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly}
	}
	return out
}

func (d *Door) toSchedule(s events.Schedule, outcome string) scheduleBody {
	out := scheduleBody{
		ScheduleID: s.ScheduleID, Project: s.Project, Provider: s.Provider, Instance: s.Instance, Name: s.Name, Database: s.Database,
		Generation: s.Generation, Outcome: outcome, Config: toScheduleConfig(s.Config),
	}
	if s.Config.Spanner != nil {
		out.ExpireAfter = s.Config.Spanner.RetentionSeconds
	}
	if !s.Config.Paused {
		for _, at := range d.dueTimes(s, shownDue) {
			out.NextDueTimes = append(out.NextDueTimes, at.DueTime)
		}
	}
	return out
}
