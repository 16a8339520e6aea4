package gaussdb

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/requester/schedule/due"
)

// The backup policy of an instance is its schedule events.Automated (events.md 1.5), the same that the Cloud SQL door
// shows: the window is its cron line, in UTC, and keep_days the greatest age that its retention allows.

const (
	utc           = "Etc/UTC"
	windowSeconds = 60 * 60
	spreadSeconds = 30 * 60 // of it, over which the instances of all projects begin
	daySeconds    = 24 * 60 * 60
	maxKeepDays   = 732
	defaultDays   = 7
	allWeek       = 7
)

// policy is what 4.5 shows.
type policy struct {
	keepDays int
	start    string // hh:mm, UTC
	days     []int  // 1 is Monday
	level1   int
}

// defaults of an instance that nobody has set one for (4.5).
func defaults() policy {
	return policy{keepDays: defaultDays, start: "00:00", days: []int{1, 2, 3, 4, 5, 6, 7}}
}

func (p policy) window() string {
	t, err := time.Parse("15:04", p.start)
	if err != nil {
		return ""
	}
	return p.start + "-" + t.Add(time.Hour).Format("15:04")
}

func (p policy) period() string {
	out := make([]string, len(p.days))
	for i, d := range p.days {
		out[i] = strconv.Itoa(d)
	}
	return strings.Join(out, ",")
}

// policyOf is a schedule in the vendor's words: the window in which the next backup is due, and the weekdays of the
// coming ones. What is due more than once a day, or not every week, has no better words.
func policyOf(s *events.Schedule, now time.Time) policy {
	p := defaults()
	if s == nil {
		return p
	}
	if s.Config.GaussDB != nil {
		p.level1 = s.Config.GaussDB.RetainedLevel1
	}
	if times, err := due.New(s.Config); err == nil {
		if next := times.Next(now); !next.IsZero() {
			p.start, p.days = next.UTC().Format("15:04"), weekdays(times, now)
		}
	}
	p.keepDays = keepDays(s.Config.Retention, len(p.days))
	return p
}

// weekdays are those of the coming week on which something is due, else the one on which something is due next.
func weekdays(times due.Times, now time.Time) (days []int) {
	today := now.UTC().Truncate(daySeconds * time.Second)
	for n := range allWeek {
		day := today.AddDate(0, 0, n)
		if next := times.Next(day.Add(-time.Second)); !next.IsZero() && next.Before(day.AddDate(0, 0, 1)) {
			days = append(days, weekday(day))
		}
	}
	if len(days) == 0 {
		days = []int{weekday(times.Next(now).UTC())}
	}
	slices.Sort(days)
	return days
}

func weekday(t time.Time) int { return (int(t.Weekday())+allWeek-1)%allWeek + 1 }

// keepDays is for how long a retention keeps what a schedule makes on so many days of the week. What it keeps for ever,
// or longer than there are words for, is kept for the longest that there is a word for.
func keepDays(r *events.Retention, perWeek int) int {
	days := maxKeepDays
	switch {
	case r == nil:
	case r.MaxAgeSeconds > 0:
		days = int((r.MaxAgeSeconds + daySeconds - 1) / daySeconds)
	case r.KeepLast > 0 && r.Weekly == 0 && r.Monthly == 0:
		days = max((r.KeepLast*allWeek+perWeek-1)/perWeek, r.Daily)
	}
	return min(days, maxKeepDays)
}

// over is the schedule's configuration with this policy. What is as the vendor's words show it already stays as it is,
// though they may be too poor for it: what was read can be written back. What other doors keep in it stays too.
func (p policy) over(before *events.Schedule, now time.Time) events.ScheduleConfig {
	c, shown := events.ScheduleConfig{SpreadSeconds: spreadSeconds, Missed: events.MissedSkip}, policyOf(before, now)
	if before != nil {
		c = before.Config
	}
	if before == nil || p.keepDays != shown.keepDays {
		c.Retention = p.retention(c)
	}
	if before == nil || p.start != shown.start || !slices.Equal(p.days, shown.days) {
		c.Cron, c.EverySeconds, c.TimeZone, c.NextDueTime = p.cron(), 0, utc, events.Time{}
		c.WindowSeconds, c.SpreadSeconds, c.OverdueAfterSeconds = windowSeconds, min(c.SpreadSeconds, spreadSeconds), 0
	}
	c.Paused = false // automated backups cannot be switched off here (4.5): one that has a policy has them
	if c.GaussDB != nil || p.level1 > 0 {
		c.GaussDB = &events.GaussDBSettings{RetainedLevel1: p.level1}
	}
	return c
}

