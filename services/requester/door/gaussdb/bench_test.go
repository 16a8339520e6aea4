package gaussdb_test

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

var storedBackups = flag.Int("backups", 1_000_000, "stored backups that BenchmarkList reads from")

// The last page of a list against the first, through the door and in turn, over one store with all backups in one
// project. Target (issue "The GaussDB(for MySQL) door, complete"): at most 3 times.
func BenchmarkList(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) view.Store{
		"memory": func(*testing.B) view.Store { return view.NewMemory(time.Now) },
		"redis":  func(b *testing.B) view.Store { return view.NewRedis(viewtest.Redis(b).Client(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			v := view.New(open(b), 4)
			fill(b, v, *storedBackups)
			log := slog.New(slog.DiscardHandler)
			door, err := gaussdb.New(intake.New(nil, v, time.Now, log, intake.Config{}), time.Now, log, gaussdb.Config{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			page := func(query string) time.Duration {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, path("backups")+"?limit=100"+query, http.NoBody)
				start := time.Now()
				door.ServeHTTP(w, r)
				took := time.Since(start)
				if w.Code != http.StatusOK || strings.Count(w.Body.String(), `"begin_time"`) != 100 {
					b.Fatal(w.Code, w.Body)
				}
				return took
			}
			deep := fmt.Sprintf("&offset=%d", *storedBackups-100)
			late := fmt.Sprintf("&offset=%d&begin_time=2026-01-01T00:00:00Z&end_time=2027-01-01T00:00:00Z", *storedBackups-100)
			var first, last, ranged time.Duration
			n := 0
			for b.Loop() {
				first += page("")
				last += page(deep)
				ranged += page(late)
				n++
			}
			b.ReportMetric(float64(first.Microseconds())/float64(n)/1000, "first-ms")
			b.ReportMetric(float64(last)/float64(first), "deep/first")
			b.ReportMetric(float64(ranged)/float64(first), "deep-in-range/first")
			b.ReportMetric(3, "target")
		})
	}
}

// fill stores backups of one instance as the projector would.
func fill(b *testing.B, v *view.View, backups int) {
	b.Helper()
	at, size := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), int64(52<<20)
	var changes []view.Change
	for n := range backups {
		at = at.Add(time.Second)
		id := fmt.Sprintf("bk_%026d", n)
		changes = append(changes, stored(b, events.Backups, id, project, lifecycle.Successful, events.Backup{
			BackupID: id, Project: project, Provider: "mysql", Instance: "orders", Engine: "mysql", EngineVersion: "8.0", RequestID: "rq_x", Trigger: events.OnDemand,
			Name: fmt.Sprintf("backup-%d", n), Door: "gaussdb", IDs: events.NewBackupIDs(id, "", at), State: lifecycle.Successful, Step: events.Succeeded, MaxAttempts: 3, Attempt: 1,
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
