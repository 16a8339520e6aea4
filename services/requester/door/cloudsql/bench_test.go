package cloudsql_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

var stored = flag.Int("runs", 1_000_000, "stored runs that BenchmarkList reads from")

// The list through the door against the view calls that it is made of, in turn, over one store with all runs in
// one project. Target (issue "The Cloud SQL door"): at most 3 times.
func BenchmarkList(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) view.Store{
		"memory": func(*testing.B) view.Store { return view.NewMemory(time.Now) },
		"redis":  func(b *testing.B) view.Store { return view.NewRedis(viewtest.Redis(b).Client(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			v := view.New(open(b), 4)
			fill(b, v, *stored)
			door := cloudsql.New(intake.New(nil, v, time.Now, slog.New(slog.DiscardHandler), intake.Config{}), nil, time.Now, slog.New(slog.DiscardHandler), cloudsql.Config{})
			calls := func() {
				if _, err := v.Instance(b.Context(), "acme", "orders"); err != nil {
					b.Fatal(err)
				}
				if list, _, err := v.Backups(b.Context(), "acme", "orders", "", 100); err != nil || len(list) != 100 {
					b.Fatal(len(list), err)
				}
			}
			request := func() {
				w := httptest.NewRecorder()
				door.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path("acme", "instances", "orders", "backupRuns")+"?maxResults=100&prettyPrint=false", nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			var alone, through time.Duration
			for b.Loop() {
				alone += timed(calls)
				through += timed(request)
			}
			b.ReportMetric(float64(through)/float64(alone), "door/view")
			b.ReportMetric(3, "target")
		})
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// fill stores runs of one instance as the projector would.
func fill(b *testing.B, v *view.View, runs int) {
	b.Helper()
	doc := func(id string, entity events.Entity, state events.State, record any) view.Change {
		data, err := json.Marshal(record)
		if err != nil {
			b.Fatal(err)
		}
		key := view.Key{Project: "acme", Entity: entity, ID: id}
		return view.Change{Before: view.Doc{Key: key}, After: view.Doc{Key: key, Head: lifecycle.Head{Sequence: 3, State: state}, Seq: 1, Data: data}}
	}
	changes := []view.Change{doc("in_x", events.Instances, lifecycle.Present, events.Instance{Project: "acme", InstanceID: "in_x", Provider: "mysql", Instance: "orders"})}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	size := int64(52 << 20)
	for n := range runs {
		at = at.Add(time.Second)
		id := fmt.Sprintf("bk_%026d", n)
		changes = append(changes, doc(id, events.Backups, lifecycle.Successful, events.Backup{
			BackupID: id, Project: "acme", Provider: "mysql", Instance: "orders", Engine: "mariadb", EngineVersion: "10.11", RequestID: "rq_x", Trigger: events.OnDemand,
			Door: "cloudsql", IDs: events.NewBackupIDs(id, "", at), State: lifecycle.Successful, Step: events.Succeeded, MaxAttempts: 3, Attempt: 1,
			EnqueuedTime: events.At(at), StartTime: events.At(at), EndTime: events.At(at), Proof: events.ProofChecked, SizeBytes: &size, Verification: events.NotVerified,
		}))
		if len(changes) == 1024 || n == runs-1 {
			if err := v.Save(b.Context(), changes, view.Checkpoint{Epoch: "e", Seq: uint64(n + 1)}); err != nil {
				b.Fatal(err)
			}
			changes = changes[:0]
		}
	}
}

// Inserts on many instances at half of the rate that the pipeline takes, and between them appends to the log
// alone. Target: p99 at most 20 ms above the append.
func BenchmarkInsert(b *testing.B) {
	const instances = 400
	p := pipelinetest.Start(b, pipelinetest.Options{})
	p.Hand.Auto()
	for n := range instances {
		p.Register("acme", fmt.Sprintf("i%d", n))
	}
	insert := func(n int) {
		if code, body := p.Call(http.MethodPost, path("acme", "instances", fmt.Sprintf("i%d", n%instances), "backupRuns"), ""); code != http.StatusOK && code != http.StatusConflict {
			b.Error(code, string(body))
		}
	}
	start := time.Now()
	closed(8, instances, insert)
	every := time.Since(start) / instances // every second one is an insert
	for b.Loop() {
		took := paced(2*instances, every, func(n int) {
			if n%2 == 0 {
				insert(n / 2)
			} else {
				request(b, p, n)
			}
		})
		var inserts, appends []time.Duration
		for n := range instances {
			inserts, appends = append(inserts, took[2*n]), append(appends, took[2*n+1])
		}
		b.ReportMetric(float64(percentile(inserts, 99).Microseconds())/1000, "insert-p99-ms")
		b.ReportMetric(float64(percentile(appends, 99).Microseconds())/1000, "append-p99-ms")
		b.ReportMetric(float64((percentile(inserts, 99)-percentile(appends, 99)).Microseconds())/1000, "above-ms")
		b.ReportMetric(20, "target-ms")
	}
}

// request appends the first event of a backup of its own.
func request(b *testing.B, p *pipelinetest.Pipeline, n int) {
	o := events.Origin{Source: "//bus.local/doors/native", Key: events.FreshKey()}
	id, err := events.BackupID("bench", o)
	if err != nil {
		b.Error(err)
		return
	}
	rq, _ := events.RequestID("bench", o)
	now := time.Now()
	_, err = p.Bus.Append(b.Context(), events.Draft{
		Aggregate: events.Aggregate{Project: "bench", Provider: "mysql", Instance: fmt.Sprintf("i%d", n), Entity: events.Backups, ID: id},
		Step:      events.Requested, Scope: events.ScopeInstance, At: now, EventID: events.EventID(id, events.Backups, events.Requested, 0),
		Decide: func(context.Context, events.Prior) (events.Payload, error) {
			return lifecycle.Advance(events.Backup{BackupID: id, Project: "bench", Provider: "mysql", Instance: fmt.Sprintf("i%d", n), RequestID: rq, MaxAttempts: 1,
				IDs: events.NewBackupIDs(id, "", now), EnqueuedTime: events.At(now), Trigger: events.OnDemand, Door: "native", Verification: events.NotVerified}, events.Requested)
		},
	})
	if err != nil {
		b.Error(err)
	}
}

func closed(workers, n int, do func(int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	wg.Wait()
}

// paced begins one every so often, whether the one before has ended or not, and returns how long each took.
func paced(n int, every time.Duration, do func(int)) []time.Duration {
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		wg.Go(func() { took[i] = timed(func() { do(i) }) })
		<-tick.C
	}
	wg.Wait()
	return took
}

func percentile(all []time.Duration, p int) time.Duration {
	slices.Sort(all)
	return all[len(all)*p/100]
}
