package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

var now = time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC)

func good(id string, at time.Time) events.Backup {
	return events.Backup{BackupID: id, State: lifecycle.Successful, Proof: events.ProofChecked, ConsistencyTime: events.At(at), EndTime: events.At(at)}
}

// daily are n good backups, one a day at 02:00, the newest last.
func daily(n int) (out []events.Backup) {
	for i := range n {
		at := time.Date(2026, 3, 30, 2, 0, 0, 0, time.UTC).AddDate(0, 0, i-n+1)
		out = append(out, good(at.Format("01-02"), at))
	}
	return out
}

// held holds the oldest.
func held(all []events.Backup) []events.Backup {
	all[0].Held = true
	return all
}

// spoiled are backups of which some were found bad.
func spoiled(all []events.Backup, which ...int) []events.Backup {
	for _, i := range which {
		all[i].Verification = events.CheckFailed
	}
	return all
}

func kept(all []Verdict) (ids []string) {
	for _, v := range all {
		if v.Keep {
			ids = append(ids, v.Backup.BackupID+" "+v.Why)
		}
	}
	return ids
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy  *events.Retention
		backups []events.Backup
		want    []string
	}{
		"no policy keeps all": {nil, daily(2), []string{"03-30 no policy", "03-29 no policy"}},
		"an empty one too":    {&events.Retention{}, daily(1), []string{"03-30 no policy"}},
		"keepLast":            {&events.Retention{KeepLast: 3}, daily(10), []string{"03-30 newest", "03-29 keepLast", "03-28 keepLast"}},
		"maxAge alone":        {&events.Retention{MaxAgeSeconds: 2 * 86_400}, daily(10), []string{"03-30 newest", "03-29 maxAge"}},
		"maxAge bounds":       {&events.Retention{KeepLast: 5, MaxAgeSeconds: 86_400}, daily(10), []string{"03-30 newest"}},
		"all too old":         {&events.Retention{MaxAgeSeconds: 1}, daily(3), []string{"03-30 newest"}},
		"weekly and monthly": {&events.Retention{KeepLast: 1, Weekly: 2, Monthly: 3}, daily(70),
			[]string{"03-30 newest", "03-29 weekly", "02-28 monthly", "01-31 monthly"}},
		"daily has one a day": {&events.Retention{Daily: 2}, append(daily(3), good("03-30b", now)), []string{"03-30b newest", "03-29 daily"}},
		"held":                {&events.Retention{KeepLast: 1}, held(daily(3)), []string{"03-30 newest", "03-28 held"}},
		"a bad one is none":   {&events.Retention{MaxAgeSeconds: 86_400}, spoiled(daily(3), 2), []string{"03-30 nothing newer", "03-29 newest"}},
		"nor fills a place":   {&events.Retention{KeepLast: 2}, spoiled(daily(4), 2), []string{"03-30 newest", "03-28 keepLast"}},
		"all are bad":         {&events.Retention{KeepLast: 1}, spoiled(daily(2), 0, 1), []string{"03-30 nothing newer", "03-29 nothing newer"}},
		"nothing":             {&events.Retention{KeepLast: 3}, nil, nil},
	} {
		if diff := cmp.Diff(c.want, kept(Decide(c.policy, time.UTC, now, c.backups))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestDecide_DaysAreThoseOfTheZone(t *testing.T) {
	t.Parallel()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 29, 14, 0, 0, 0, time.UTC) // 23:00 there
	got := kept(Decide(&events.Retention{Daily: 2}, tokyo, now, []events.Backup{good("a", at), good("b", at.Add(2*time.Hour)), good("c", at.Add(3*time.Hour))}))
	if diff := cmp.Diff([]string{"c newest", "a daily"}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever the history and the policy: the newest proven backup stays, what is not proven is never listed, and a
// second look at what was kept takes nothing more.
func TestDecide_OverRandomHistories(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	states := []events.State{lifecycle.Successful, lifecycle.Successful, lifecycle.Successful, lifecycle.Failed, lifecycle.Running, lifecycle.Deleted,
		lifecycle.DeletionPending, lifecycle.Skipped, lifecycle.Overdue}
	for range 5000 {
		var all []events.Backup
		var newest events.Backup
		for n := range r.IntN(60) {
			b := good(fmt.Sprint("bk", n), now.Add(-time.Duration(r.IntN(200*24))*time.Hour))
			if b.State = states[r.IntN(len(states))]; b.State != lifecycle.Successful {
				b.Proof = ""
			}
			if r.IntN(5) == 0 {
				b.Verification = events.CheckFailed
			}
			all = append(all, b)
			if lifecycle.Sound(b) && (newest.BackupID == "" || b.EndTime.After(newest.EndTime.Time)) {
				newest = b
			}
		}
		p := events.Retention{KeepLast: r.IntN(5), MaxAgeSeconds: int64(r.IntN(3)) * int64(r.IntN(100)) * 86_400, Daily: r.IntN(8), Weekly: r.IntN(5), Monthly: r.IntN(4)}
		verdicts := Decide(&p, time.UTC, now, all)
		if newest.BackupID != "" && !slices.ContainsFunc(verdicts, func(v Verdict) bool {
			return v.Keep && lifecycle.Sound(v.Backup) && v.Backup.EndTime.Equal(newest.EndTime.Time)
		}) {
			t.Fatalf("the newest proven backup goes under %+v", p)
		}
		var left []events.Backup
		for _, v := range verdicts {
			if v.Backup.State != lifecycle.Successful {
				t.Fatalf("%+v is decided on", v.Backup)
			}
			if v.Keep {
				left = append(left, v.Backup)
			}
		}
		for _, v := range Decide(&p, time.UTC, now, left) {
			if !v.Keep {
				t.Fatalf("%s goes at the second look, under %+v", v.Backup.BackupID, p)
			}
		}
	}
}
