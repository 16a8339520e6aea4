package due

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// list are n due times after a moment, in the zone's own words.
func list(t *testing.T, c events.ScheduleConfig, after string, n int) (out []string) {
	t.Helper()
	times, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, after)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if at = times.Next(at); at.IsZero() {
			return append(out, "never")
		}
		out = append(out, at.In(times.zone).Format("01-02 15:04 MST"))
	}
	return out
}

func TestTimes_OverTheYear(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cron, zone, after string
		want              []string
	}{
		"Berlin, a time in the gap":              {"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"03-28 02:30 CET", "03-29 03:00 CEST", "03-30 02:30 CEST"}},
		"Berlin, several in the gap":             {"*/20 2 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", []string{"03-29 03:00 CEST", "03-30 02:00 CEST", "03-30 02:20 CEST"}},
		"Berlin, the hour after the gap":         {"0 2,3 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", []string{"03-29 03:00 CEST", "03-30 02:00 CEST"}},
		"Berlin, a time that comes twice":        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"10-25 02:30 CEST", "10-26 02:30 CET"}},
		"Berlin, between the two":                {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", []string{"10-26 02:30 CET"}},
		"Berlin, every hour when it is put back": {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"10-25 02:00 CEST", "10-25 03:00 CET", "10-25 04:00 CET"}},
		"New York, a time in the gap":            {"15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", []string{"03-08 03:00 EDT", "03-09 02:15 EDT"}},
		"New York, a time that comes twice":      {"15 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{"11-01 01:15 EDT", "11-02 01:15 EST"}},
		"Lord Howe, half an hour forward":        {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"10-04 02:30 +11", "10-05 02:15 +11"}},
		"Lord Howe, half an hour back":           {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"04-05 01:45 +11", "04-06 01:45 +1030"}},
		"UTC has no daylight saving":             {"0 13 * * *", "", "2026-03-28T13:00:00Z", []string{"03-29 13:00 UTC", "03-30 13:00 UTC"}},
		"leap day":                               {"0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"02-29 00:00 UTC"}},
		"month ends":                             {"0 0 31 * *", "", "2026-01-31T00:00:00Z", []string{"03-31 00:00 UTC", "05-31 00:00 UTC", "07-31 00:00 UTC"}},
		"day or weekday":                         {"0 0 13 * 5", "", "2026-02-01T00:00:00Z", []string{"02-06 00:00 UTC", "02-13 00:00 UTC", "02-20 00:00 UTC"}},
		"weekly":                                 {"@weekly", "Asia/Tokyo", "2026-03-26T00:00:00Z", []string{"03-29 00:00 JST", "04-05 00:00 JST"}},
	} {
		if diff := cmp.Diff(c.want, list(t, events.ScheduleConfig{Cron: c.cron, TimeZone: c.zone}, c.after, len(c.want))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestTimes_EveryNDoesNotDependOnWhenItWasStarted(t *testing.T) {
	t.Parallel()
	times, err := New(events.ScheduleConfig{EverySeconds: 24 * 3600})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 26, 5, 0, 0, 0, time.UTC)
	first := times.Next(at)
	for range 5 { // a process that is started anew every four hours
		at = at.Add(4 * time.Hour)
		if at.Before(first) && !times.Next(at).Equal(first) {
			t.Errorf("after %s it is %s and not %s", at, times.Next(at), first)
		}
	}
	if next := times.Next(first); next.Sub(first) != 24*time.Hour {
		t.Errorf("%s and %s", first, next)
	}
}

// Due times rise, lie after what they are asked after, and do not depend on how they were come to.
func TestTimes_Rise(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "UTC"} {
		for _, line := range []string{"*/7 * * * *", "30 2 * * *", "0 */6 * * 1-5", "59 23 31 12 *", "15 0,1,2,3 * * *"} {
			times, err := New(events.ScheduleConfig{Cron: line, TimeZone: zone})
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC)
			for range 3000 {
				next := times.Next(at)
				if next.IsZero() || next.Year() > 2027 {
					break
				}
				if !next.After(at) || next.Nanosecond() != 0 {
					t.Fatalf("%s %s: %s follows %s", zone, line, next, at)
				}
				if again := times.Next(next.Add(-time.Second)); !again.Equal(next) {
					t.Fatalf("%s %s: %s a second before is %s", zone, line, next, again)
				}
				at = next
			}
		}
	}
}

func TestNew_SaysWhatToCorrect(t *testing.T) {
	t.Parallel()
	for says, c := range map[string]events.ScheduleConfig{
		"needs cron or everySeconds": {},
		"exclude each other":         {Cron: "@daily", EverySeconds: 60},
		"everySeconds is 60":         {EverySeconds: 59},
		"five fields":                {Cron: "* * * *"},
		"five fields minute":         {Cron: "61 * * * *"},
		"five fields minute hour":    {Cron: "@every 5m"},
		"has not the five":           {Cron: "CRON_TZ=UTC * * * * *"},
		"no year has":                {Cron: "0 0 31 2 *"},
		"is no zone":                 {Cron: "@daily", TimeZone: "Mars/Olympus"},
		"no zone of the IANA":        {Cron: "@daily", TimeZone: "Local"},
		"nor is it":                  {Cron: strings.Repeat("1,", 200) + "1 * * * *"},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSpread_IsTheSameForASlotAndStaysWithin(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 26, 13, 0, 0, 0, time.UTC)
	seen := map[time.Duration]bool{}
	for _, id := range []string{"sc_a", "sc_b", "sc_c", "sc_d", "sc_e", "sc_f"} {
		s := Spread(id, at, 30*time.Minute)
		if s < 0 || s > 30*time.Minute || s != Spread(id, at, 30*time.Minute) {
			t.Errorf("%s: %s", id, s)
		}
		seen[s] = true
	}
	if len(seen) < 4 || Spread("sc_a", at, 0) != 0 {
		t.Errorf("spread to %d moments", len(seen))
	}
}

func BenchmarkNext(b *testing.B) {
	times, err := New(events.ScheduleConfig{Cron: "30 2 * * *", TimeZone: "Europe/Berlin"})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 3, 26, 5, 0, 0, 0, time.UTC)
	for b.Loop() {
		times.Next(at)
	}
}
