package intake

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Unplan takes a schedule out.
type Unplan struct {
	Caller
	Project    string
	ScheduleID string
}

// DeleteSchedule appends `schedule.deleted`. Its backups stay, and nothing more is due or deleted by it; a schedule
// made with its name later goes on with its numbers and its backups.
func (i *Intake) DeleteSchedule(ctx context.Context, c Unplan) (events.Schedule, error) {
	s, err := i.ScheduleByID(ctx, c.Project, c.ScheduleID)
	if err != nil {
		return s, err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return s, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	for range maxRounds {
		stored, err := i.unplanOnce(ctx, c, s.Aggregate(), rq)
		if !errors.Is(err, errMoved) {
			return stored, fault("take out the schedule", err)
		}
	}
	return s, refuse(Unavailable, BusUnavailable, "others keep changing schedule %s of %s: look at it, then ask again", s.Name, s.Instance)
}

func (i *Intake) unplanOnce(ctx context.Context, c Unplan, a events.Aggregate, rq string) (events.Schedule, error) {
	last, found, err := i.last(ctx, a)
	if err != nil {
		return events.Schedule{}, err
	}
	if !found {
		return events.Schedule{}, noSchedule(c)
	}
	s, err := events.Decode[events.Schedule](last.Event)
	if err != nil {
		return s, err
	}
	if then, ours := asAsked(s, rq); ours { // the answer to the append was lost; others may have made it again since
		return then, nil
	}
	if last.Step() == events.Deleted {
		return s, noSchedule(c)
	}
	n := s.Generation + 1
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: a, Step: events.Deleted, At: i.now(), EventID: events.EventID(a.ID, events.Schedules, events.Deleted, n),
		Cause: c.cause(rq),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			if err := unmoved(p, n); err != nil {
				return nil, err
			}
			next := s
			next.Generation, next.RequestedBy, next.ChangedFields = n, c.Name, nil
			next.Changes = lifecycle.RememberChange(s.Changes, events.ScheduleChange{
				Step: events.Deleted, Generation: n, Time: events.At(i.now()), RequestID: rq, RequestedBy: c.Name})
			return next, nil
		},
	})
	if err != nil {
		return s, err
	}
	stored, err := events.Decode[events.Schedule](done.Event)
	if err != nil {
		return s, err
	}
	if _, ours := asAsked(stored, rq); !ours { // somebody else took it out
		return s, errMoved
	}
	i.visible(ctx, s.Project, done.Seq)
	return stored, nil
}

func noSchedule(c Unplan) error {
	return refuse(NotFound, ScheduleNotFound, "there is no schedule %s in project %s: list the schedules", c.ScheduleID, c.Project)
}

// ScheduleByID is one schedule by its id; SCHEDULE_NOT_FOUND if there is none, or no more.
func (i *Intake) ScheduleByID(ctx context.Context, project, id string) (events.Schedule, error) {
	list, err := i.view.SchedulesByID(ctx, project, []string{id})
	if err != nil {
		return events.Schedule{}, fault("read the schedule", err)
	}
	if len(list) == 0 {
		return events.Schedule{}, noSchedule(Unplan{Project: project, ScheduleID: id})
	}
	return list[0], nil
}

// Schedules lists a project's schedules by id: of one instance, or of the project if it is empty.
func (i *Intake) Schedules(ctx context.Context, project, instance, cursor string, limit int) ([]events.Schedule, string, error) {
	list, next, err := i.view.Schedules(ctx, project, instance, cursor, limit)
	return list, next, fault("list schedules", err)
}
