package janitor_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/janitor"
)

// diary is an empty log that notes when it is surveyed, and is away when it is told to be.
type diary struct {
	began time.Time
	at    []time.Duration
	away  func(run int) bool
}

func (d *diary) State(context.Context) (bus.LogState, error) {
	return bus.LogState{HistoryDays: 90, Now: time.Now()}, nil
}

func (d *diary) Survey(context.Context, time.Time, func(string, uint64, *events.Event)) error {
	d.at = append(d.at, time.Since(d.began))
	if d.away(len(d.at)) {
		return errors.New("the log is away")
	}
	return nil
}

func (d *diary) Last(context.Context, string) (events.Stored, bool, error) {
	return events.Stored{}, false, nil
}

func (d *diary) Purge(context.Context, events.Subject, uint64) (int, error) { return 0, nil }

type uncounted struct{}

func (uncounted) Purged(lifecycle.Left, int) {}

// A run is at the start and then daily; one that failed comes again within the hour.
func TestRun_IsDailyAndTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now(), away: func(run int) bool { return run == 2 }}
		j := janitor.New(d, behind{}, uncounted{}, slog.New(slog.DiscardHandler), time.Now)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Hour-time.Minute)
		defer cancel()
		j.Run(ctx)
		if diff := cmp.Diff([]time.Duration{0, 24 * time.Hour, 25 * time.Hour, 49 * time.Hour}, d.at); diff != "" {
			t.Error(diff)
		}
	})
}
