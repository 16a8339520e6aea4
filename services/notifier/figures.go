package notifier

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// figures are the notifier's metrics.
type figures struct{ attempts *prometheus.CounterVec }

// newFigures shows every outcome from the start, so that the first failure is a change. r may be nil.
func newFigures(r prometheus.Registerer) (figures, error) {
	f := figures{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backupbus_deliveries_total",
		Help: "Finished attempts to deliver an event to a webhook, by outcome.",
	}, []string{"outcome"})}
	for _, o := range delivery.Outcomes() {
		f.attempts.WithLabelValues(string(o))
	}
	if r == nil {
		return f, nil
	}
	return f, r.Register(f.attempts)
}

func (f figures) count(o delivery.Outcome) { f.attempts.WithLabelValues(string(o)).Inc() }
