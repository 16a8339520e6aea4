// Package due computes when the backups of a schedule are due. It is arithmetic alone: no clock, no bus.
//
// A cron line is read on the wall clock of the schedule's zone. A time that a clock skips when it is put forward
// is due once, at the first moment after the gap, together with whatever else fell into it; a time that comes
// twice when the clock is put back is due once, the first time (design.md 7).
package due

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	_ "time/tzdata" // zones are there on a machine without a zone database

	"github.com/robfig/cron/v3"

	"github.com/backupbus/backupbus/events"
)

// Bounds of a schedule.
const (
	MinEvery = time.Minute
	MaxEvery = 366 * 24 * time.Hour
	maxCron  = 256
)

// Times are the due times of one schedule. Safe for concurrent use.
type Times struct {
	line  cron.Schedule // on the wall clock; nil for every
	every time.Duration
	zone  *time.Location
}

var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// New reads the configuration of a schedule. The error is safe to show and says what to correct.
func New(c events.ScheduleConfig) (Times, error) {
	t := Times{zone: time.UTC}
	if c.TimeZone != "" {
		zone, err := time.LoadLocation(c.TimeZone)
		if err != nil || c.TimeZone == "Local" {
			return t, fmt.Errorf("timeZone %q is no zone of the IANA database: name one as Europe/Berlin", events.Clip(c.TimeZone, 64))
		}
		t.zone = zone
	}
	switch {
	case c.Cron == "" && c.EverySeconds == 0:
		return t, fmt.Errorf("a schedule needs cron or everySeconds")
	case c.Cron != "" && c.EverySeconds != 0:
		return t, fmt.Errorf("cron and everySeconds exclude each other")
	case c.EverySeconds != 0:
		t.every = time.Duration(c.EverySeconds) * time.Second
		if c.EverySeconds < int64(MinEvery/time.Second) || c.EverySeconds > int64(MaxEvery/time.Second) {
			return t, fmt.Errorf("everySeconds is %d to %d", int64(MinEvery/time.Second), int64(MaxEvery/time.Second))
		}
		return t, nil
	}
	return t, t.read(c.Cron)
}

// read parses five fields, or @hourly, @daily, @weekly, @monthly, @yearly.
func (t *Times) read(line string) error {
	bad := fmt.Errorf("cron %q has not the five fields minute hour day month weekday, as 30 2 * * 1-5, nor is it @hourly, @daily, @weekly, @monthly or @yearly", events.Clip(line, 80))
	if len(line) > maxCron || strings.Contains(line, "TZ=") || strings.HasPrefix(line, "@every") || strings.HasPrefix(line, "@reboot") {
		return bad
	}
	parsed, err := parser.Parse(line)
	if err != nil {
		return fmt.Errorf("%w: %w", bad, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return bad
	}
	spec.Location = time.UTC // the wall clock is counted as if it were UTC, which skips and repeats nothing
	if spec.Next(epoch).IsZero() {
		return fmt.Errorf("cron %q names a day that no year has", events.Clip(line, 80))
	}
	t.line = spec
	return nil
}

// epoch is where every-N is counted from: due times do not depend on when anything was started.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// maxShift is more than any zone has ever put its clock forward or back for daylight saving.
const maxShift = 3 * time.Hour

// Next is the first due time after a moment, in whole seconds of UTC. It is zero if there is none in the next
// five years.
func (t Times) Next(after time.Time) time.Time {
	if t.line == nil {
		n := after.Sub(epoch) / t.every
		next := epoch.Add(n * t.every)
		for !next.After(after) {
			next = next.Add(t.every)
		}
		return next
	}
	for wall := wallOf(after.In(t.zone)).Add(-maxShift); ; {
		wall = t.line.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := t.instant(wall); at.After(after) {
			return at
		}
	}
}

// wallOf is what the clock on the wall shows, counted as if it were UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instant is when the clock in the zone shows a time: the first time if it does so twice, and the end of the gap
// if it never does.
func (t Times) instant(wall time.Time) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, t.zone)
	if !wallOf(at).Equal(wall) { // in a gap: time.Date is off by it, to either side
		return t.after(at.Add(-24*time.Hour), at.Add(24*time.Hour), wall)
	}
	// Shown twice? Then an earlier moment shows it too.
	_, was := at.Add(-maxShift).Zone()
	_, is := at.Zone()
	first := at.Add(time.Duration(is-was) * time.Second)
	if was != is && first.Before(at) && wallOf(first.In(t.zone)).Equal(wall) {
		return first.UTC()
	}
	return at.UTC()
}

// after is the first moment between from and to at which the clock shows more than wall: the end of the gap that
// wall lies in.
func (t Times) after(from, to time.Time, wall time.Time) time.Time {
	low, high := from.Unix(), to.Unix()
	for high-low > 1 {
		mid := low + (high-low)/2
		if wallOf(time.Unix(mid, 0).In(t.zone)).After(wall) {
			high = mid
		} else {
			low = mid
		}
	}
	return time.Unix(high, 0).UTC()
}

// Spread is how long after a due time the backup of a schedule starts: the same for the same slot wherever it is
// computed, and different between schedules, so that not all start in one second.
func Spread(scheduleID string, at time.Time, within time.Duration) time.Duration {
	if within <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", scheduleID, at.Unix())
	return time.Duration(h.Sum64()%uint64(within/time.Second+1)) * time.Second
}

// Shortest is the shortest time between two due times of a configuration that New accepts, on a clock that is never
// put forward or back. A cron line is followed for a while: what is further apart than that is not its shortest.
func Shortest(c events.ScheduleConfig) time.Duration {
	if c.EverySeconds > 0 {
		return time.Duration(c.EverySeconds) * time.Second
	}
	c.TimeZone = ""
	times, err := New(c)
	if err != nil {
		return MaxEvery
	}
	shortest := MaxEvery
	at := times.Next(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
	for range 100 {
		next := times.Next(at)
		if next.IsZero() {
			break
		}
		shortest = min(shortest, next.Sub(at))
		at = next
	}
	return shortest
}
