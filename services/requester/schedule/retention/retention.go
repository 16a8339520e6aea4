// Package retention decides which backups of a schedule a policy keeps. It is arithmetic alone.
//
//   - keepLast, daily, weekly and monthly each name backups that are kept: the newest n; the newest of each of the
//     last n days, ISO weeks or months that have one, by the schedule's zone. Without any of them all are kept.
//   - maxAge bounds what they keep: a backup that is older goes.
//   - The newest proven backup is kept whatever the policy says (design.md 7), and so is one that is held.
//
// What has no copy, or is going already, neither counts nor is listed. A copy that a check has found bad fills no place;
// it goes as soon as a newer sound one is kept.
package retention

import (
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Verdict is what becomes of one backup.
type Verdict struct {
	Backup events.Backup
	Keep   bool
	Why    string // "newest", "keepLast", "daily" …; of what goes: "maxAge", "surplus", "bad"
}

// Decide looks at the backups of one schedule, in any order, and says of each that has a copy what becomes of it,
// newest first. A nil policy keeps all.
func Decide(p *events.Retention, zone *time.Location, now time.Time, backups []events.Backup) []Verdict {
	var out, bad []Verdict
	for _, b := range backups {
		switch v := (Verdict{Backup: b, Keep: true, Why: "no policy"}); {
		case lifecycle.Sound(b):
			out = append(out, v)
		case lifecycle.Kept(b):
			bad = append(bad, v)
		}
	}
	slices.SortFunc(out, newestFirst)
	if p != nil && *p != (events.Retention{}) {
		decide(p, zone, now, out)
		for i := range bad {
			newer := slices.ContainsFunc(out, func(v Verdict) bool { return v.Keep && newestFirst(v, bad[i]) < 0 })
			switch {
			case bad[i].Backup.Held:
				bad[i].Why = "held"
			case newer:
				bad[i].Keep, bad[i].Why = false, "bad"
			default:
				bad[i].Why = "nothing newer"
			}
		}
	}
	out = append(out, bad...)
	slices.SortFunc(out, newestFirst)
	return out
}

// Newest is the newest backup of a decision that can be relied on; empty if there is none.
func Newest(all []Verdict) string {
	i := slices.IndexFunc(all, func(v Verdict) bool { return lifecycle.Sound(v.Backup) })
	if i < 0 {
		return ""
	}
	return all[i].Backup.BackupID
}

func newestFirst(x, y Verdict) int {
	if c := taken(y.Backup).Compare(taken(x.Backup)); c != 0 {
		return c
	}
	return strings.Compare(y.Backup.BackupID, x.Backup.BackupID)
}

// decide is Decide for sound backups, sorted.
func decide(p *events.Retention, zone *time.Location, now time.Time, out []Verdict) {
	named := p.KeepLast > 0 || p.Daily > 0 || p.Weekly > 0 || p.Monthly > 0
	for i := range out {
		out[i].Keep, out[i].Why = !named, "maxAge"
		if named {
			out[i].Why = "surplus"
		}
	}
	keep(out, "keepLast", p.KeepLast, func(b events.Backup) string { return b.BackupID })
	for _, r := range []struct {
		why  string
		n    int
		form string
	}{{"daily", p.Daily, "2006-01-02"}, {"monthly", p.Monthly, "2006-01"}} {
		keep(out, r.why, r.n, func(b events.Backup) string { return taken(b).In(zone).Format(r.form) })
	}
	keep(out, "weekly", p.Weekly, func(b events.Backup) string {
		year, week := taken(b).In(zone).ISOWeek()
		return time.Date(year, 1, week, 0, 0, 0, 0, time.UTC).String()
	})
	for i := range out {
		if old := now.Sub(taken(out[i].Backup)); p.MaxAgeSeconds > 0 && old > time.Duration(p.MaxAgeSeconds)*time.Second {
			out[i].Keep, out[i].Why = false, "maxAge"
		}
		if out[i].Backup.Held && !out[i].Keep {
			out[i].Keep, out[i].Why = true, "held"
		}
		if i == 0 {
			out[i].Keep, out[i].Why = true, "newest"
		}
	}
}

// keep keeps the newest backup of each of the last n groups.
func keep(all []Verdict, why string, n int, group func(events.Backup) string) {
	seen := map[string]bool{}
	for i := range all {
		g := group(all[i].Backup)
		if seen[g] || len(seen) == n {
			continue
		}
		seen[g] = true
		if !all[i].Keep || all[i].Why == "maxAge" {
			all[i].Keep, all[i].Why = true, why
		}
	}
}

// taken is the moment whose data a backup holds, or when it ended.
func taken(b events.Backup) time.Time {
	if !b.ConsistencyTime.IsZero() {
		return b.ConsistencyTime.Time
	}
	return b.EndTime.Time
}
