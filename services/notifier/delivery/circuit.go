package delivery

import "time"

// The circuit of events.md 7.9.
const (
	openAfter   = 10 // failures in a row
	watched     = 5 * time.Minute
	leastSample = 20
	badShare    = 0.7
	firstOpen   = 30 * time.Second
	longestOpen = 15 * time.Minute
)

// circuit decides whether a sink is spared. Its open state lies in Health, as that outlives the process.
type circuit struct {
	recent  []try // of the last five minutes
	probing bool
}

type try struct {
	at time.Time
	ok bool
}

// admit is when the next request may be made; false: not before the probe that runs has ended.
func (c *circuit) admit(h *Health) (time.Time, bool) {
	return h.OpenUntil, h.OpenFor == 0 || !c.probing
}

// begin notes that a request is made: of an open circuit it is the probe.
func (c *circuit) begin(h *Health) { c.probing = h.OpenFor > 0 }

// end draws the consequence of an attempt. THROTTLED counts neither way; as the answer to a probe it leaves the
// circuit open for as long again.
func (c *circuit) end(h *Health, o Outcome, now time.Time) {
	c.probing = false
	if o == Throttled {
		if h.OpenFor > 0 && !now.Before(h.OpenUntil) {
			h.OpenUntil = now.Add(h.OpenFor)
		}
		return
	}
	ok := o == Success
	for len(c.recent) > 0 && now.Sub(c.recent[0].at) > watched || len(c.recent) >= 1000 {
		c.recent = c.recent[1:]
	}
	c.recent = append(c.recent, try{now, ok})
	switch {
	case ok:
		h.Failures = 0
		if h.OpenFor > 0 {
			c.recent = nil
		}
		h.OpenFor, h.OpenUntil = 0, time.Time{}
	case h.OpenFor > 0 && now.Before(h.OpenUntil): // it was on its way when the circuit opened
		h.Failures++
	case h.OpenFor > 0:
		h.Failures++
		h.OpenFor = min(2*h.OpenFor, longestOpen)
		h.OpenUntil = now.Add(h.OpenFor)
	default:
		h.Failures++
		if h.Failures >= openAfter || c.bad() {
			h.OpenFor, h.OpenUntil = firstOpen, now.Add(firstOpen)
		}
	}
}

func (c *circuit) bad() bool {
	failed := 0
	for _, t := range c.recent {
		if !t.ok {
			failed++
		}
	}
	return len(c.recent) >= leastSample && float64(failed) >= badShare*float64(len(c.recent))
}
