package intake

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Plan makes a schedule, or changes it.
type Plan struct {
	Caller
	Project  string
	Instance string
	Database string
	Name     string

	// Change decides on the schedule as it stands, with the instance as it was read; before is nil if there is
	// none. It may be called more than once. Its refusal, an *Error or the door's own, comes back as it is.
	Change func(inst events.Instance, before *events.Schedule) (events.ScheduleConfig, error)

	// WholeInstance: refuse while the instance is busy with anything (cloudsql.md PD-5).
	WholeInstance bool
}

// Plan appends `schedule.created` or `schedule.updated`. A change of nothing is an update all the same: who asks
// for an operation gets one.
func (i *Intake) Plan(ctx context.Context, c Plan) (events.Schedule, error) {
	inst, err := i.Instance(ctx, c.Project, c.Instance)
	if err != nil {
		return events.Schedule{}, err
	}
	s, err := draftSchedule(c, inst)
	if err != nil {
		return s, err
	}
	for range maxRounds {
		stored, err := i.planOnce(ctx, c, inst, s)
		if !errors.Is(err, errMoved) {
			return stored, err
		}
	}
	return events.Schedule{}, refuse(Unavailable, BusUnavailable, "others keep changing schedule %s of %s: look at it, then ask again", s.Name, s.Instance)
}

func draftSchedule(c Plan, inst events.Instance) (events.Schedule, error) {
	planned, err := name("schedule", c.Name)
	if err != nil {
		return events.Schedule{}, err
	}
	id, err := events.ScheduleID(inst.Project, inst.Instance, c.Database, planned)
	if err != nil {
		return events.Schedule{}, refuse(Invalid, NameInvalid, "%s", err.Error())
	}
	return events.Schedule{Project: inst.Project, ScheduleID: id, Name: planned, Provider: inst.Provider, Instance: inst.Instance,
		Database: c.Database, RequestedBy: c.Caller.Name}, nil
}

// planOnce is one round: the number of the event has to be known before the append.
func (i *Intake) planOnce(ctx context.Context, c Plan, inst events.Instance, s events.Schedule) (events.Schedule, error) {
	last, found, err := i.last(ctx, s.Aggregate())
	if err != nil {
		return s, fault("read the schedule", err)
	}
	step, n := events.Created, uint64(1)
	if found {
		if n, err = last.SequenceNumber(); err != nil {
			return s, fault("read the schedule", err)
		}
		n++
		if last.Step() != events.Deleted {
			step = events.Updated
		}
	}
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: s.Aggregate(), Step: step, At: i.now(), EventID: events.EventID(s.ScheduleID, events.Schedules, step, int(n)),
		Cause: events.Cause{Trace: c.Trace},
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			before, err := standing(p, step, n)
			if err != nil {
				return nil, err
			}
			if c.WholeInstance {
				if err := i.idle(ctx, s); err != nil {
					return nil, err
				}
			}
			next := s
			if before != nil {
				next.Changes = before.Changes
			}
			if step == events.Created {
				before = nil // one that was removed counts only for its history
			}
			if next.Config, err = c.Change(inst, before); err != nil {
				return nil, err
			}
			if before != nil {
				next.ChangedFields = changed(before.Config, next.Config)
			}
			return advanceSchedule(next, step, int(n), events.At(i.now())), nil
		},
	})
	if errors.Is(err, errMoved) {
		return s, err
	}
	if err != nil {
		return s, fault("append the schedule", err)
	}
	if done.Repeat { // somebody else's change has this number
		return s, errMoved
	}
	i.visible(ctx, s.Project, done.Seq)
	stored, err := events.Decode[events.Schedule](done.Event)
	return stored, fault("read back the schedule", err)
}

// standing is the schedule as it stands, if the event's number still fits.
func standing(p events.Prior, step events.Step, n uint64) (*events.Schedule, error) {
	if p.Last == nil {
		if n != 1 {
			return nil, errMoved
		}
		return nil, nil
	}
	at, err := p.Last.SequenceNumber()
	if err != nil {
		return nil, err
	}
	if at+1 != n || step == events.Created != (p.Last.Step() == events.Deleted) {
		return nil, errMoved
	}
	before, err := events.Decode[events.Schedule](p.Last.Event)
	return &before, err
}

// advanceSchedule numbers a change and remembers it.
func advanceSchedule(s events.Schedule, step events.Step, n int, at events.Time) events.Schedule {
	s.Generation = n
	s.Changes = append(s.Changes[max(0, len(s.Changes)-events.MaxChanges+1):len(s.Changes):len(s.Changes)],
		events.ScheduleChange{Step: step, Generation: n, Time: at, RequestedBy: s.RequestedBy})
	return s
}

// idle refuses while the instance is busy.
func (i *Intake) idle(ctx context.Context, s events.Schedule) error {
	active, _, err := i.view.Active(ctx, s.Project, s.Instance)
	if err != nil {
		return err
	}
	for _, b := range active {
		return pending(b)
	}
	return nil
}

// Automated are the schedules called so (events.md 1.5), by the names of their instances; one without has no entry.
func (i *Intake) Automated(ctx context.Context, project string, instances ...string) (map[string]events.Schedule, error) {
	ids := make([]string, 0, len(instances))
	for _, name := range instances {
		id, err := events.ScheduleID(project, name, "", events.Automated)
		if err != nil {
			return nil, refuse(Invalid, NameInvalid, "%s", err.Error())
		}
		ids = append(ids, id)
	}
	list, err := i.view.SchedulesByID(ctx, project, ids)
	if err != nil {
		return nil, fault("read the schedules", err)
	}
	out := map[string]events.Schedule{}
	for _, s := range list {
		out[s.Instance] = s
	}
	return out, nil
}

// BackupDue is the backup that a schedule asked for, or would have, at a due time: its id is a function of both.
func (i *Intake) BackupDue(ctx context.Context, s events.Schedule, due time.Time) (events.Backup, error) {
	source, err := s.Aggregate().Source(i.c.Bus)
	if err != nil {
		return events.Backup{}, fault("name the schedule", err)
	}
	id, err := events.BackupID(s.Project, events.Origin{Source: source, Key: due.UTC().Format(time.RFC3339)})
	if err != nil {
		return events.Backup{}, fault("name the backup", err)
	}
	return i.Backup(ctx, s.Project, id)
}

// Schedule is one schedule of an instance by its name; SCHEDULE_NOT_FOUND if there is none.
func (i *Intake) Schedule(ctx context.Context, project, instance, database, name string) (events.Schedule, error) {
	id, err := events.ScheduleID(project, instance, database, name)
	if err != nil {
		return events.Schedule{}, refuse(Invalid, NameInvalid, "%s", err.Error())
	}
	list, err := i.view.SchedulesByID(ctx, project, []string{id})
	if err == nil && len(list) == 0 {
		err = events.ErrNotFound
	}
	if err != nil {
		return events.Schedule{}, missing("read the schedule", err, ScheduleNotFound, "instance %s has no schedule %s", events.Clip(instance, 100), events.Clip(name, 100))
	}
	return list[0], nil
}
