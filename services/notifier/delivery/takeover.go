package delivery

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Load takes over from whoever ran before: records are those from floor on that are open, and all of events above
// matched, up to which every delivery had its record. The latter keep their place in the order: they come in when
// their event is matched again, which makes no other delivery of them.
func (e *Engine) Load(ctx context.Context, records []*Record, matched, floor uint64) {
	records = slices.SortedStableFunc(slices.Values(records), func(a, b *Record) int { return cmp.Compare(a.EventSeq, b.EventSeq) })
	e.mu.Lock()
	e.matched, e.newest, e.least = matched, floor, math.MaxUint64
	for _, r := range records {
		e.newest = max(e.newest, r.Seq)
		switch {
		case r.EventSeq > matched && r.ReplayID == "":
			e.inherited = append(e.inherited, r)
			e.least, e.again = min(e.least, r.Seq), r.EventSeq
		case r.State.Open():
			e.place(&item{Record: *r, due: r.NextAttemptTime.Time})
		}
	}
	e.mu.Unlock()
	nudge(e.wake)
	e.storeEnds(ctx)
}

// inherit gives those of events up to a place to their lanes, and tells which there were, by delivery id. The caller
// holds the mutex.
func (e *Engine) inherit(upTo uint64) map[string]bool {
	var there map[string]bool
	for len(e.inherited) > 0 && e.inherited[0].EventSeq <= upTo {
		r := e.inherited[0]
		if e.inherited = e.inherited[1:]; len(e.inherited) == 0 {
			e.inherited = nil // and what they were read into
		}
		if there == nil {
			there = map[string]bool{}
		}
		there[r.DeliveryID] = true
		if r.State.Open() {
			e.place(&item{Record: *r, due: r.NextAttemptTime.Time})
		}
	}
	return there
}

// after is a place in the log of deliveries that is below the records of an event and of all later ones. The caller
// holds the mutex.
func (e *Engine) after(ev uint64) uint64 {
	if ev <= e.again {
		return min(e.least, e.newest)
	}
	return e.newest
}

// Matched tells the engine that the log of events has been read up to a place. It returns the place up to which
// every delivery has a record: what whoever takes over matches from.
func (e *Engine) Matched(upTo uint64) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.inherit(upTo)) > 0 {
		nudge(e.wake)
	}
	upTo = max(upTo, e.matched) // Match may have ended within what it was given
	for i := range e.bare {
		upTo = min(upTo, i.EventSeq-1)
	}
	return upTo
}

// Floor is a place in the log of deliveries below which no record is open, nor one of an event above Matched: where
// whoever takes over begins to read. before is what it was last, from which it goes back if a record that was stored
// without an answer turns up below. It is to be asked for before Matched.
func (e *Engine) Floor(before uint64) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	floor := e.newest
	look := func(place uint64) { floor = min(floor, place) }
	if e.accepting > 0 {
		look(before)
	}
	for _, l := range e.lanes {
		for _, i := range l.open {
			look(i.place())
		}
	}
	for l := range e.removed {
		for _, i := range l.open {
			look(i.place())
		}
	}
	for _, i := range e.ending {
		look(i.place())
	}
	for i := range e.bare {
		look(i.place())
	}
	for _, r := range e.inherited {
		look(r.Seq)
	}
	return floor
}
