package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
)

// Intake is the use case that slots and deletions go through (*intake.Intake).
type Intake interface {
	RequestSlot(ctx context.Context, s intake.Slot) (events.Backup, error)
	SkipSlot(ctx context.Context, s intake.Slot, why events.Skip) (events.Backup, error)
	OverdueSlot(ctx context.Context, s intake.Slot) (events.Backup, error)
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	BackupDue(ctx context.Context, s events.Schedule, due time.Time) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Await(ctx context.Context, a events.Aggregate) error // until Backups shows what the log has of the instance
}

// Log is the truth about schedules.
type Log interface {
	Last(ctx context.Context, filter string) (events.Stored, bool, error)
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
}

// Timers tell of a time once; whoever armed one may be gone by then.
type Timers interface {
	Arm(ctx context.Context, key string, at time.Time, data []byte) error
	Disarm(ctx context.Context, key string) error
	Armed(ctx context.Context, prefix string) (map[string]bool, error)
}

// Scheduler decides on ticks and events. Safe for concurrent use; any number of replicas may share the work.
type Scheduler struct {
	in     Intake
	log    Log
	timers Timers
	now    func() time.Time
	slog   *slog.Logger
}

// New makes a Scheduler.
func New(in Intake, log Log, timers Timers, now func() time.Time, l *slog.Logger) *Scheduler {
	return &Scheduler{in: in, log: log, timers: timers, now: now, slog: l}
}

const (
	// defaultWindow is how late a backup may start whose schedule names no window.
	defaultWindow = time.Hour
	// retryEvery is how often a slot asks again whose instance is busy.
	retryEvery = time.Minute
	// maxMissed bounds how many due times of one schedule are looked back at.
	maxMissed = 1000
)

// The kinds of timers: the first token of their keys.
const (
	slotTimer     = "slot"
	deadlineTimer = "deadline"
	retryTimer    = "retry"
	expireTimer   = "expire"
	deleteTimer   = "delete"
)

// tick is what a timer carries.
type tick struct {
	Project    string `json:"p"`
	Provider   string `json:"v,omitempty"`
	Instance   string `json:"i,omitempty"`
	Schedule   string `json:"s,omitempty"`
	Generation int    `json:"g,omitempty"`
	Due        int64  `json:"d,omitempty"` // Unix seconds
	Backup     string `json:"b,omitempty"`
}

func (t tick) aggregate() events.Aggregate {
	return events.Aggregate{Project: t.Project, Provider: t.Provider, Instance: t.Instance, Entity: events.Schedules, ID: t.Schedule}
}

func (t tick) due() time.Time { return time.Unix(t.Due, 0).UTC() }

func (s *Scheduler) arm(ctx context.Context, key string, at time.Time, t tick) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.timers.Arm(ctx, key, at, data)
}

// Tick decides on a timer that has gone out. An error means that it must come again.
func (s *Scheduler) Tick(ctx context.Context, key string, data []byte) error {
	var t tick
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("timer %s: %w", key, err)
	}
	switch kind, _, _ := strings.Cut(key, "."); kind {
	case slotTimer:
		return s.slotDue(ctx, t)
	case retryTimer, deadlineTimer:
		if t.Due > 0 && s.now().Sub(time.Unix(t.Due, 0)) > events.LeastHistory {
			return nil // its slot may have been decided on and forgotten (events.md 4.4)
		}
		if kind == retryTimer {
			return s.retried(ctx, t)
		}
		return s.windowEnded(ctx, t)
	case expireTimer, deleteTimer:
		return s.expired(ctx, t)
	}
	return fmt.Errorf("timer %s: nobody knows its kind", key)
}

// Happened arms what an event of a schedule or a backup makes due.
func (s *Scheduler) Happened(ctx context.Context, ev events.Stored) error {
	switch ev.Entity() {
	case events.Schedules:
		sc, err := events.Decode[events.Schedule](ev.Event)
		if err != nil {
			return err
		}
		return s.changed(ctx, sc, ev)
	case events.Backups:
		b, err := events.Decode[events.Backup](ev.Event)
		if err != nil {
			return err
		}
		return s.backupMoved(ctx, ev, b)
	}
	return nil
}

// changed arms the next slot of a schedule that is there, and disarms that of one that is not. A change that
// touches no time keeps a slot that is due but waits for its spread; one that does begins from now, so that
// nothing fires that was not due before.
func (s *Scheduler) changed(ctx context.Context, sc events.Schedule, ev events.Stored) error {
	_, now, err := s.last(ctx, sc.Aggregate())
	if err != nil || now == nil || now.Generation != sc.Generation {
		return err // a later change arms, or its removal disarms
	}
	if ev.Step() == events.Deleted || sc.Config.Paused {
		return s.timers.Disarm(ctx, slotKey(sc))
	}
	from := ev.Time
	if ev.Step() == events.Updated && !slices.ContainsFunc(sc.ChangedFields, timing) {
		from = from.Add(-time.Duration(sc.Config.SpreadSeconds) * time.Second)
	}
	if err := s.armNext(ctx, sc, from); err != nil {
		return err
	}
	return s.prune(ctx, sc)
}

func timing(field string) bool {
	return slices.Contains([]string{"config.cron", "config.everySeconds", "config.timeZone", "config.paused", "config.spreadSeconds"}, field)
}

