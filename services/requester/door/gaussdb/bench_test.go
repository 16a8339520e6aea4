package gaussdb_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

var storedBackups = flag.Int("backups", 1_000_000, "stored backups that BenchmarkList reads from")

// mostRatio is how much longer the last page of a list may take than the first (issue "The GaussDB(for MySQL) door,
// complete").
const mostRatio = 3

// The last page of each selection against the first page of all, through the door and in turn, over one store with all
// backups in one project; and what a backup takes there.
func BenchmarkList(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) (view.Store, func() int64){
		"memory": func(*testing.B) (view.Store, func() int64) { return view.NewMemory(time.Now), heap },
		"redis": func(b *testing.B) (view.Store, func() int64) {
			c := viewtest.Redis(b).Client(b)
			return view.NewRedis(c), func() int64 { return used(b, c) }
		},
	} {
		b.Run(name, func(b *testing.B) {
			store, size := open(b)
			v := view.New(store, 4)
			empty := size()
			fill(b, v, *storedBackups)
			perBackup := float64(size()-empty) / float64(*storedBackups)
			log := slog.New(slog.DiscardHandler)
			door := gaussdb.New(intake.New(nil, v, time.Now, log, intake.Config{}), nil, time.Now, log, gaussdb.Config{})
			page := func(query string) (time.Duration, int) {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, path("backups")+"?limit=100"+query, http.NoBody)
				start := time.Now()
				door.ServeHTTP(w, r)
				took := time.Since(start)
				var l listed
				if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != http.StatusOK || len(l.Backups) != 100 {
					b.Fatal(w.Code, w.Body, err)
				}
				return took, l.TotalCount
			}
			selections := map[string]string{
				"all": "", "range": "&begin_time=2026-01-01T00:00:00Z&end_time=2099-01-01T00:00:00Z", "instance": "&instance_name=orders",
				"type": "&backup_type=manual", "instance-and-type": "&instance_name=orders&backup_type=auto", "name": "&name=nightly",
			}
			for what, query := range selections {
				_, total := page(query)
				selections[what] = fmt.Sprintf("%s&offset=%d", query, total-100)
			}
			var first time.Duration
			last := map[string]time.Duration{}
			n := 0
			for b.Loop() {
				took, _ := page("")
				first += took
				for what, query := range selections {
					took, _ := page(query)
					last[what] += took
				}
				n++
			}
			b.ReportMetric(float64(first.Microseconds())/float64(n)/1000, "first-ms")
			b.ReportMetric(perBackup, "B/backup")
			for what, took := range last {
				ratio := float64(took) / float64(first)
				b.ReportMetric(ratio, "last-of-"+what+"/first")
				if ratio > mostRatio {
					b.Errorf("the last page of %s takes %.1f times the first, at most %d are allowed", what, ratio, mostRatio)
				}
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func used(b *testing.B, c redis.UniversalClient) int64 {
	b.Helper()
	info, err := c.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// fill stores backups of two instances and both types as the projector would; every third has the same name.
func fill(b *testing.B, v *view.View, backups int) {
	b.Helper()
	at, size := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), int64(52<<20)
	var changes []view.Change
	for n := range backups {
		at = at.Add(time.Second)
		id := fmt.Sprintf("bk_%026d", n)
		instance, trigger, name := "orders", events.OnDemand, fmt.Sprintf("backup-%d", n)
		if n%2 == 1 {
			instance = "billing"
		}
		if n%4 > 1 {
			trigger = events.Scheduled
		}
		if n%3 == 0 {
			name = "nightly"
		}
		changes = append(changes, stored(b, events.Backups, id, project, lifecycle.Successful, events.Backup{
			BackupID: id, Project: project, Provider: "mysql", Instance: instance, Engine: "mysql", EngineVersion: "8.0", RequestID: "rq_x", Trigger: trigger,
			Name: name, Door: "gaussdb", IDs: events.NewBackupIDs(id, "", at), State: lifecycle.Successful, Step: events.Succeeded, MaxAttempts: 3, Attempt: 1,
			EnqueuedTime: events.At(at), StartTime: events.At(at), EndTime: events.At(at), Proof: events.ProofChecked, SizeBytes: &size, Verification: events.NotVerified,
		}))
		if len(changes) == 1024 || n == backups-1 {
			if err := v.Save(b.Context(), changes, view.Checkpoint{Epoch: "e", Seq: uint64(n + 1)}); err != nil {
				b.Fatal(err)
			}
			changes = changes[:0]
		}
	}
}
