package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/schedule"
)

// A daemon that is restarted every 20 hours still takes the backup that is due every 24, whether its timers
// outlived it or not. One that counted from its own start never would.
func TestDailySchedule_UnderRestartsEvery20Hours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lost bool
	}{{"timers survive", false}, {"timers are lost", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, 1, "orders")
			w.Hand.Auto()
			w.plan("orders", "daily", events.ScheduleConfig{EverySeconds: 86400, WindowSeconds: 3600})
			for restart := 1; restart <= 12; restart++ { // ten days
				w.until(w.clock.Add(20*time.Hour - 5*time.Minute))
				w.clock = w.clock.Add(5 * time.Minute) // nobody is there
				if c.lost {
					w.timers.all = map[string]armed{}
				}
				w.all[0] = schedule.New(w.in, w.Bus, w.timers, w.now, quiet)
				if err := w.all[0].Reconcile(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			for day := 22; day <= 31; day++ {
				want = append(want, fmt.Sprintf("03-%d 00:00 SUCCESSFUL", day))
			}
			if diff := cmp.Diff(want, w.outcomes()); diff != "" {
				t.Error(diff)
			}
			h, err := w.View.Health(t.Context(), "acme", "orders", sunday)
			if rate, ok := h.Slots.Rate(); err != nil || !ok || rate != 1 || h.Slots.Due() != 10 {
				t.Errorf("%+v, %v", h.Slots, err)
			}
		})
	}
}
