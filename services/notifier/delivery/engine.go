package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Deps are what the engine stands on. All are needed.
type Deps struct {
	Log      Log
	Events   Events
	Keeper   Keeper
	Appender Appender
	Logger   *slog.Logger
	Now      func() time.Time
	Random   func() float64 // in [0, 1): the jitter of the plan
	Count    func(Outcome)  // called once for every finished attempt
	Plan     Plan
	Slots    int // requests at once, of all subscriptions together
	MaxOpen  int // deliveries of one subscription that wait, default 100,000, and half as many replays: they are held in memory
	// Held tells whether nobody else may be sending, and is asked before each request. Default: nobody ever is.
	Held func() bool
}

const defaultMaxOpen = 100_000

// Engine makes the deliveries of all subscriptions. Safe for concurrent use.
type Engine struct {
	Deps
	letters  *letters
	recorder *recorder
	wake     chan struct{}
	more     chan struct{} // there are some without a record
	full     chan struct{} // there may be no more
	room     chan struct{} // there are fewer
	running  sync.WaitGroup

	mu          sync.Mutex
	lanes       map[string]*lane
	byProject   map[string]map[string]*lane // by token
	queue       []*project                  // those with something to send, in turn
	removed     map[*lane]bool              // of subscriptions that are not there any more, with what runs
	projects    map[string]*project
	sleeping    sleepers
	busy        int              // slots taken
	orders      uint64           // deliveries that ever came in
	newest      uint64           // place of the newest record
	accepting   int              // calls that have stored records and not yet taken them in
	ending      map[string]*item // suppressed, which is not stored yet; by delivery id
	ends        sync.Mutex       // one writes them
	bare        map[*item]bool   // those without a record
	bareRunning int              // of them are being sent
	matched     uint64           // place of the newest event that Match was given
	inherited   []*Record        // of events above where the one before had come, in the order of the log
	again       uint64           // place of the last of those events
	least       uint64           // place of the first of those records
}

// project is the turn of one project: its lanes that have something to send, in turn.
type project struct {
	lanes  []*lane
	queued bool
}

// New makes an engine without subscriptions.
func New(d Deps) (*Engine, error) {
	if d.Log == nil || d.Events == nil || d.Keeper == nil || d.Appender == nil || d.Logger == nil || d.Now == nil ||
		d.Random == nil || d.Count == nil || len(d.Plan.Delays) == 0 || d.Slots <= 0 {
		return nil, errors.New("delivery: a dependency is missing")
	}
	if d.MaxOpen <= 0 {
		d.MaxOpen = defaultMaxOpen
	}
	if d.Held == nil {
		d.Held = func() bool { return true }
	}
	return &Engine{Deps: d, letters: newLetters(d.Events), recorder: &recorder{log: d.Log}, lanes: map[string]*lane{}, removed: map[*lane]bool{},
		wake: make(chan struct{}, 1), more: make(chan struct{}, 1), room: make(chan struct{}, 1), full: make(chan struct{}, 1),
		byProject: map[string]map[string]*lane{}, projects: map[string]*project{}, ending: map[string]*item{}, bare: map[*item]bool{}}, nil
}

// Set adds a subscription, or replaces it by a new version. Once it is disabled, what waits ends SUPPRESSED,
// soon after.
func (e *Engine) Set(ctx context.Context, s Subscription, h Health) error {
	token, err := events.Token(s.Project)
	if err != nil {
		return fmt.Errorf("project of %s: %w", s.ID, err)
	}
	s.log = s.logger(e.Logger)
	e.mu.Lock()
	l := e.lanes[s.ID]
	if l == nil {
		l = newLane(token)
		if l.health = h; h.Target != s.Target {
			l.health, l.dirty = h.Fresh(), true
		}
		l.health.Target = s.Target
		l.sub.Target = s.Target
		e.lanes[s.ID] = l
		if e.byProject[token] == nil {
			e.byProject[token] = map[string]*lane{}
		}
		e.byProject[token][s.ID] = l
	}
	fresh := l.sub.Disabled && !s.Disabled || l.sub.Target != s.Target
	l.become(s, e.Now())
	if fresh {
		l.stopped, l.circuit = "", circuit{}
		l.health, l.dirty = l.health.Fresh(), true
		l.health.Target = s.Target
	}
	if s.Disabled {
		e.suppress(l.drop(), s.Reason)
	}
	e.settle(l)
	e.mu.Unlock()
	nudge(e.wake)
	e.storeEnds(ctx)
	return nil
}

// Has tells whether a subscription is known: its Health is then at hand.
func (e *Engine) Has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lanes[id] != nil
}

// Remove forgets a subscription; what waits ends SUPPRESSED.
func (e *Engine) Remove(ctx context.Context, id string) {
	e.mu.Lock()
	l := e.lanes[id]
	if l == nil {
		e.mu.Unlock()
		return
	}
	l.stopped = Removed
	e.suppress(l.drop(), Removed)
	delete(e.lanes, id)
	if len(l.open) > 0 {
		e.removed[l] = true
	}
	delete(e.byProject[l.project], id)
	e.settle(l)
	e.mu.Unlock()
	e.storeEnds(ctx)
}

// add gives a delivery to its lane; the caller holds the mutex, as for settle.
func (e *Engine) add(l *lane, i *item) {
	if l.open[i.DeliveryID] != nil {
		return
	}
	e.orders++
	i.order = e.orders
	e.newest = max(e.newest, i.Seq)
	l.add(i)
	l.dirty = true
	e.settle(l)
}

// InFlight tells the deliveries of a subscription whose request runs.
func (e *Engine) InFlight(subscriptionID string) map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]bool{}
	if l := e.lanes[subscriptionID]; l != nil {
		for id := range l.inFlight {
			out[id] = true
		}
	}
	return out
}
