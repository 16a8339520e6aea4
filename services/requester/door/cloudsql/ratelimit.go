package cloudsql

import (
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// RateLimit is Cloud SQL's bucket of backup operations of an instance (cloudsql.md 5.1, PD-6). The zero value
// limits nothing; Cloud SQL's own is 5 and 10 min.
type RateLimit struct {
	Burst int           `yaml:"burst"`
	Every time.Duration `yaml:"every"` // until a token comes back
}

const maxBurst = 100

// Validate reports all mistakes at once.
func (l RateLimit) Validate() error {
	var errs []error
	if l.Burst < 0 || l.Burst > maxBurst {
		errs = append(errs, fmt.Errorf("burst: %d is not between 0 and %d", l.Burst, maxBurst))
	}
	if l.Every < 0 || l.Burst > 0 && l.Every == 0 {
		errs = append(errs, errors.New("every: say how long it takes until a token comes back, as 10m"))
	}
	return errors.Join(errs...)
}

// limit tells whether a bucket has no token left: the backup is then recorded and fails with the failure, and
// would not start before the time that it names. The bucket is computed from what stands in the log, so that it
// is one for all replicas; two requests at the same moment may both find its last token.
func (d *Door) limit(c *call, project, instance string) (notBefore time.Time, f *events.Failure, err error) {
	l := d.c.RateLimit
	if l.Burst == 0 {
		return time.Time{}, nil, nil
	}
	// Whatever lies further back has given its token back: the burst is refilled after Burst × Every.
	since := d.now().Add(-time.Duration(l.Burst) * l.Every * 2)
	var taken []time.Time // newest first
	for cursor := ""; ; {
		ops, next, err := d.intake.Operations(c.Context(), project, instance, cursor, 100)
		if err != nil {
			return time.Time{}, nil, err
		}
		for _, op := range ops {
			if op.Kind == lifecycle.Creation && op.OnDemand && op.Failure == nil && op.InsertTime.After(since) {
				taken = append(taken, op.InsertTime.Time)
			}
		}
		if next == "" || len(ops) == 0 || ops[len(ops)-1].InsertTime.Before(since) {
			break
		}
		cursor = next
	}
	used, at := 0.0, since
	for i := len(taken) - 1; i >= 0; i-- {
		used, at = drained(used, taken[i].Sub(at), l.Every)+1, taken[i]
	}
	used = drained(used, d.now().Sub(at), l.Every)
	if used <= float64(l.Burst-1) {
		return time.Time{}, nil, nil
	}
	wait := time.Duration((used - float64(l.Burst-1)) * float64(l.Every))
	retry := d.now().Add(wait)
	return retry, &events.Failure{Code: events.QuotaExceeded, Category: events.ByUser, Retryable: true,
		Message: fmt.Sprintf("the instance has had its backups for now: try again after %s", events.At(retry))}, nil
}

func drained(used float64, passed, every time.Duration) float64 {
	return max(0, used-float64(passed)/float64(every))
}
