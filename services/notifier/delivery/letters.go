package delivery

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/backupbus/backupbus/events"
)

// letter is an event with the bodies that are sent of it. Each form of body is encoded once, for all
// subscriptions and attempts.
type letter struct {
	events.Event
	mu     sync.Mutex
	bodies map[string][]byte // by form
}

// body is what to sends of the event.
func (l *letter) body(to Endpoint) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	form := to.Form()
	if b, there := l.bodies[form]; there {
		return b, nil
	}
	b, err := to.Encode(l.Event)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", l.ID, err)
	}
	if l.bodies == nil {
		l.bodies = map[string][]byte{}
	}
	l.bodies[form] = b
	return b, nil
}

// lettersAtHand bounds what is kept of events for the deliveries that wait; further events are read again.
const lettersAtHand = 32 << 20

// letters are the events that were used last. Safe for concurrent use.
type letters struct {
	events Events

	mu    sync.Mutex
	bySeq map[uint64]*list.Element
	order *list.List // of *kept, used last first
	size  int
}

type kept struct {
	*letter
	seq uint64
}

func newLetters(e Events) *letters {
	return &letters{events: e, bySeq: map[uint64]*list.Element{}, order: list.New()}
}

// at is the event of a place in the log.
func (s *letters) at(ctx context.Context, seq uint64) (*letter, error) {
	s.mu.Lock()
	if el := s.bySeq[seq]; el != nil {
		s.order.MoveToFront(el)
		s.mu.Unlock()
		return el.Value.(*kept).letter, nil
	}
	s.mu.Unlock()
	ev, err := s.events.At(ctx, seq)
	if err != nil {
		return nil, err
	}
	return s.keep(seq, ev), nil
}

// keep has an event at hand, instead of those that were used least lately.
func (s *letters) keep(seq uint64, ev events.Event) *letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.bySeq[seq]; el != nil {
		return el.Value.(*kept).letter
	}
	k := &kept{&letter{Event: ev}, seq}
	s.bySeq[seq] = s.order.PushFront(k)
	for s.size += k.weight(); s.size > lettersAtHand && s.order.Len() > 1; {
		oldest := s.order.Remove(s.order.Back()).(*kept)
		s.size -= oldest.weight()
		delete(s.bySeq, oldest.seq)
	}
	return k.letter
}

// weight is about what an event and a body of it take up.
func (k *kept) weight() int { return 2*len(k.Data) + 2<<10 }
