package gaussdb

import (
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

const (
	createJob = "CreateGaussDBforMySQLBackup" // 4.8
	keepJobs  = 30 * 24 * time.Hour           // after their end

	pending       = "Pending"
	running       = "Running"
	jobCompleted  = "Completed"
	jobFailed     = "Failed"
	jobCanceled   = "Canceled"
	skippedPrefix = "skipped: "
)

// showJob is ShowGaussMySqlJobInfo (4.8). The creation of a manual backup is the only job there is.
func (d *Door) showJob(c *call) (any, error) {
	id := c.query.get("id")
	if id == "" {
		return nil, errNull
	}
	op, err := d.intake.Operation(c.Context(), c.project(), id)
	if err != nil {
		return nil, err
	}
	if op.Kind != lifecycle.Creation || !op.OnDemand || op.Done && d.now().Sub(op.EndTime.Time) > keepJobs {
		return nil, errNoJob
	}
	b, err := d.intake.Backup(c.Context(), c.project(), op.Backup)
	if err != nil {
		if convertError(err) == errNoBackup {
			err = errNoJob
		}
		return nil, err
	}
	return shownJob{d.job(c, op, b)}, nil
}

func (d *Door) job(c *call, op lifecycle.Operation, b events.Backup) job {
	j := job{ID: op.ID, Name: createJob, Created: stamp(op.InsertTime.Time), Instance: jobInstance{instanceIDOf(b), b.Instance}}
	if !op.Done {
		if j.Status = running; b.State == lifecycle.Overdue {
			j.Status = pending
			return j
		}
		j.Process = fmt.Sprintf("%d%%", d.percent(c, b))
		return j
	}
	j.Ended = stamp(op.EndTime.Time)
	j.Status, j.FailReason = outcome(op, b)
	return j
}

// outcome is what became of a backup that has ended, whatever became of its copy since (7).
func outcome(op lifecycle.Operation, b events.Backup) (status, reason string) {
	switch {
	case lifecycle.Succeeded(b):
		return jobCompleted, ""
	case b.Skip != nil:
		reason = b.Skip.Message
		if reason == "" {
			reason = b.Skip.Reason
		}
		return jobFailed, skippedPrefix + reason
	case lifecycle.Stopped(b):
		return jobCanceled, ""
	case op.Failure != nil:
		return jobFailed, op.Failure.Error()
	}
	return jobFailed, string(events.Internal)
}

// percent is how far a backup is, from 1 once it has begun to 99. It never falls, though a new attempt begins anew (7).
func (d *Door) percent(c *call, b events.Backup) int {
	if b.Attempt == 0 {
		return 0
	}
	return min(max(d.intake.Peak(c.Context(), b), 1), 99)
}