// armNext arms the first slot after a moment, and its deadline before it. What was due before history ends may have been
// decided on and purged (events.md 4.4), so it is not made again.
func (s *Scheduler) armNext(ctx context.Context, sc events.Schedule, after time.Time) error {
	if end := s.now().Add(-events.LeastHistory); after.Before(end) {
		after = end
	}
	times, err := due.New(sc.Config)
	if err != nil {
		s.slog.ErrorContext(ctx, "schedule cannot be read", "schedule_id", sc.ScheduleID, "error", err.Error())
		return nil // it was refused when it was made; coming again mends nothing
	}
	next := times.Next(after)
	if next.IsZero() {
		return s.timers.Disarm(ctx, slotKey(sc))
	}
	t := tickOf(sc, next)
	if err := s.arm(ctx, deadlineKey(sc, next), slotOf(sc, next).End, t); err != nil {
		return err
	}
	spread := due.Spread(sc.ScheduleID, next, time.Duration(sc.Config.SpreadSeconds)*time.Second)
	return s.arm(ctx, slotKey(sc), next.Add(spread), t)
}

func tickOf(sc events.Schedule, at time.Time) tick {
	return tick{Project: sc.Project, Provider: sc.Provider, Instance: sc.Instance, Schedule: sc.ScheduleID, Generation: sc.Generation, Due: at.Unix()}
}

func slotKey(sc events.Schedule) string { return slotTimer + "." + sc.ScheduleID }

func deadlineKey(sc events.Schedule, at time.Time) string {
	return fmt.Sprintf("%s.%s.%d", deadlineTimer, sc.ScheduleID, at.Unix())
}

func retryKey(sc events.Schedule, at time.Time) string {
	return fmt.Sprintf("%s.%s.%d", retryTimer, sc.ScheduleID, at.Unix())
}

// slotOf is a due time with the end of its window.
func slotOf(sc events.Schedule, at time.Time) intake.Slot {
	window := defaultWindow
	switch c := sc.Config; {
	case c.OverdueAfterSeconds > 0:
		window = time.Duration(c.OverdueAfterSeconds) * time.Second
	case c.WindowSeconds > 0:
		window = time.Duration(c.WindowSeconds) * time.Second
	}
	return intake.Slot{Schedule: sc, Due: at, End: at.Add(window)}
}

// current is a schedule as it stands in the log; nil if it was removed, or never was.
func (s *Scheduler) current(ctx context.Context, a events.Aggregate) (*events.Schedule, error) {
	last, sc, err := s.last(ctx, a)
	if err != nil || last.Step() == events.Deleted {
		return nil, err
	}
	return sc, nil
}

// last is the last event of a schedule, with its record; nil if there is none.
func (s *Scheduler) last(ctx context.Context, a events.Aggregate) (events.Stored, *events.Schedule, error) {
	scope, err := a.Scope()
	if err != nil {
		return events.Stored{}, nil, err
	}
	last, found, err := s.log.Last(ctx, scope)
	if err != nil || !found {
		return last, nil, err
	}
	sc, err := events.Decode[events.Schedule](last.Event)
	return last, &sc, err
}

// asOf is a schedule as it stood at a time; nil if it was not there.
func (s *Scheduler) asOf(ctx context.Context, a events.Aggregate, at time.Time) (*events.Schedule, error) {
	scope, err := a.Scope()
	if err != nil {
		return nil, err
	}
	var then *events.Schedule
	_, err = s.log.Scan(ctx, scope, 1, false, func(_ string, ev events.Stored) error {
		if ev.Time.After(at) {
			return nil
		}
		if then = nil; ev.Step() == events.Deleted {
			return nil
		}
		sc, err := events.Decode[events.Schedule](ev.Event)
		then = &sc
		return err
	})
	return then, err
}

func (s *Scheduler) scheduleOf(ctx context.Context, t tick) (*events.Schedule, error) {
	sc, err := s.current(ctx, t.aggregate())
	if err != nil || sc == nil || sc.Generation == t.Generation {
		return sc, err
	}
	return nil, nil //nolint:nilnil // the change that came since has armed what is due
}

// Reconcile arms the slot of every schedule that should have one armed and has not: a timer that was lost, or
// that nobody armed. It goes on from the last slot that is known, so that what was missed is seen.
func (s *Scheduler) Reconcile(ctx context.Context) error {
	armed, err := s.timers.Armed(ctx, slotTimer)
	if err != nil {
		return err
	}
	var lost []events.Stored
	_, err = s.log.Scan(ctx, events.SchedulesFilter, 1, true, func(_ string, ev events.Stored) error {
		if ev.Step() != events.Deleted && !armed[slotTimer+"."+ev.PartitionKey] {
			lost = append(lost, ev)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, ev := range lost {
		sc, err := events.Decode[events.Schedule](ev.Event)
		if err != nil || sc.Config.Paused {
			continue // unreadable ones are the tracker's to report
		}
		now, err := s.current(ctx, sc.Aggregate())
		if err != nil || now == nil || now.Generation != sc.Generation {
			errs = append(errs, err)
			continue
		}
		last, err := s.lastSlot(ctx, sc, ev.Time)
		if err == nil {
			s.slog.InfoContext(ctx, "timer of a schedule was not armed", "schedule_id", sc.ScheduleID, "after", last)
			err = s.armNext(ctx, sc, last)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lastSlot is the due time of the newest slot of a schedule that was decided on, at least since.
func (s *Scheduler) lastSlot(ctx context.Context, sc events.Schedule, since time.Time) (time.Time, error) {
	list, _, err := s.in.Backups(ctx, sc.Project, sc.Instance, "", 100)
	for _, b := range list {
		if b.ScheduleID == sc.ScheduleID && b.DueTime.After(since) {
			since = b.DueTime.Time
		}
	}
	return since, err
}
