package gaussdb

import (
	"fmt"
	"sync"
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
		j.Process = fmt.Sprintf("%d%%", d.seen.highest(b.BackupID, d.percent(c, b)))
		return j
	}
	d.seen.forget(b.BackupID)
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
	case b.State == lifecycle.Cancelled, b.Cancel != nil && b.Error == nil:
		return jobCanceled, ""
	case op.Failure != nil:
		return jobFailed, op.Failure.Error()
	}
	return jobFailed, string(events.Internal)
}

// percent is how far a backup is, from 1 once it has begun to 99.
func (d *Door) percent(c *call, b events.Backup) int {
	if b.Attempt == 0 {
		return 0
	}
	p, ok := d.intake.Progress(c.Context(), b)
	switch {
	case !ok:
		return 1
	case p.Percent != nil:
		return min(max(*p.Percent, 1), 99)
	case p.BytesDone != nil && p.BytesTotal != nil && *p.BytesTotal > 0:
		return int(min(max(float64(*p.BytesDone)/float64(*p.BytesTotal)*100, 1), 99))
	}
	return 1
}

// peaks are the percentages that were shown: a client that polls never sees one fall (7), though a new attempt begins
// anew. They are kept for as long as this process may, and are few: what is forgotten is shown as it is.
type peaks struct {
	mu sync.Mutex
	of map[string]int
}

const maxPeaks = 10_000

func newPeaks() *peaks { return &peaks{of: map[string]int{}} }

func (p *peaks) highest(id string, now int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := p.of[id]; before >= now {
		return before
	}
	if len(p.of) >= maxPeaks {
		clear(p.of)
	}
	p.of[id] = now
	return now
}

func (p *peaks) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, id)
}
