package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Slot is one due time of a schedule. Its backup's id is a function of both, so that whoever decides on it, and
// however often, decides on the same backup (events.md 1.4).
type Slot struct {
	Schedule events.Schedule
	Due      time.Time
	End      time.Time // of its window: not started by then is overdue
}

// Busy is why a slot cannot be requested now.
type Busy struct{ By events.Backup }

func (b Busy) Error() string {
	return fmt.Sprintf("the instance is busy with backup %s", b.By.BackupID)
}

// RequestSlot appends `backup.requested` for a slot: one that nobody decided on, or that was found overdue. A slot
// that was decided on otherwise comes back as it stands. Busy: another operation has the instance.
func (i *Intake) RequestSlot(ctx context.Context, s Slot) (events.Backup, error) {
	return i.decideSlot(ctx, s, events.Requested, 0, func(ctx context.Context, b events.Backup, last *events.Stored, p events.Prior) (events.Backup, error) {
		if last != nil && lifecycle.PhaseOf(b) != lifecycle.Unrequested {
			return b, errKnown{b}
		}
		inst, err := i.instanceOf(ctx, s.Schedule)
		if err != nil {
			return b, err
		}
		b.Engine, b.EngineVersion = inst.Config.Engine, inst.Config.EngineVersion
		if b.Location == "" {
			b.Location = inst.Config.Region
		}
		state, err := i.instanceState(ctx, b.Aggregate(), p.ScopeSeq)
		if err != nil {
			return b, err
		}
		if busy, ok := state.rival(b, b.Provider == "cloudsql"); ok {
			return b, Busy{busy}
		}
		b = asSpanner(b, s.Schedule.Config.Spanner)
		if b.MaxAttempts = s.Schedule.Config.MaxAttempts; b.MaxAttempts == 0 {
			b.MaxAttempts = i.c.MaxAttempts
		}
		return b, nil
	})
}

// asSpanner gives a slot's backup what that door's schedules say of each (spanner.md 4.10).
func asSpanner(b events.Backup, c *events.SpannerSettings) events.Backup {
	if b.Provider == "spanner" {
		b.ConsistencyTime = b.DueTime
	}
	if c == nil {
		return b
	}
	b.Encryption = c.Encryption
	if c.RetentionSeconds > 0 {
		b.ExpireTime = events.At(b.EnqueuedTime.Add(time.Duration(c.RetentionSeconds) * time.Second))
	}
	return b
}

// SkipSlot appends `backup.skipped` for a slot that nobody asked for.
func (i *Intake) SkipSlot(ctx context.Context, s Slot, why events.Skip) (events.Backup, error) {
	return i.decideSlot(ctx, s, events.Skipped, 0, func(_ context.Context, b events.Backup, last *events.Stored, _ events.Prior) (events.Backup, error) {
		if last != nil && lifecycle.PhaseOf(b) != lifecycle.Unrequested {
			return b, errKnown{b}
		}
		why.Time = events.At(i.now())
		b.Skip = &why
		return b, nil
	})
}

// OverdueSlot appends `backup.overdue` for a slot that has not started by its end, or still runs then. A slot that
// is over, or was said to be overdue before, comes back as it stands.
func (i *Intake) OverdueSlot(ctx context.Context, s Slot) (events.Backup, error) {
	for range maxRounds {
		b, err := i.overdueOnce(ctx, s)
		if !errors.Is(err, errMoved) {
			return b, err
		}
	}
	return events.Backup{}, refuse(Unavailable, BusUnavailable, "others keep changing the backup of schedule %s", s.Schedule.Name)
}

func (i *Intake) overdueOnce(ctx context.Context, s Slot) (events.Backup, error) {
	b, err := i.slotDraft(s)
	if err != nil {
		return b, err
	}
	last, found, err := i.last(ctx, b.Aggregate())
	if err != nil {
		return b, fault("read the slot", err)
	}
	n := notStarted
	if found {
		if b, err = events.Decode[events.Backup](last.Event); err != nil {
			return b, fault("read the slot", err)
		}
		switch {
		case lifecycle.PhaseOf(b) == lifecycle.Working && (b.Overdue == nil || !b.Overdue.Started):
			n = stillRunning
		case lifecycle.PhaseOf(b) != lifecycle.Waiting || b.Overdue != nil:
			return b, nil
		}
	}
	blocker, err := i.blocker(ctx, b)
	if err != nil {
		return b, err
	}
	note := events.OverdueNote{SinceTime: events.At(s.End), LateByMs: max(0, i.now().Sub(s.End).Milliseconds()), Requested: b.EverRequested(),
		Started: n == stillRunning, BlockedByBackupID: blocker}
	if note.LastSuccessBackupID, note.LastSuccessTime, err = i.lastSuccess(ctx, b); err != nil {
		return b, err
	}
	was := last.ID
	return i.decideSlot(ctx, s, events.Overdue, n, func(_ context.Context, b events.Backup, last *events.Stored, _ events.Prior) (events.Backup, error) {
		if last != nil && last.ID != was || last == nil && was != "" {
			return b, errMoved
		}
		b.Overdue = &note
		return b, nil
	})
}

// The numbers of `overdue` (events.md 1.4).
const (
	notStarted   = 1
	stillRunning = 2
)

