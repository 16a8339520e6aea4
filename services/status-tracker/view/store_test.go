package view_test

import (
	"sync"
	"testing"
	"time"

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
