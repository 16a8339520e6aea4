package delivery

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Plan says when a delivery is tried again and when it is given up.
type Plan struct {
	Delays []time.Duration // before the 2nd, 3rd … attempt; one attempt more than delays
	Slow   time.Duration   // least delay after a timeout, and after THROTTLED without Retry-After
	Limit  time.Duration   // no attempt begins later than this after the first
}

// ContractPlan is the plan of events.md 7.8: twelve attempts over three days.
func ContractPlan() Plan {
	return Plan{
		Delays: []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
			2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour},
		Slow:  time.Minute,
		Limit: 96 * time.Hour,
	}
}

func (p Plan) attempts() int { return len(p.Delays) + 1 }

// delay is the pause after attempt n, times a factor in [0.8, 1.2] that r in [0, 1) chooses.
func (p Plan) delay(n int, r float64) time.Duration {
	d := p.Delays[min(max(n, 1), len(p.Delays))-1]
	return time.Duration(float64(d) * (0.8 + 0.4*r))
}

// over tells whether no further attempt may begin.
func (p Plan) over(i *item, now time.Time) bool {
	return len(i.Attempts) > 0 && now.After(i.Attempts[0].StartTime.Add(p.Limit))
}

const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name: seconds or an HTTP date. 0 for one that is missing,
// unreadable or past; 24 h is the most that is granted.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if n, err := strconv.ParseUint(header, 10, 63); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