// decideSlot appends a step to the backup of a slot; move gets it as it stands, or as it would begin.
func (i *Intake) decideSlot(ctx context.Context, s Slot, step events.Step, n int,
	move func(ctx context.Context, b events.Backup, last *events.Stored, p events.Prior) (events.Backup, error),
) (events.Backup, error) {
	draft, err := i.slotDraft(s)
	if err != nil {
		return draft, err
	}
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: draft.Aggregate(), Step: step, Scope: events.ScopeInstance, At: i.now(),
		EventID: events.EventID(draft.BackupID, events.Backups, step, n), Cause: events.Cause{CorrelationID: draft.RequestID},
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			b := draft
			if p.Last != nil {
				if b, err = events.Decode[events.Backup](p.Last.Event); err != nil {
					return nil, err
				}
			}
			next, err := move(ctx, b, p.Last, p)
			if err != nil {
				return nil, err
			}
			if p.Last == nil {
				if next, err = i.numbered(ctx, next, s.Due, p.ScopeSeq); err != nil {
					return nil, err
				}
			}
			return lifecycle.Advance(next, step)
		},
	})
	var known errKnown
	var busy Busy
	switch {
	case errors.As(err, &known):
		return known.Backup, nil
	case errors.As(err, &busy):
		return draft, busy
	case errors.Is(err, errMoved):
		return draft, err
	case err != nil:
		return draft, fault("append the slot", err)
	}
	i.visible(ctx, draft.Project, done.Seq)
	b, err := events.Decode[events.Backup](done.Event)
	return b, fault("read back the slot", err)
}

// numbered gives a new record its ids: the number of Cloud SQL comes from the window's start.
func (i *Intake) numbered(ctx context.Context, b events.Backup, due time.Time, scopeSeq uint64) (events.Backup, error) {
	state, err := i.instanceState(ctx, b.Aggregate(), scopeSeq)
	if err != nil {
		return b, err
	}
	for at := due; ; at = at.Add(time.Millisecond) {
		b.WindowStartTime = events.At(at)
		b.IDs = events.NewBackupIDs(b.BackupID, "", at)
		free, err := state.free(ctx, i.view, b)
		if err != nil || free {
			return b, err
		}
	}
}

func (i *Intake) slotDraft(s Slot) (events.Backup, error) {
	sc := s.Schedule
	source, err := sc.Aggregate().Source(i.c.Bus)
	if err != nil {
		return events.Backup{}, fault("name the schedule", err)
	}
	o := events.Origin{Source: source, Key: s.Due.UTC().Format(time.RFC3339)}
	id, err := events.BackupID(sc.Project, o)
	if err != nil {
		return events.Backup{}, fault("name the slot", err)
	}
	rq, err := events.RequestID(sc.Project, o)
	if err != nil {
		return events.Backup{}, fault("name the slot", err)
	}
	b := events.Backup{
		BackupID: id, Project: sc.Project, Provider: sc.Provider, Instance: sc.Instance, Database: sc.Database, RequestID: rq,
		Trigger: events.Scheduled, Door: "schedule", ScheduleID: sc.ScheduleID, Verification: events.NotVerified,
		DueTime: events.At(s.Due), WindowStartTime: events.At(s.Due), WindowEndTime: events.At(s.End), EnqueuedTime: events.At(i.now()),
	}
	if sc.Config.CloudSQL != nil {
		b.Location = sc.Config.CloudSQL.Location
	}
	return b, nil
}

// instanceOf is the instance of a schedule as it stands in the log.
func (i *Intake) instanceOf(ctx context.Context, s events.Schedule) (events.Instance, error) {
	id, err := events.InstanceID(s.Project, s.Provider, s.Instance)
	if err != nil {
		return events.Instance{}, fault("name the instance", err)
	}
	return i.standing(ctx, events.Aggregate{Project: s.Project, Provider: s.Provider, Instance: s.Instance, Entity: events.Instances, ID: id})
}

// blocker is the backup that stands in the way of b, or that a restore reads which does; empty if there is none.
func (i *Intake) blocker(ctx context.Context, b events.Backup) (string, error) {
	state, err := i.stateNow(ctx, b.Aggregate())
	if err != nil {
		return "", fault("look for what blocks the slot", err)
	}
	delete(state.backups, b.BackupID)
	busy, _ := state.rival(b, b.Provider == "cloudsql")
	return busy.BackupID, nil
}

// lastSuccess is the instance's last good backup, as the log has it. A copy of another instance's is none.
func (i *Intake) lastSuccess(ctx context.Context, b events.Backup) (id string, at events.Time, err error) {
	filter, err := b.Aggregate().SiblingsFilter(events.Succeeded)
	if err != nil {
		return "", at, fault("look for the last good backup", err)
	}
	last, found, err := i.log.Last(ctx, filter)
	if err != nil || !found {
		return "", at, fault("look for the last good backup", err)
	}
	good, err := events.Decode[events.Backup](last.Event)
	if err == nil && lifecycle.Foreign(good) {
		good, err = i.lastOwn(ctx, filter)
	}
	if err != nil {
		return "", at, fault("look for the last good backup", err)
	}
	return good.BackupID, good.EndTime, nil
}

// lastOwn is the last of the events of a filter whose backup is of its own instance; none: the zero record. It reads them
// all, so it is for when the last one is not.
func (i *Intake) lastOwn(ctx context.Context, filter string) (own events.Backup, err error) {
	_, err = i.log.Scan(ctx, filter, 1, false, func(_ string, ev events.Stored) error {
		if b, err := events.Decode[events.Backup](ev.Event); err == nil && !lifecycle.Foreign(b) {
			own = b
		}
		return nil // what cannot be read the tracker puts among the dead letters
	})
	return own, err
}
