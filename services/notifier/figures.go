package notifier

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// figures are the notifier's metrics.
type figures struct {
	attempts   *prometheus.CounterVec
	unreadable prometheus.Counter
}

// newFigures shows every outcome from the start, so that the first failure is a change. r may be nil.
func newFigures(r prometheus.Registerer) (figures, error) {
	f := figures{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backupbus_deliveries_total",
		Help: "Finished attempts to deliver an event to a webhook, by outcome.",
	}, []string{"outcome"}), prometheus.NewCounter(prometheus.CounterOpts{
		Name: "backupbus_delivery_records_unreadable_total",
		Help: "Records of the delivery log that were met and could not be read.",
	})}
	for _, o := range delivery.Outcomes() {
		f.attempts.WithLabelValues(string(o))
	}
	if r == nil {
		return f, nil
	}
	return f, errors.Join(r.Register(f.attempts), r.Register(f.unreadable))
}

func (f figures) count(o delivery.Outcome) { f.attempts.WithLabelValues(string(o)).Inc() }
