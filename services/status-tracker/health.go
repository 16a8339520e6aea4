package tracker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

const (
	// maxShown is how many instances have figures of their own; a scrape reads two sets of the view for each.
	maxShown = 2000
	// rated is how far back slots are counted.
	rated = 30 * 24 * time.Hour
	// scrapeTime bounds a scrape, below the ten seconds after which Prometheus gives up.
	scrapeTime = 8 * time.Second
)

// health shows how well instances are backed up. It reads the view when it is asked and keeps nothing, so every
// replica shows the same.
type health struct {
	view *view.View
	now  func() time.Time
	log  *slog.Logger
}

var (
	lastGoodDesc = prometheus.NewDesc("backupbus_last_good_backup_timestamp_seconds",
		"Moment whose data the newest restorable backup holds; no series: there is none.", []string{"project", "instance"}, nil)
	slotsDesc = prometheus.NewDesc("backupbus_slots_30d",
		"Due times of the instance's schedules in the last 30 days by outcome. Success rate: succeeded of succeeded, failed and missed.",
		[]string{"project", "instance", "outcome"}, nil)
	hiddenDesc = prometheus.NewDesc("backupbus_instances_without_figures",
		"1: there are more instances than have figures of their own, or the view could not be read in time.", nil, nil)
)

// Describe implements prometheus.Collector.
func (h *health) Describe(out chan<- *prometheus.Desc) {
	out <- lastGoodDesc
	out <- slotsDesc
	out <- hiddenDesc
}

// Collect implements prometheus.Collector.
func (h *health) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	more, err := h.each(ctx, func(n view.Named, one lifecycle.Health) {
		if g := one.LastGood; g != nil {
			at := float64(lifecycle.DataTime(*g).UnixMilli()) / 1000
			out <- prometheus.MustNewConstMetric(lastGoodDesc, prometheus.GaugeValue, at, n.Project, n.Instance)
		}
		for outcome, count := range map[lifecycle.SlotOutcome]int{
			lifecycle.SlotSucceeded: one.Slots.Succeeded, lifecycle.SlotFailed: one.Slots.Failed, lifecycle.SlotMissed: one.Slots.Missed,
			lifecycle.SlotPending: one.Slots.Pending, lifecycle.SlotSpared: one.Slots.Spared,
		} {
			out <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(count), n.Project, n.Instance, string(outcome))
		}
	})
	hidden := 0.0
	if err != nil || more {
		hidden = 1
	}
	if err != nil {
		h.log.Warn("figures of instances could not be read", "error", err.Error())
	}
	out <- prometheus.MustNewConstMetric(hiddenDesc, prometheus.GaugeValue, hidden)
}

func (h *health) each(ctx context.Context, show func(view.Named, lifecycle.Health)) (more bool, err error) {
	fleet, more, err := h.view.Fleet(ctx, maxShown)
	if err != nil {
		return false, err
	}
	since := h.now().Add(-rated)
	for _, n := range fleet {
		one, err := h.view.Health(ctx, n.Project, n.Instance, since)
		if err != nil {
			return more, err
		}
		show(n, one)
	}
	return more, nil
}
