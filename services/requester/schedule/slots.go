package schedule

import (
	"context"
	"errors"
	"slices"
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
	if err := s.prune(ctx, *sc); err != nil { // before the new backup, whose success prunes by itself
		return err
	}
	first := time.Unix(t.Due, 0).UTC()
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
// it is one that is made up for. One whose schedule was paused meanwhile is skipped.
func (s *Scheduler) retried(ctx context.Context, t tick) error {
	sc, err := s.current(ctx, t.aggregate())
	if err != nil || sc == nil {
		return err
	}
	slot := slotOf(*sc, time.Unix(t.Due, 0).UTC())
	if sc.Config.Paused {
		return s.skip(ctx, slot, paused)
	}
	if sc.Generation != t.Generation {
		return nil // the change that came since has armed what is due
	}
	if s.now().Before(slot.End) {
		return s.start(ctx, slot)
	}
	b, err := s.in.BackupDue(ctx, *sc, slot.Due)
	if err != nil || b.State != lifecycle.Overdue || sc.Config.Missed == events.MissedSkip {
		return ignoreMissing(err)
	}
	return s.start(ctx, slot)
}

var paused = events.Skip{Reason: "SCHEDULE_PAUSED", Message: "the schedule was paused after the backup was due and before it was asked for"}

func ignoreMissing(err error) error {
	if intake.KindOf(err) == intake.NotFound {
		return nil
	}
	return err
}

// windowEnded finds a slot overdue that has not started by its end, or runs past it. Of a schedule that changed
// since, only a slot that was asked for counts: the others were taken back. A pause takes back what was due before
// it with a word.
func (s *Scheduler) windowEnded(ctx context.Context, t tick) error {
	ev, sc, err := s.last(ctx, t.aggregate())
	if err != nil || sc == nil || ev.Step() == events.Deleted {
		return err
	}
	slot := slotOf(*sc, time.Unix(t.Due, 0).UTC())
	if sc.Generation != t.Generation || sc.Config.Paused {
		asked, err := s.asked(ctx, slot)
		if err != nil {
			return err
		}
		if !asked {
			if sc.Config.Paused && slices.Contains(sc.ChangedFields, "config.paused") && slot.Due.Before(ev.Time) {
				return s.skip(ctx, slot, paused)
			}
			return nil
		}
	}
	_, err = s.in.OverdueSlot(ctx, slot)
	return err
}

// asked tells whether the backup of a slot was asked for.
func (s *Scheduler) asked(ctx context.Context, slot intake.Slot) (bool, error) {
	b, err := s.in.BackupDue(ctx, slot.Schedule, slot.Due)
	if intake.KindOf(err) == intake.NotFound {
		return false, nil
	}
	return err == nil && b.EverRequested(), err
}
