package schedule

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule/retention"
)

// byPolicy is the cause of deletions that a policy or an expiry asks for (events.md 2.1).
const byPolicy = "RETENTION"

// Preview says what a schedule's retention would keep and delete now.
func Preview(ctx context.Context, in interface {
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
}, sc events.Schedule, now time.Time,
) ([]retention.Verdict, error) {
	zone, err := time.LoadLocation(sc.Config.TimeZone)
	if err != nil {
		return nil, err
	}
	var all []events.Backup
	for cursor := ""; ; {
		list, next, err := in.Backups(ctx, sc.Project, sc.Instance, cursor, 1000)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			if b.ScheduleID == sc.ScheduleID && b.Trigger == events.Scheduled {
				all = append(all, b)
			}
		}
		if next == "" {
			return retention.Decide(sc.Config.Retention, zone, now, all), nil
		}
		cursor = next
	}
}

// prune asks for the deletion of what the retention does not keep: just what Preview lists.
func (s *Scheduler) prune(ctx context.Context, sc events.Schedule) error {
	if sc.Config.Retention == nil {
		return nil
	}
	// Another requester may have deleted what this one still reads: it must not count as kept.
	if err := s.in.Await(ctx, sc.Aggregate()); err != nil {
		return err
	}
	verdicts, err := Preview(ctx, s.in, sc, s.now())
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.Keep {
			continue
		}
		// a deletion that another requester asked for and that has failed since has its own time to be tried again
		asked, err := s.remove(ctx, v.Backup, intake.Change{Newest: retention.Newest(verdicts), Still: lifecycle.Kept})
		if err != nil {
			return err
		}
		if !asked {
			continue
		}
		s.slog.InfoContext(ctx, "backup goes by retention", "backup_id", v.Backup.BackupID, "schedule_id", sc.ScheduleID, "why", v.Why)
	}
	return nil
}

// Pauses before a deletion by policy is tried again: it doubles with each try.
const (
	firstRetry = time.Minute
	lastRetry  = 24 * time.Hour
)

// remove asks for the deletion of a backup; false if it cannot be deleted now, because a restore reads it, it is
// held or the instance is busy: then it is tried again later. c says on what the deletion depends. Still is asked with the
// backup as it stands in the log, as it may be kept longer than this process has seen: then its expiry is armed.
func (s *Scheduler) remove(ctx context.Context, b events.Backup, c intake.Change) (bool, error) {
	kept := false
	c.Caller, c.Project, c.BackupID, c.Cause = intake.Caller{Door: "schedule"}, b.Project, b.BackupID, byPolicy
	again := insisted(b)
	if again {
		c.Cause, c.Insist = b.Deletion.Cause, true
	}
	if due := c.Still; due != nil {
		c.Still = func(now events.Backup) bool {
			kept = !due(now)
			b = now
			return !kept
		}
	}
	_, err := s.in.Delete(ctx, c)
	switch intake.KindOf(err) {
	case intake.NotFound:
		return false, nil
	case intake.Conflict:
		if kept {
			if s.over(b) { // what has not gone then has its own time to be tried again
				return false, nil
			}
			return false, s.armExpiry(ctx, b)
		}
		// what is only surplus is met again at the next slot
		if s.over(b) || again {
			return false, s.arm(ctx, expireTimer+"."+b.BackupID, s.now().Add(10*firstRetry), tick{Project: b.Project, Backup: b.BackupID})
		}
		return false, nil
	}
	return err == nil, err
}

func (s *Scheduler) armRemoval(ctx context.Context, b events.Backup, at time.Time) error {
	return s.arm(ctx, deleteTimer+"."+b.BackupID, at, tick{Project: b.Project, Backup: b.BackupID})
}

// insisted tells that a deletion failed whose caller was told that the backup is gone.
func insisted(b events.Backup) bool {
	d := lifecycle.FailedDeletion(b)
	return d != nil && d.Insist
}

// backupMoved prunes after a success, arms an expiry, and tries a deletion by policy again that failed.
func (s *Scheduler) backupMoved(ctx context.Context, ev events.Stored, b events.Backup) error {
	switch ev.Step() {
	case events.DeletionFailed:
		if b.Deletion == nil || b.Deletion.Cause != byPolicy && !b.Deletion.Insist {
			return nil
		}
		pause := lastRetry
		if b.Deletion.Try < 12 {
			pause = min(lastRetry, firstRetry<<b.Deletion.Try)
		}
		return s.armRemoval(ctx, b, s.now().Add(pause))
	case events.Succeeded, events.Updated:
		if err := s.armExpiry(ctx, b); err != nil {
			return err
		}
	}
	if ev.Step() != events.Succeeded || b.ScheduleID == "" {
		return nil
	}
	sc, err := s.current(ctx, events.Aggregate{Project: b.Project, Provider: b.Provider, Instance: b.Instance, Entity: events.Schedules, ID: b.ScheduleID})
	if err != nil || sc == nil || sc.Config.Paused {
		return err
	}
	return s.prune(ctx, *sc)
}

func (s *Scheduler) armExpiry(ctx context.Context, b events.Backup) error {
	key := expireTimer + "." + b.BackupID
	if b.ExpireTime.IsZero() {
		return s.timers.Disarm(ctx, key)
	}
	return s.arm(ctx, key, b.ExpireTime.Time, tick{Project: b.Project, Backup: b.BackupID})
}

// expired deletes a backup whose time has come: its expiry, or the next try of a deletion by policy.
func (s *Scheduler) expired(ctx context.Context, t tick) error {
	b, err := s.in.Backup(ctx, t.Project, t.Backup)
	if intake.KindOf(err) == intake.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case s.goes(b):
		c := intake.Change{Still: s.goes}
		if !insisted(b) && !s.over(b) { // by a policy, which leaves the newest, and that may be gone by now
			if c.Newest, err = s.newest(ctx, b); err != nil {
				return err
			}
			if c.Newest == "" {
				return s.armRemoval(ctx, b, s.now().Add(lastRetry))
			}
		}
		_, err = s.remove(ctx, b, c)
	case lifecycle.Good(b) && !b.ExpireTime.IsZero(): // it is kept longer than when this was armed
		err = s.armExpiry(ctx, b)
	}
	return err
}

// newest is the newest sound backup of the schedule of one; empty if there is none.
func (s *Scheduler) newest(ctx context.Context, b events.Backup) (string, error) {
	sc := events.Schedule{Project: b.Project, Provider: b.Provider, Instance: b.Instance, ScheduleID: b.ScheduleID}
	if err := s.in.Await(ctx, sc.Aggregate()); err != nil {
		return "", err
	}
	all, err := Preview(ctx, s.in, sc, s.now())
	return retention.Newest(all), err
}

// goes tells whether the time of a backup has come: its expiry, or a deletion that is to be tried again. One by policy
// is not if somebody has changed the backup since and it is to be kept for now.
func (s *Scheduler) goes(b events.Backup) bool {
	if insisted(b) || s.over(b) && lifecycle.Good(b) {
		return true
	}
	d := lifecycle.FailedDeletion(b)
	if d == nil || d.Cause != byPolicy {
		return false
	}
	return b.ExpireTime.IsZero() || s.over(b) || b.Update == nil || !b.Update.RequestTime.After(d.RequestTime.Time)
}

// over tells that the expiry of a backup has come.
func (s *Scheduler) over(b events.Backup) bool {
	return !b.ExpireTime.IsZero() && !b.ExpireTime.After(s.now())
}