// retention has keepDays as the greatest age. The number of backups that somebody chose stays beside it: the stricter of
// the two then decides. Only a default that nobody chose goes.
func (p policy) retention(c events.ScheduleConfig) *events.Retention {
	kept := events.Retention{}
	if c.Retention != nil {
		kept = *c.Retention
	}
	if c.KeepsDefault() {
		kept.KeepLast = 0
	}
	kept.MaxAgeSeconds = int64(p.keepDays) * daySeconds
	return &kept
}

func (p policy) cron() string {
	week := "*"
	if len(p.days) < allWeek {
		days := make([]int, len(p.days))
		for i, d := range p.days {
			days[i] = d % allWeek // Sunday is 0
		}
		slices.Sort(days)
		week = policy{days: days}.period()
	}
	hour, _ := strconv.Atoi(p.start[:2])
	minute, _ := strconv.Atoi(p.start[3:])
	return fmt.Sprintf("%d %d * * %s", minute, hour, week)
}

// wholeHour tells whether the window begins as the vendor's do.
func (p policy) wholeHour() bool { return strings.HasSuffix(p.start, ":00") }

var (
	windowForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$`)
	periodForm = regexp.MustCompile(`^[1-7](,[1-7]){0,6}$`)
)

// readPolicy reads the body of an update (4.6). Its window may begin within an hour, as one that another door has set.
func (d *Door) readPolicy(c *call) (p policy, err error) {
	body, err := readObject(c.body)
	if err != nil {
		return p, err
	}
	b := body.object("backup_policy")
	start, period, keep, level1 := b.text("start_time"), b.text("period"), b.whole("keep_days"), b.whole("retention_num_backup_level1")
	switch {
	case body.wrong || b.wrong:
		return p, errParameter
	case !b.has("start_time") || !b.has("keep_days") || !b.has("period"):
		return p, errNull
	case !instanceForm.MatchString(c.path["instance"]):
		return p, errInstanceID
	}
	p = policy{keepDays: keep, start: strings.SplitN(start, "-", 2)[0]}
	if !windowForm.MatchString(start) || p.window() != start {
		return p, errStart
	}
	if keep < 1 || keep > maxKeepDays {
		return p, errKeepDays
	}
	if !periodForm.MatchString(period) {
		return p, errPeriod
	}
	for _, s := range strings.Split(period, ",") {
		day := int(s[0] - '0')
		if slices.Contains(p.days, day) {
			return p, errPeriod
		}
		p.days = append(p.days, day)
	}
	slices.Sort(p.days)
	if level1 != 0 && level1 != 1 {
		return p, errLevel1
	}
	if d.c.Level1 {
		p.level1 = level1
	}
	return p, nil
}

// updatePolicy is UpdateGaussMySqlBackupPolicy (4.6). It has taken effect when it is answered.
func (d *Door) updatePolicy(c *call) (any, error) {
	p, err := d.readPolicy(c)
	if err != nil {
		return nil, err
	}
	in, err := d.instance(c)
	switch {
	case err != nil && !p.wholeHour():
		return nil, errStart // members come before existence (8)
	case err != nil:
		return nil, err
	}
	_, err = d.intake.Plan(c.Context(), intake.Plan{
		Caller: c.caller(), Project: c.project(), Instance: in.Instance, Name: events.Automated, Idempotent: true,
		Change: func(i events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
			if isReplica(i) { // as at the Cloud SQL door
				return events.ScheduleConfig{}, errType
			}
			if !p.wholeHour() && p.start != policyOf(before, d.now()).start {
				return events.ScheduleConfig{}, errStart
			}
			next := p
			if before != nil && before.Config.GaussDB != nil && !d.c.Level1 {
				next.level1 = before.Config.GaussDB.RetainedLevel1
			}
			return next.over(before, d.now()), nil
		},
	})
	if err != nil {
		return nil, err
	}
	return updatedPolicy{Status: completed, InstanceID: in.IDs.GaussDB, InstanceName: in.Instance}, nil
}

// showPolicy is ShowGaussMySqlBackupPolicy (4.5).
func (d *Door) showPolicy(c *call) (any, error) {
	in, err := d.instance(c)
	if err != nil {
		return nil, err
	}
	p, err := d.policy(c, in)
	if err != nil {
		return nil, err
	}
	out := policyBody{KeepDays: p.keepDays, StartTime: p.window(), Period: p.period()}
	if d.c.Level1 {
		out.Level1 = &p.level1
	}
	return shownPolicy{out}, nil
}

func (d *Door) policy(c *call, in events.Instance) (policy, error) {
	s, err := d.automated(c, in)
	if err != nil {
		return policy{}, err
	}
	return policyOf(s, d.now()), nil
}

// automated is the schedule of an instance's policy; nil if it has none.
func (d *Door) automated(c *call, in events.Instance) (*events.Schedule, error) {
	all, err := d.intake.Automated(c.Context(), in.Project, in.Instance)
	if err != nil {
		return nil, err
	}
	if s, has := all[in.Instance]; has {
		return &s, nil
	}
	return nil, nil
}
