package bustest

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// Frame is one message on the line, in NATS's own words.
type Frame struct {
	ToClient bool   // else towards the server
	Subject  string // where it was published; for an answer, the inbox
	Data     []byte // headers and payload
}

// Match picks frames.
type Match func(Frame) bool

// PubAck picks the server's confirmations that a message was stored.
func PubAck(f Frame) bool { return f.ToClient && bytes.HasPrefix(f.Data, []byte(`{"stream":`)) }

// Delivered picks what is delivered to a client from subjects that start so.
func Delivered(prefix string) Match {
	return func(f Frame) bool { return f.ToClient && strings.HasPrefix(f.Subject, prefix) }
}

// Published picks what a client publishes on subjects that start so.
func Published(prefix string) Match {
	return func(f Frame) bool { return !f.ToClient && strings.HasPrefix(f.Subject, prefix) }
}

// Faults are the rules by which the proxy breaks what passes. The first rule that picks a frame applies.
type Faults struct {
	proxy *proxy
	mu    sync.Mutex
	rules []*Fault
}

// Fault is one rule.
type Fault struct {
	pick  Match
	do    action
	delay time.Duration
	left  int
	hit   chan struct{}
	once  sync.Once
}

// Hit is closed when the fault first met a frame.
func (f *Fault) Hit() <-chan struct{} { return f.hit }

type action int

const (
	pass action = iota
	drop
	double
	hold
	swap
)

// Drop loses the next n frames that m picks.
func (f *Faults) Drop(n int, m Match) *Fault { return f.add(m, n, drop, 0) }

// Double sends each of the next n frames twice.
func (f *Faults) Double(n int, m Match) *Fault { return f.add(m, n, double, 0) }

// Delay holds the line up for d at each of the next n frames.
func (f *Faults) Delay(n int, d time.Duration, m Match) *Fault { return f.add(m, n, hold, d) }

// Reorder sends each of the next n frames behind the message that follows it, or alone if none follows
// within a fifth of a second.
func (f *Faults) Reorder(n int, m Match) *Fault { return f.add(m, n, swap, 0) }

// Cut closes every connection. Clients reconnect.
func (f *Faults) Cut() { f.proxy.cut() }

func (f *Faults) add(m Match, n int, do action, d time.Duration) *Fault {
	rule := &Fault{pick: m, do: do, delay: d, left: n, hit: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, rule)
	return rule
}

func (f *Faults) judge(fr Frame) (action, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.left > 0 && r.pick(fr) {
			r.left--
			r.once.Do(func() { close(r.hit) })
			return r.do, r.delay
		}
	}
	return pass, 0
}
