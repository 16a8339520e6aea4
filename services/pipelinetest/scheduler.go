package pipelinetest

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Slot stands in for the scheduler: it appends what becomes of one due time of a schedule, `requested`, `skipped`
// or `overdue`, under the id that the schedule and the time make (events.md 1.4), and returns the record.
func (p *Pipeline) Slot(s events.Schedule, due time.Time, step events.Step, skip *events.Skip) events.Backup {
	p.t.Helper()
	must := func(err error) {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
	}
	source, err := s.Aggregate().Source(p.Bus.Name())
	must(err)
	origin := events.Origin{Source: source, Key: due.UTC().Format(time.RFC3339)}
	id, err := events.BackupID(s.Project, origin)
	must(err)
	rq, err := events.RequestID(s.Project, origin)
	must(err)
	b := events.Backup{
		BackupID: id, Project: s.Project, Provider: s.Provider, Instance: s.Instance, Database: s.Database, RequestID: rq, Trigger: events.Scheduled, Door: "schedule",
		ScheduleID: s.ScheduleID, DueTime: events.At(due), WindowStartTime: events.At(due), WindowEndTime: events.At(due.Add(4 * time.Hour)),
		IDs: events.NewBackupIDs(id, "", due), EnqueuedTime: events.At(time.Now()), Verification: events.NotVerified,
	}
	done, err := p.Bus.Append(p.ctx(), events.Draft{
		Aggregate: b.Aggregate(), Step: step, Scope: events.ScopeInstance, At: time.Now(),
		EventID: events.EventID(id, events.Backups, step, slotNumber(step)),
		Decide: func(_ context.Context, prior events.Prior) (events.Payload, error) {
			next := b
			if prior.Last != nil {
				if next, err = events.Decode[events.Backup](prior.Last.Event); err != nil {
					return nil, err
				}
			}
			switch step {
			case events.Requested:
				next.MaxAttempts = 1
			case events.Skipped:
				next.Skip = skip
			case events.Overdue:
				next.Overdue = &events.OverdueNote{SinceTime: next.WindowEndTime, LateByMs: 1, Requested: next.MaxAttempts > 0}
			}
			return lifecycle.Advance(next, step)
		},
	})
	must(err)
	must(p.View.Passed(p.ctx(), s.Project, done.Seq))
	stored, err := events.Decode[events.Backup](done.Event)
	must(err)
	return stored
}

// slotNumber is 1 for an `overdue` of what has not started; other steps of a slot have none.
func slotNumber(s events.Step) int {
	if s == events.Overdue {
		return 1
	}
	return 0
}
