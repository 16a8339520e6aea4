package schedule_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Replicas are killed while they decide, at any moment; their ticks come again, to whoever is left. In the end each
// slot has one backup id and one outcome.
func TestReplicas_KilledAtRandom_DecideEachSlotOnce(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{2, 3} {
		const slots = 500
		w := begin(t, replicas, "orders")
		w.Hand.Auto()
		r := rand.New(rand.NewPCG(7, uint64(replicas)))
		w.plan("orders", "often", events.ScheduleConfig{EverySeconds: 60, WindowSeconds: 50})
		end := w.clock.Add(slots * time.Minute)
		killed := 0
		for {
			key, a, ok := w.timers.next(end)
			if !ok {
				break
			}
			if a.at.After(w.clock) {
				w.clock = a.at
			}
			for r.IntN(3) == 0 { // this one dies before, while or after it decides
				dying, kill := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, kill)
				if w.any().Tick(dying, key, a.data) != nil {
					killed++
				}
				timer.Stop()
				kill()
			}
			if err := w.any().Tick(t.Context(), key, a.data); err != nil {
				t.Fatal(key, err)
			}
			w.settle()
		}
		requests, outcomes := map[time.Time]int{}, map[time.Time]string{}
		for _, ev := range w.Events("acme") {
			if ev.Entity() != events.Backups {
				continue
			}
			b, err := events.Decode[events.Backup](ev.Event)
			if err != nil {
				t.Fatal(err)
			}
			switch ev.Step() {
			case events.Requested:
				requests[b.DueTime.Time]++
			case events.Succeeded, events.Skipped:
				outcomes[b.DueTime.Time] += string(ev.Step())
			}
		}
		for n := 1; n <= slots; n++ {
			due := sunday.Add(time.Duration(n) * time.Minute)
			if requests[due] != 1 || outcomes[due] != "succeeded" {
				t.Errorf("%d replicas: %s was requested %d times and ended %q", replicas, due.Format("15:04"), requests[due], outcomes[due])
			}
		}
		if killed == 0 {
			t.Errorf("%d replicas: none of them was killed while it decided", replicas)
		}
	}
}

// The real timers of the bus, the real requester: a slot fires, its backup is taken, and the next is armed.
func TestRequester_ASlotFiresByTheBussTimers(t *testing.T) {
	t.Parallel()
	w := pipelinetest.Start(t, pipelinetest.Options{})
	w.Register("acme", "orders")
	w.Hand.Auto()
	in := intake.New(w.Bus, w.View, time.Now, quiet, intake.Config{Bus: w.Bus.Name()})
	began := time.Now()
	sc, err := in.Plan(t.Context(), intake.Plan{Project: "acme", Instance: "orders", Name: "minutely",
		Change: func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) {
			return events.ScheduleConfig{EverySeconds: 60, WindowSeconds: 60}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	due := began.Truncate(time.Minute).Add(time.Minute).UTC()
	b, err := in.BackupDue(t.Context(), sc, due)
	for intake.KindOf(err) == intake.NotFound && time.Since(began) < 2*time.Minute {
		state, serr := w.Bus.State(t.Context())
		if serr != nil {
			t.Fatal(serr)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_ = w.View.Passed(ctx, "acme", state.Last+1) // wakes with the next event
		cancel()
		b, err = in.BackupDue(t.Context(), sc, due)
	}
	if err != nil {
		t.Fatal(err)
	}
	if early := time.Until(due); early > 0 {
		t.Errorf("it was asked for %s early", early)
	}
	w.Await("acme", b.BackupID, events.Succeeded)
	armed, err := w.Bus.Armed(t.Context(), "slot")
	if err != nil || !armed["slot."+sc.ScheduleID] {
		t.Errorf("the next slot is not armed: %v, %v", armed, err)
	}
}
