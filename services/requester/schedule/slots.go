package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
)

// slotDue decides on a due time, and on those that passed since while nobody was there, and arms the next.
func (s *Scheduler) slotDue(ctx context.Context, t tick) error {
	sc, err := s.scheduleOf(ctx, t)
	if err != nil || sc == nil {
		return err
	}
	if sc.Config.Paused {
		return nil
	}
	times, err := due.New(sc.Config)
	if err != nil {
		return nil //nolint:nilerr // as in armNext
	}
	// Before the new backup, whose success prunes by itself, and never in its way.
	if err := s.prune(ctx, *sc); err != nil {
		s.slog.WarnContext(ctx, "retention not applied before a slot", "schedule_id", sc.ScheduleID, "error", err.Error())
	}
	first := t.due()
	slots := []intake.Slot{slotOf(*sc, first)}
	last := first
	for range maxMissed {
		next := times.Next(last)
		if next.IsZero() || next.Add(due.Spread(sc.ScheduleID, next, time.Duration(sc.Config.SpreadSeconds)*time.Second)).After(s.now()) {
			break
		}
		last = next
		slots = append(slots, slotOf(*sc, next))
	}
	for n, slot := range slots {
		if err := s.decide(ctx, slot, n == len(slots)-1); err != nil {
			return err
		}
	}
	return s.armNext(ctx, *sc, last)
}

// decide starts a slot whose window is open. One that has ended is overdue, and is made up for as the schedule
// says: the newest (ONCE), none (SKIP), or each (ALL).
func (s *Scheduler) decide(ctx context.Context, slot intake.Slot, newest bool) error {
	if !s.now().After(slot.End) {
		return s.start(ctx, slot)
	}
	if _, err := s.in.OverdueSlot(ctx, slot); err != nil {
		return err
	}
	switch slot.Schedule.Config.Missed {
	case events.MissedSkip:
		return nil
	case events.MissedAll:
		return s.start(ctx, slot)
	}
	if newest {
		return s.start(ctx, slot)
	}
	return nil
}

// start asks for the backup of a slot, or says why it is not taken. An instance that is busy is asked again until
// the window ends, without a window not at all; a slot that is made up for waits for as long as it takes.
func (s *Scheduler) start(ctx context.Context, slot intake.Slot) error {
	c := slot.Schedule.Config
	if c.CloudSQL != nil && c.CloudSQL.ActivationPolicy == "NEVER" {
		return s.skip(ctx, slot, events.Skip{Reason: "INSTANCE_STOPPED", Message: "the instance is stopped by its activation policy"})
	}
	_, err := s.in.RequestSlot(ctx, slot)
	var busy intake.Busy
	var refused *intake.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &busy) && s.now().After(slot.End): // it is made up for, late as it is
		return s.arm(ctx, retryKey(slot.Schedule, slot.Due), s.now().Add(retryEvery), tickOf(slot.Schedule, slot.Due))
	case errors.As(err, &busy) && lifecycle.PhaseOf(busy.By) == lifecycle.Waiting:
		return s.skip(ctx, slot, events.Skip{Reason: "ALREADY_QUEUED", Message: "backup " + busy.By.BackupID + " of the instance waits to be taken"})
	case errors.As(err, &busy) && c.WindowSeconds == 0:
		return s.skip(ctx, slot, events.Skip{Reason: "PREVIOUS_STILL_RUNNING", Message: "backup " + busy.By.BackupID + " of the instance is still at work"})
	case errors.As(err, &busy):
		at := s.now().Add(retryEvery)
		if at.After(slot.End) {
			at = slot.End
		}
		return s.arm(ctx, retryKey(slot.Schedule, slot.Due), at, tickOf(slot.Schedule, slot.Due))
	case errors.As(err, &refused) && refused.Reason == intake.InstanceNotFound:
		return s.skip(ctx, slot, events.Skip{Reason: "INSTANCE_DEREGISTERED", Message: "the instance is not registered any more"})
	}
	return err
}

func (s *Scheduler) skip(ctx context.Context, slot intake.Slot, why events.Skip) error {
	_, err := s.in.SkipSlot(ctx, slot, why)
	return err
}

// retried asks again for a slot that found its instance busy. At its end the deadline's tick has the word, unless
// it is one that is made up for.
func (s *Scheduler) retried(ctx context.Context, t tick) error {
	sc, why, err := s.standing(ctx, t)
	if err != nil || sc == nil {
		return err
	}
	slot := slotOf(*sc, t.due())
	if why != nil {
		return s.skip(ctx, slot, *why)
	}
	if s.now().Before(slot.End) {
		return s.start(ctx, slot)
	}
	b, err := s.in.BackupDue(ctx, *sc, slot.Due)
	if err != nil || lifecycle.PhaseOf(b) != lifecycle.Unrequested || sc.Config.Missed == events.MissedSkip {
		return ignoreMissing(err)
	}
	return s.start(ctx, slot)
}

func ignoreMissing(err error) error {
	if intake.KindOf(err) == intake.NotFound {
		return nil
	}
	return err
}

// windowEnded finds a slot overdue that has not started by its end, or runs past it.
func (s *Scheduler) windowEnded(ctx context.Context, t tick) error {
	sc, why, err := s.standing(ctx, t)
	if err != nil || sc == nil {
		return err
	}
	slot := slotOf(*sc, t.due())
	if why != nil {
		asked, err := s.asked(ctx, slot)
		if err != nil {
			return err
		}
		if !asked {
			return s.skip(ctx, slot, *why)
		}
	}
	_, err = s.in.OverdueSlot(ctx, slot)
	return err
}

// standing is the schedule of a slot that was due, as it is now; nil if it is gone, or was paused or otherwise when
// the slot was due: then there was no slot. A pause or a change of its times since takes back what was not asked
// for, with a word.
func (s *Scheduler) standing(ctx context.Context, t tick) (sc *events.Schedule, why *events.Skip, err error) {
	if sc, err = s.current(ctx, t.aggregate()); err != nil || sc == nil {
		return nil, nil, err
	}
	if sc.Generation == t.Generation && !sc.Config.Paused {
		return sc, nil, nil
	}
	then, err := s.asOf(ctx, t.aggregate(), t.due())
	switch {
	case err != nil || then == nil || then.Config.Paused || !isDue(then.Config, t.due()):
		return nil, nil, err
	case sc.Config.Paused:
		return sc, &events.Skip{Reason: "SCHEDULE_PAUSED", Message: "the schedule was paused after the backup was due and before it was asked for"}, nil
	case !isDue(sc.Config, t.due()):
		return sc, &events.Skip{Reason: "SCHEDULE_CHANGED", Message: "the times of the schedule were changed after the backup was due and before it was asked for"}, nil
	}
	return sc, nil, nil
}

// isDue tells whether a configuration makes a backup due at a time.
func isDue(c events.ScheduleConfig, at time.Time) bool {
	times, err := due.New(c)
	return err == nil && times.Next(at.Add(-time.Second)).Equal(at)
}

// asked tells whether the backup of a slot was asked for.
func (s *Scheduler) asked(ctx context.Context, slot intake.Slot) (bool, error) {
	b, err := s.in.BackupDue(ctx, slot.Schedule, slot.Due)
	if intake.KindOf(err) == intake.NotFound {
		return false, nil
	}
	return err == nil && b.EverRequested(), err
}
