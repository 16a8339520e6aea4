package intake

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
)

// Bounds of a schedule. More is a mistake in the unit.
const (
	maxWindow    = 31 * 24 * time.Hour
	maxSpread    = time.Hour // of a schedule without a window
	maxKept      = 10_000    // of each kind
	maxTries     = 20
	maxSchedules = 20 // of an instance
)

var missedWords = []events.Missed{"", events.MissedOnce, events.MissedSkip, events.MissedAll}

// scheduleConfig checks what a schedule would be made with. What is refused here never comes to be due.
func scheduleConfig(c events.ScheduleConfig) error {
	if _, err := due.New(c); err != nil {
		return refuse(Invalid, SchemaViolation, "config: %s", events.Redact(err.Error()))
	}
	if err := window(c); err != nil {
		return err
	}
	switch {
	case !slices.Contains(missedWords, c.Missed):
		return refuse(Invalid, SchemaViolation, "config.missed %q is none of ONCE, SKIP, ALL", events.Clip(string(c.Missed), 40))
	case c.MaxAttempts < 0 || c.MaxAttempts > maxTries:
		return refuse(Invalid, SchemaViolation, "config.maxAttempts is 1 to %d; absent: as the server is set", maxTries)
	}
	return retention(c.Retention)
}

// window checks how long after a due time a backup may start, and how it is spread.
func window(c events.ScheduleConfig) error {
	if !upTo(c.WindowSeconds, maxWindow) {
		return refuse(Invalid, SchemaViolation, "config.windowSeconds is 0 to %d (31 days)", seconds(maxWindow))
	}
	if !upTo(c.OverdueAfterSeconds, maxWindow) {
		return refuse(Invalid, SchemaViolation, "config.overdueAfterSeconds is 0 to %d (31 days)", seconds(maxWindow))
	}
	switch most := seconds(maxSpread); {
	case c.SpreadSeconds < 0, c.WindowSeconds == 0 && c.SpreadSeconds > most:
		return refuse(Invalid, SchemaViolation, "config.spreadSeconds is 0 to %d where there is no window: make config.windowSeconds at least as long", most)
	case c.WindowSeconds > 0 && c.SpreadSeconds > c.WindowSeconds:
		return refuse(Invalid, SchemaViolation, "config.spreadSeconds is longer than config.windowSeconds: a backup must begin within its window")
	case c.WindowSeconds == 0 && c.SpreadSeconds == 0:
		return nil
	}
	switch shortest := seconds(due.Shortest(c)); {
	case c.WindowSeconds > shortest:
		return refuse(Invalid, SchemaViolation, "config.windowSeconds is longer than the shortest time between two backups, %d seconds: shorten it", shortest)
	case c.SpreadSeconds > shortest:
		return refuse(Invalid, SchemaViolation, "config.spreadSeconds is longer than the shortest time between two backups, %d seconds: shorten it", shortest)
	}
	return nil
}

func retention(r *events.Retention) error {
	if r == nil {
		return nil
	}
	for _, f := range []struct {
		what string
		n    int
	}{{"keepLast", r.KeepLast}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}} {
		if f.n < 0 || f.n > maxKept {
			return refuse(Invalid, SchemaViolation, "config.retention.%s is 0 to %d", f.what, maxKept)
		}
	}
	if !upTo(r.MaxAgeSeconds, maxKeep) {
		return refuse(Invalid, SchemaViolation, "config.retention.maxAgeSeconds is 0 to %d (100 years)", seconds(maxKeep))
	}
	return nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func upTo(n int64, most time.Duration) bool { return n >= 0 && n <= seconds(most) }

// schedulesAt are those of an instance at a stream sequence: as the view shows them, and what it has not applied yet.
func (i *Intake) schedulesAt(ctx context.Context, a events.Aggregate, seq uint64) ([]events.Schedule, error) {
	pos, err := i.view.Reached(ctx, a.Project)
	if err != nil {
		pos = 0 // then the log has it all
	}
	all := map[string]events.Schedule{}
	for cursor, more := "", true; more; more = cursor != "" {
		var list []events.Schedule
		if list, cursor, err = i.view.Schedules(ctx, a.Project, a.Instance, cursor, maxSchedules); err != nil {
			return nil, err
		}
		for _, s := range list {
			all[s.ScheduleID] = s
		}
	}
	if pos < seq {
		scope, err := a.InstanceScope()
		if err != nil {
			return nil, err
		}
		if _, err := i.log.Scan(ctx, scope, pos+1, false, func(_ string, ev events.Stored) error {
			if s, err := events.Decode[events.Schedule](ev.Event); ev.Entity() == events.Schedules && err == nil {
				if all[s.ScheduleID] = s; ev.Step() == events.Deleted {
					delete(all, s.ScheduleID)
				}
			}
			return nil // what cannot be read the tracker puts among the dead letters
		}); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Values(all)), nil
}
