// Package tracker keeps the current view of every backup, restore and instance: the service around
// projector and view.
package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/status-tracker/janitor"
	"github.com/backupbus/backupbus/services/status-tracker/projector"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Config of the tracker; there is nothing to choose yet.
type Config struct{}

// Deps are what the tracker stands on. All are needed.
type Deps struct {
	Bus     *bus.Bus
	View    *view.View
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time

	// LogNow is what the clock of the log's server says; nil: its own word. It is for tests.
	LogNow func() time.Time
}

// New makes the part. It is ready when the view has everything that was in the log.
func New(d Deps, _ Config) (host.Part, error) {
	if d.Bus == nil || d.View == nil || d.Log == nil || d.Metrics == nil || d.Now == nil {
		return nil, errors.New("tracker: a dependency is missing")
	}
	s, err := newStats(d.Metrics)
	if err != nil {
		return nil, err
	}
	if err := d.Metrics.Register(&health{d.View, d.Now, d.Log}); err != nil {
		return nil, err
	}
	return &tracker{d, s}, nil
}

type tracker struct {
	Deps
	stats *stats
}

// history is the log as the janitor sees it.
func (t *tracker) history() janitor.Log {
	if t.LogNow == nil {
		return t.Bus
	}
	return clocked{t.Bus, t.LogNow}
}

// clocked is a log whose server has another clock.
type clocked struct {
	*bus.Bus
	now func() time.Time
}

// State implements janitor.Log.
func (c clocked) State(ctx context.Context) (bus.LogState, error) {
	s, err := c.Bus.State(ctx)
	s.Now = c.now()
	return s, err
}

// Name implements host.Part.
func (t *tracker) Name() string { return "status-tracker" }

// Run implements host.Part.
func (t *tracker) Run(ctx context.Context, ready func()) error {
	source, err := t.Bus.Batches(ctx, bus.TrackerDurable)
	if err != nil {
		return fmt.Errorf("consume events: %w", err)
	}
	defer source.Stop()
	progress, err := t.Bus.Batches(ctx, bus.ProgressDurable)
	if err != nil {
		return fmt.Errorf("consume progress: %w", err)
	}
	defer progress.Stop()
	deaf, err := t.hear(ctx)
	if err != nil {
		return err
	}
	defer deaf()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := projector.New(t.Bus, source, t.View, t.stats, t.Log)
	var beside sync.WaitGroup
	beside.Go(func() { _ = p.RunProgress(ctx, progress) }) // it ends with ctx, and has nothing else to say
	err = p.Run(ctx, func() {
		ready()
		beside.Go(func() { janitor.New(t.history(), p, t.stats, t.Log, t.Now).Run(ctx) })
	})
	stop()
	beside.Wait()
	return err
}

// stats are the tracker's figures.
type stats struct{ folded, purged *prometheus.CounterVec }

func newStats(r prometheus.Registerer) (*stats, error) {
	s := &stats{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backupbus_events_folded_total", Help: "Events by what the projector made of them.",
	}, []string{"verdict"}), prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backupbus_events_purged_total", Help: "Events that the janitor took out of the log, by what is left of their backup, or whatever they tell of: its last event, or nothing.",
	}, []string{"left"})}
	return s, errors.Join(r.Register(s.folded), r.Register(s.purged))
}

// Purged implements janitor.Stats.
func (s *stats) Purged(left lifecycle.Left, n int) {
	s.purged.WithLabelValues(left.String()).Add(float64(n))
}

// Folded implements projector.Stats.
func (s *stats) Folded(v lifecycle.Verdict, n int) {
	s.folded.WithLabelValues(v.String()).Add(float64(n))
}
