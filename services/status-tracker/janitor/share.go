package janitor

import (
	"hash/fnv"
	"math"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

const (
	// mostAggregates are held in memory at once, with some 200 bytes each: 20 MB. Of more the log is read again for
	// each further share.
	mostAggregates = 100_000
	// mostEvents of one aggregate are purged in one run; the next goes on.
	mostEvents = 64
)

// past is what is known of an aggregate from its old events. It holds places, and no record.
type past struct {
	before []uint64 // the first places of its events, without the last
	last   uint64   // place of its last event before the limit
	count  int
	order  string         // sequence of the last event
	left   lifecycle.Left // by its last event; Unclear if any of them is
}

// more tells whether there are events before the last that are not listed.
func (p *past) more() bool { return p.count-1 > len(p.before) }

// due tells whether something of it is to go.
func (p *past) due() bool {
	return p.left == lifecycle.Nothing || p.left == lifecycle.LastEvent && p.count > 1
}

// share is a part of all aggregates: those whose scope has a hash from from to to. It becomes smaller when it does not
// fit, so that what is in it is always complete.
type share struct {
	from, to uint64 // both inclusive
	done     bool   // there is none after the one before
	old      map[string]*past
}

func everything() *share { return &share{to: math.MaxUint64, old: map[string]*past{}} }

func (s *share) over() bool { return s.done }

// next is as large as what has proven to fit, or what is left.
func (s *share) next() *share {
	if s.to == math.MaxUint64 {
		return &share{done: true}
	}
	n := &share{from: s.to + 1, to: math.MaxUint64, old: map[string]*past{}}
	if size := s.to - s.from; size < math.MaxUint64-n.from {
		n.to = n.from + size
	}
	return n
}

// take notes an event, or a message that is none, if its aggregate is in the share.
func (s *share) take(subject string, seq uint64, ev *events.Event, most int) {
	at, err := events.ParseSubject(subject)
	if err != nil {
		return // nobody's: it stays
	}
	scope := at.Scope()
	if h := hash(scope); h < s.from || h > s.to {
		return
	}
	left, order := lifecycle.Unclear, ""
	if ev != nil && events.Mismatch(*ev, subject) == nil {
		left, order = lifecycle.LeftBy(*ev), ev.Sequence
	}
	p := s.old[scope]
	if p == nil {
		s.old[scope] = &past{last: seq, count: 1, left: left, order: order}
		s.fit(most)
		return
	}
	if len(p.before) < mostEvents {
		p.before = append(p.before, p.last)
	}
	p.last, p.count = seq, p.count+1
	if order <= p.order { // the last event is not the one that counts (events.md 3.3): somebody has to look
		left = lifecycle.Unclear
	}
	p.order = order
	if p.left != lifecycle.Unclear {
		p.left = left
	}
}

// fit halves the share until it fits.
func (s *share) fit(most int) {
	for len(s.old) > most && s.to > s.from {
		s.to = s.from + (s.to-s.from)/2
		for scope := range s.old {
			if hash(scope) > s.to {
				delete(s.old, scope)
			}
		}
	}
}

func hash(scope string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(scope))
	return h.Sum64()
}
