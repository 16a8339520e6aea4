package delivery

import (
	"container/heap"
	"slices"
	"time"
)

// item is a delivery that is still to be sent.
type item struct {
	Record
	due   time.Time
	order uint64 // of coming into the lane

	// What follows is about one that has no record yet. The engine's mutex guards it.
	after   uint64        // place in the log of deliveries: its record will be above, and those of later events
	running bool          // a request is made of it
	claimed bool          // its attempt is over: who made it writes the record
	writing chan struct{} // not nil while its first record is written, and closed then
	pause   time.Duration // after its first record could not be stored
	tryAt   time.Time     // not before
}

// place is where in the log of deliveries to look for it.
func (i *item) place() uint64 {
	if i.Seq == 0 {
		return i.after
	}
	return i.Seq
}

// items is a heap: what is due first, of those what came first.
type items []*item

func (h items) Len() int { return len(h) }
func (h items) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].order < h[j].order
}
func (h items) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *items) Push(x any) { *h = append(*h, x.(*item)) }

// Pop implements heap.Interface.
func (h *items) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

func (h *items) add(i *item) { heap.Push(h, i) }
func (h *items) take() *item { return heap.Pop(h).(*item) }

// moved puts i, if it is there, where it belongs since its due has changed.
func (h *items) moved(i *item) {
	if at := slices.Index(*h, i); at >= 0 {
		heap.Fix(h, at)
	}
}

// first is what is due first, nil if there is nothing.
func (h items) first() *item {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

// sources is the order of events.md 7.10: of each CloudEvents source only the first delivery may be sent.
type sources map[string][]*item

// add tells whether i may be sent at once.
func (s sources) add(i *item) bool {
	s[i.EventSource] = append(s[i.EventSource], i)
	return len(s[i.EventSource]) == 1
}

// end forgets i, wherever it stands, and returns the one whose turn it is now, nil if it is that of none or of the
// same as before.
func (s sources) end(i *item) *item {
	q := s[i.EventSource]
	at := slices.Index(q, i)
	switch {
	case at < 0:
		return nil
	case len(q) == 1:
		delete(s, i.EventSource)
		return nil
	case at > 0:
		s[i.EventSource] = slices.Delete(q, at, at+1)
		return nil
	}
	s[i.EventSource] = q[1:]
	return q[1]
}

// behind tells whether another one of its source comes before i.
func (s sources) behind(i *item) bool {
	q := s[i.EventSource]
	return len(q) > 0 && q[0] != i
}
