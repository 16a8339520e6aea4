package schedule_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
)

var fleet = flag.Int("fleet", 100_000, "instances of BenchmarkFleet")

// BenchmarkFleet: the windows of all instances open in the same minute, by the bus's real timers and the real
// requester. It reports how many slots were decided in a second and the memory of the whole process, NATS and view
// included, and fails if one was lost.
func BenchmarkFleet(b *testing.B) {
	p := pipelinetest.Start(b, pipelinetest.Options{})
	p.Hand.Pause()
	in := intake.New(p.Bus, p.View, time.Now, quiet, intake.Config{Bus: p.Bus.Name(), Providers: []string{"sqlite"}})
	began := time.Now()
	due := began.Add(time.Duration(*fleet) * 3 * time.Millisecond).Truncate(time.Minute).Add(2 * time.Minute).UTC()
	cron := fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour())
	each(b, func(n int) error {
		name := fmt.Sprintf("db-%06d", n)
		if _, _, err := in.Apply(b.Context(), intake.Apply{Caller: intake.Caller{Door: "native"}, Project: "acme", Provider: "sqlite", Instance: name,
			Config: events.InstanceConfig{File: "/srv/" + name + ".db"}}); err != nil {
			return err
		}
		_, err := in.Plan(b.Context(), intake.Plan{Project: "acme", Instance: name, Name: "nightly",
			Change: func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) {
				return events.ScheduleConfig{Cron: cron, WindowSeconds: 7200}, nil
			}})
		return err
	})
	if b.Failed() {
		b.FailNow()
	}
	planned := time.Since(began)
	slots, err := p.Bus.Armed(b.Context(), "slot")
	for err == nil && len(slots) < *fleet && time.Now().Before(due) {
		<-time.After(time.Second)
		slots, err = p.Bus.Armed(b.Context(), "slot")
	}
	if err != nil || !time.Now().Before(due) {
		b.Fatalf("%d of %d slots were armed after %s, when they were due: %v", len(slots), *fleet, time.Since(began), err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
	defer cancel()
	b.Logf("%d instances planned in %s, armed in %s", *fleet, planned.Round(time.Second), time.Since(began).Round(time.Second))
	ids := map[string]uint64{}
	b.ResetTimer()
	err = p.Bus.Tail(ctx, events.EventRoot+".acme.*.*.backup.*.requested", bus.Start{Seq: 1}, func(_ string, ev events.Stored) error {
		if seq, ok := ids[ev.PartitionKey]; ok && seq != ev.Seq {
			return fmt.Errorf("%s was requested twice", ev.PartitionKey)
		}
		if ids[ev.PartitionKey] = ev.Seq; len(ids) == *fleet {
			return errAll
		}
		return nil
	})
	if !errors.Is(err, errAll) {
		b.Fatalf("%d of %d slots were decided: %v", len(ids), *fleet, err)
	}
	took := time.Since(due)
	b.StopTimer()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(*fleet)/took.Seconds(), "slots/s")
	b.ReportMetric(took.Seconds(), "s-after-due")
	b.ReportMetric(float64(m.HeapAlloc)/float64(*fleet), "heap-B/instance")
	b.ReportMetric(0, "ns/op")
}

var errAll = errors.New("all slots are decided")

// each runs f for every instance, some at a time.
func each(b *testing.B, f func(n int) error) {
	b.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range next {
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	for n := 0; n < *fleet && !b.Failed(); n++ {
		select {
		case next <- n:
		case <-time.After(time.Minute):
			b.Error("nobody goes on")
		}
	}
	close(next)
	wg.Wait()
}
