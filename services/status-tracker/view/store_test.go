package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func TestMemory_IsAStore(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Unix(1, 0)}
	viewtest.Run(t, viewtest.Harness{
		Open: func(testing.TB) view.Store { return view.NewMemory(c.now) },
		Advance: func(_ testing.TB, d time.Duration) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.at = c.at.Add(d)
		},
	})
}

func TestRedis_IsAStore(t *testing.T) {
	t.Parallel()
	server := viewtest.Redis(t)
	viewtest.Run(t, viewtest.Harness{
		Open: func(t testing.TB) view.Store {
			c := server.Client(t)
			if err := c.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			return view.NewRedis(c)
		},
		Advance: func(t testing.TB, d time.Duration) { // Redis has its own clock: wait for it, not for ours
			c := server.Client(t)
			end, err := c.Time(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			for end = end.Add(d); ; {
				if now, err := c.Time(t.Context()).Result(); err != nil || now.After(end) {
					return
				}
			}
		},
	})
}

func TestRedis_DropLeavesOtherKeys(t *testing.T) {
	t.Parallel()
	c := viewtest.Redis(t).Client(t)
	if err := c.Set(t.Context(), "somebody:else", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := view.NewRedis(c).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(t.Context(), "somebody:else").Result(); err != nil || v != "1" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestKeys_OfAProjectShareTheirHashTag(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"a", "shop", "example.com:proj"} {
		if s := view.Shard(p, 16); s < 0 || s > 15 || s != view.Shard(p, 16) {
			t.Errorf("Shard(%q) = %d", p, s)
		}
	}
}

// A selection that would read too many records is refused, and those that are read by rank are not.
func TestListed_RefusesWhatCostsTooMuch(t *testing.T) {
	t.Parallel()
	const n = 5001
	v := view.New(view.NewMemory(time.Now), 1)
	at := time.Unix(1768442400, 0)
	changes := make([]view.Change, n)
	for i := range changes {
		id := fmt.Sprintf("bk_%026d", i)
		data, err := json.Marshal(events.Backup{BackupID: id, Project: "p", Provider: "sqlite", Instance: "a", Name: "nightly", Trigger: events.OnDemand,
			IDs: events.NewBackupIDs(id, "", at), State: lifecycle.Failed, MaxAttempts: 1, EnqueuedTime: events.At(at.Add(time.Duration(i) * time.Second))})
		if err != nil {
			t.Fatal(err)
		}
		key := view.Key{Project: "p", Entity: events.Backups, ID: id}
		changes[i] = view.Change{Before: view.Doc{Key: key}, After: view.Doc{Key: key, Head: lifecycle.Head{Sequence: 1, State: lifecycle.Failed}, Seq: 1, Data: data}}
	}
	if err := v.Save(t.Context(), changes, view.Checkpoint{Epoch: "e", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		l     lifecycle.Listing
		total int
		err   error
	}{
		{lifecycle.Listing{Name: "nightly"}, n, nil},
		{lifecycle.Listing{Instance: "a", Trigger: events.OnDemand}, n, nil},
		{lifecycle.Listing{Name: "nightly", Instance: "a"}, 0, lifecycle.ErrTooMany},
		{lifecycle.Listing{Name: "nightly", Instance: "a", From: at.Add(time.Second)}, n - 1, nil},
		{lifecycle.Listing{Name: "nightly", Instance: "none"}, 0, nil},
		{lifecycle.Listing{Name: "nightly", Trigger: events.Scheduled}, 0, nil},
	} {
		list, total, err := v.Listed(t.Context(), "p", c.l, 5, 10)
		if !errors.Is(err, c.err) || total != c.total || c.total > 0 && len(list) != 10 {
			t.Errorf("%+v: %d of %d, %v", c.l, len(list), total, err)
		}
	}
}

// The highest percentage is kept as long as an operation is listed after its end, a week (spanner.md 4.6), and then not
// for ever.
func TestPeaks_AreKeptAsLongAsOperationsAreListed(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Unix(1, 0)}
	v := view.New(view.NewMemory(c.now), 1)
	percent := 40
	if err := v.SaveProgress(t.Context(), events.Progress{Project: "p", BackupID: "bk_a", Attempt: 1, Ordinal: 1, Percent: &percent}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		days, want int
	}{{8, 40}, {92, 0}} {
		c.mu.Lock()
		c.at = c.at.Add(time.Duration(step.days) * 24 * time.Hour)
		c.mu.Unlock()
		if peaks, err := v.Peaks(t.Context(), "p", []string{"bk_a"}); err != nil || peaks["bk_a"] != step.want {
			t.Errorf("%d days later: %v, %v", step.days, peaks, err)
		}
	}
}
