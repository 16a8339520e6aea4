package delivery

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// lane is one subscription's way: what waits, and when the next request may be made. Its engine's mutex
// guards it.
type lane struct {
	sub      Subscription
	project  string // token
	health   Health
	circuit  circuit
	rate     bucket
	replayed bucket // replays use at most half of the rate
	plain    items
	replays  items
	order    sources
	inFlight map[string]*item
	tookAt   time.Time        // when the newest of them was begun
	open     map[string]*item // all that are not ended, by delivery id
	stopped  string           // why no more is sent although the subscription is not yet disabled
	full     bool             // what comes on top is refused, which the log tells once
	queued   bool             // stands in its project's queue
	wakeAt   time.Time        // when to look again; in the engine's heap if index >= 0
	index    int
	dirty    bool // health has changed since it was stored
	saving   bool
	savedAt  time.Time
}

func newLane(project string) *lane {
	return &lane{project: project, order: sources{}, inFlight: map[string]*item{}, open: map[string]*item{}, index: -1}
}

// become takes over a new version of the subscription.
func (l *lane) become(s Subscription, now time.Time) {
	reorder := l.sub.Ordered != s.Ordered && len(l.open) > 0
	l.sub = s
	rate := max(s.RatePerMinute, 1)
	if s.Unverified {
		rate = min(rate, trickle)
	}
	l.rate.set(float64(rate), now)
	l.replayed.set(float64(rate)/2, now)
	if reorder {
		l.requeue()
	}
}

// requeue puts what waits into the lane anew.
func (l *lane) requeue() {
	l.plain, l.replays, l.order = nil, nil, sources{}
	all := slices.SortedFunc(maps.Values(l.open), func(a, b *item) int { return cmp.Compare(a.order, b.order) })
	for _, i := range all {
		if _, running := l.inFlight[i.DeliveryID]; running {
			if l.sub.Ordered && i.ReplayID == "" {
				l.order.add(i)
			}
			continue
		}
		l.wait(i)
	}
}

// why is the reason for which nothing is sent here any more, false if something may be.
func (l *lane) why() (reason string, ended bool) {
	if l.stopped != "" {
		return l.stopped, true
	}
	return l.sub.Reason, l.sub.Disabled
}

// add takes a delivery in.
func (l *lane) add(i *item) {
	l.open[i.DeliveryID] = i
	l.wait(i)
}

func (l *lane) wait(i *item) {
	switch {
	case i.ReplayID != "":
		l.replays.add(i)
	case !l.sub.Ordered || l.order.add(i):
		l.plain.add(i)
	}
}

// again puts a delivery back that is to be tried later; it keeps its place in the order.
func (l *lane) again(i *item) {
	if i.ReplayID != "" {
		l.replays.add(i)
		return
	}
	if !l.sub.Ordered || !l.order.behind(i) {
		l.plain.add(i)
	}
}

// end forgets a delivery that has ended; the next of its source may go.
func (l *lane) end(i *item) {
	delete(l.open, i.DeliveryID)
	if i.ReplayID != "" || !l.sub.Ordered {
		return
	}
	next := l.order.end(i)
	if next == nil {
		return
	}
	if _, running := l.inFlight[next.DeliveryID]; !running {
		l.plain.add(next)
	}
}

// next is what would be sent first and when: nil if nothing can be, whatever the time.
func (l *lane) next(now time.Time) (*item, time.Time) {
	if _, ended := l.why(); ended || len(l.inFlight) >= l.sub.MaxInFlight {
		return nil, time.Time{}
	}
	from, admitted := l.circuit.admit(&l.health)
	if !admitted {
		return nil, time.Time{}
	}
	from = latest(from, l.health.PausedUntil, l.rate.next(now))
	p, r := l.plain.first(), l.replays.first()
	var at time.Time
	if p != nil {
		at = latest(from, p.due)
	}
	if r != nil {
		if other := latest(from, r.due, l.replayed.next(now)); p == nil || other.Before(at) && at.After(now) {
			return r, other
		}
	}
	return p, at
}

// take begins the delivery that next returned.
func (l *lane) take(i *item) {
	if i.ReplayID != "" {
		l.replays.take()
		l.replayed.take()
	} else {
		l.plain.take()
	}
	l.rate.take()
	l.circuit.begin(&l.health)
	l.inFlight[i.DeliveryID] = i
}

// drop takes out all that waits; what is in flight ends by itself.
func (l *lane) drop() []*item {
	var out []*item
	for id, i := range l.open {
		if _, running := l.inFlight[id]; !running {
			out = append(out, i)
			delete(l.open, id)
		}
	}
	l.plain, l.replays, l.order = nil, nil, sources{}
	for _, i := range l.inFlight {
		if l.sub.Ordered && i.ReplayID == "" {
			l.order.add(i)
		}
	}
	return out
}

func latest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.After(first) {
			first = t
		}
	}
	return first
}
