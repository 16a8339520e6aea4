package intake

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Plan makes a schedule, or changes it.
type Plan struct {
	Caller
	Project  string
	Instance string
	Database string
	Name     string

	// Change decides on the schedule and the instance as they stand in the log; before is nil if there is none.
	// It may be called more than once. Its refusal, an *Error or the door's own, comes back as it is.
	Change func(inst events.Instance, before *events.Schedule) (events.ScheduleConfig, error)

	// Among, if there is one, is asked before a schedule is made, with those of the instance as they stand in the log.
	Among func([]events.Schedule) error

	// WholeInstance: refuse while the instance is busy with anything (cloudsql.md PD-5).
	WholeInstance bool

	// Idempotent: a change of nothing appends nothing, and the schedule comes back as it stands.
	Idempotent bool
}

// Created is what a plan comes to that makes a schedule; the others are Updated and Unchanged.
const Created = "created"

// Plan appends `schedule.created` or `schedule.updated`. A change of nothing is an update all the same, unless c is
// Idempotent: who asks for an operation gets one.
func (i *Intake) Plan(ctx context.Context, c Plan) (events.Schedule, error) {
	inst, err := i.Instance(ctx, c.Project, c.Instance)
	if err != nil {
		return events.Schedule{}, err
	}
	s, err := draftSchedule(c, inst)
	if err != nil {
		return s, err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return s, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	for range maxRounds {
		stored, err := i.planOnce(ctx, c, inst.Aggregate(), s, rq)
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
	if c.Database != "" {
		if c.Database, err = name("database", c.Database); err != nil {
			return events.Schedule{}, err
		}
	}
	if inst.Provider == "spanner" && c.Database == "" {
		return events.Schedule{}, refuse(Invalid, NameInvalid, "a backup of provider spanner is of one database: name it")
	}
	id, err := events.ScheduleID(inst.Project, inst.Instance, c.Database, planned)
	if err != nil {
		return events.Schedule{}, refuse(Invalid, NameInvalid, "%s", err.Error())
	}
	return events.Schedule{Project: inst.Project, ScheduleID: id, Name: planned, Provider: inst.Provider, Instance: inst.Instance,
		Database: c.Database, RequestedBy: c.Caller.Name}, nil
}

// errKnownSchedule carries out of Decide that the change is already there: the schedule as it was then.
type errKnownSchedule struct{ events.Schedule }

func (errKnownSchedule) Error() string { return "already there" }

// planOnce is one round: the number of the event has to be known before the append.
func (i *Intake) planOnce(ctx context.Context, c Plan, of events.Aggregate, s events.Schedule, rq string) (events.Schedule, error) {
	last, found, err := i.last(ctx, s.Aggregate())
	if err != nil {
		return s, fault("read the schedule", err)
	}
	step, n, err := nextStep(last, found, events.Created, events.Deleted, events.Updated)
	if err != nil {
		return s, fault("read the schedule", err)
	}
	scope := events.ScopeAggregate
	if c.Among != nil && step == events.Created {
		scope = events.ScopeInstance // another one that is made at the same time must be counted
	}
	done, err := i.insist(ctx, events.Draft{
		Aggregate: s.Aggregate(), Step: step, Scope: scope, At: i.now(), EventID: events.EventID(s.ScheduleID, events.Schedules, step, n),
		Cause: c.cause(rq),
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			return i.decidePlan(ctx, c, of, s, rq, step, n, p)
		},
	})
	var known errKnownSchedule
	switch {
	case errors.As(err, &known):
		return known.Schedule, nil
	case errors.Is(err, errMoved):
		return s, err
	case err != nil:
		return s, fault("append the schedule", err)
	}
	stored, err := events.Decode[events.Schedule](done.Event)
	if err != nil {
		return s, fault("read back the schedule", err)
	}
	if _, ours := asAsked(stored, rq); done.Repeat && !ours { // somebody else's change has this number
		return s, errMoved
	}
	i.visible(ctx, s.Project, done.Seq)
	return stored, nil
}

// decidePlan is what follows what stands in the log: the change, unless it stands there already.
func (i *Intake) decidePlan(ctx context.Context, c Plan, of events.Aggregate, s events.Schedule, rq string, step events.Step, n int, p events.Prior) (events.Payload, error) {
	var before *events.Schedule
	if p.Last != nil {
		stands, err := events.Decode[events.Schedule](p.Last.Event)
		if err != nil {
			return nil, err
		}
		if then, ours := asAsked(stands, rq); ours {
			return nil, errKnownSchedule{then}
		}
		before = &stands
	}
	if err := unmoved(p, n); err != nil {
		return nil, err
	}
	inst, err := i.standing(ctx, of)
	if err != nil {
		return nil, err
	}
	if c.WholeInstance {
		state, err := i.stateNow(ctx, of)
		if err != nil {
			return nil, err
		}
		if err := state.busy(true); err != nil {
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
	if err := scheduleConfig(next.Config); err != nil {
		return nil, err
	}
	if before == nil {
		if err := i.oneMore(ctx, next); err != nil {
			return nil, err
		}
		if c.Among != nil {
			all, err := i.schedulesAt(ctx, s.Aggregate(), p.ScopeSeq)
			if err != nil {
				return nil, err
			}
			if err := c.Among(all); err != nil {
				return nil, err
			}
		}
	} else if next.ChangedFields = changed(before.Config, next.Config); c.Idempotent && len(next.ChangedFields) == 0 {
		return nil, errKnownSchedule{*before}
	}
	next.Generation = n
	next.Changes = lifecycle.RememberChange(next.Changes, events.ScheduleChange{
		Step: step, Generation: n, Time: events.At(i.now()), RequestID: rq, RequestedBy: s.RequestedBy})
	return next, nil
}

// oneMore refuses a schedule too many of an instance, as the view shows it: those made at the same moment may be a
// few more. The one of the cloud doors can always be made.
func (i *Intake) oneMore(ctx context.Context, s events.Schedule) error {
	if s.Name == events.Automated {
		return nil
	}
	list, _, err := i.view.Schedules(ctx, s.Project, s.Instance, "", maxSchedules)
	if err != nil {
		return fault("list schedules", err)
	}
	if len(list) == maxSchedules {
		return refuse(Exhausted, QuotaExceeded, "instance %s has %d schedules, which is the most: delete one, or change it", s.Instance, maxSchedules)
	}
	return nil
}

// asAsked is the schedule with the change of a request as its last one, if that was made.
func asAsked(s events.Schedule, rq string) (events.Schedule, bool) {
	at := slices.IndexFunc(s.Changes, func(c events.ScheduleChange) bool { return c.RequestID == rq })
	if at < 0 {
		return s, false
	}
	s.Changes = s.Changes[:at+1]
	return s, true
}

// Automated are the schedules called so (events.md 1.5), by the names of their instances; one without has no entry.
func (i *Intake) Automated(ctx context.Context, project string, instances ...string) (map[string]events.Schedule, error) {
	ids, err := automatedIDs(project, instances)
	if err != nil {
		return nil, err
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

// Generations are the numbers of the last changes of the schedules called events.Automated, by the names of their
// instances: also of removed ones, as the next one goes on from there. One that never was has no entry.
func (i *Intake) Generations(ctx context.Context, project string, instances ...string) (map[string]int, error) {
	ids, err := automatedIDs(project, instances)
	if err != nil {
		return nil, err
	}
	numbers, err := i.view.Generations(ctx, project, ids)
	if err != nil {
		return nil, fault("read the schedules", err)
	}
	out := map[string]int{}
	for n, name := range instances {
		if g, there := numbers[ids[n]]; there {
			out[name] = g
		}
	}
	return out, nil
}

func automatedIDs(project string, instances []string) ([]string, error) {
	ids := make([]string, 0, len(instances))
	for _, name := range instances {
		id, err := events.ScheduleID(project, name, "", events.Automated)
		if err != nil {
			return nil, refuse(Invalid, NameInvalid, "%s", err.Error())
		}
		ids = append(ids, id)
	}
	return ids, nil
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
