package native

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/schedule"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
	"github.com/backupbus/backupbus/services/requester/schedule/retention"
)

// previewDue is how many due times a preview says.
const previewDue = 10

type dueBody struct {
	DueTime   time.Time `json:"dueTime"`
	StartTime time.Time `json:"startTime" doc:"later than dueTime by the spread"`
}

type previewOutput struct {
	Body struct {
		ScheduleID string        `json:"scheduleId"`
		Instance   string        `json:"instance"`
		Name       string        `json:"name"`
		Paused     bool          `json:"paused"`
		Due        []dueBody     `json:"due"`
		Backups    []verdictBody `json:"backups" doc:"those of the schedule that have a proven copy, newest first; the others neither count nor go"`
	}
}

type verdictBody struct {
	BackupID  string     `json:"backupId"`
	Time      *time.Time `json:"time,omitempty" doc:"the moment whose data it holds, or when it ended: by this it is sorted"`
	SizeBytes *int64     `json:"sizeBytes,omitempty"`
	Keep      bool       `json:"keep"`
	Why       string     `json:"why" doc:"newest, keepLast, daily, weekly, monthly, held, no policy, nothing newer (of one that a check found bad); of what goes: surplus, maxAge, bad"`
}

func (d *Door) preview(ctx context.Context, in *OneSchedule) (*previewOutput, error) {
	s, err := d.intake.ScheduleByID(ctx, in.Project, in.ScheduleID)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	verdicts, err := schedule.Preview(ctx, d.intake, s, d.now())
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	out := &previewOutput{}
	b := &out.Body
	b.ScheduleID, b.Instance, b.Name, b.Paused, b.Due, b.Backups = s.ScheduleID, s.Instance, s.Name, s.Config.Paused, d.dueTimes(s, previewDue), []verdictBody{}
	for _, v := range verdicts {
		b.Backups = append(b.Backups, toVerdict(v))
	}
	return out, nil
}

func toVerdict(v retention.Verdict) verdictBody {
	at := v.Backup.ConsistencyTime
	if at.IsZero() {
		at = v.Backup.EndTime
	}
	return verdictBody{BackupID: v.Backup.BackupID, Time: moment(at), SizeBytes: v.Backup.SizeBytes, Keep: v.Keep, Why: v.Why}
}

// dueTimes are the next n of a schedule; one that cannot be read has none.
func (d *Door) dueTimes(s events.Schedule, n int) []dueBody {
	out := []dueBody{}
	times, err := due.New(s.Config)
	if err != nil {
		return out
	}
	spread := time.Duration(s.Config.SpreadSeconds) * time.Second
	for at := d.now(); len(out) < n; {
		if at = times.Next(at); at.IsZero() {
			break
		}
		out = append(out, dueBody{at, at.Add(due.Spread(s.ScheduleID, at, spread))})
	}
	return out
}
