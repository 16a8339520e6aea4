package delivery

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
}

const defaultMaxOpen = 100_000

// Engine makes the deliveries of all subscriptions. Safe for concurrent use.
type Engine struct {
	Deps
	letters  *letters
	recorder *recorder
	wake     chan struct{}
	running  sync.WaitGroup

	mu        sync.Mutex
	lanes     map[string]*lane
	byProject map[string]map[string]*lane // by token
	queue     []*project                  // those with something to send, in turn
	projects  map[string]*project
	sleeping  sleepers
	busy      int              // slots taken
	orders    uint64           // deliveries that ever came in
	newest    uint64           // place of the newest record
	accepting int              // calls that have stored records and not yet taken them in
	ending    map[string]*item // suppressed, which is not stored yet; by delivery id
	ends      sync.Mutex       // one writes them
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
	return &Engine{Deps: d, letters: newLetters(d.Events), recorder: &recorder{log: d.Log}, wake: make(chan struct{}, 1), lanes: map[string]*lane{},
		byProject: map[string]map[string]*lane{}, projects: map[string]*project{}, ending: map[string]*item{}}, nil
}

// Set adds a subscription, or replaces it by a new version. Once it is disabled, what waits ends SUPPRESSED,
// soon after.
func (e *Engine) Set(ctx context.Context, s Subscription, h Health) error {
	token, err := events.Token(s.Project)
	if err != nil {
		return fmt.Errorf("project of %s: %w", s.ID, err)
	}
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
	e.nudge()
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
	delete(e.byProject[l.project], id)
	e.settle(l)
	e.mu.Unlock()
	e.storeEnds(ctx)
}

// Load takes open records over from whoever ran them before, in the order in which they are to be sent.
func (e *Engine) Load(ctx context.Context, records []*Record) {
	e.mu.Lock()
	for _, r := range records {
		e.place(&item{Record: *r, due: r.NextAttemptTime.Time})
	}
	e.mu.Unlock()
	e.nudge()
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

// Floor is a place in the log of deliveries below which no record is open: where whoever takes over begins to
// read. before is what it was last.
func (e *Engine) Floor(before uint64) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.accepting > 0 {
		return before
	}
	floor, open := uint64(math.MaxUint64), false
	look := func(i *item) { floor, open = min(floor, i.Seq), true }
	for _, l := range e.lanes {
		for _, i := range l.open {
			look(i)
		}
	}
	for _, i := range e.ending {
		look(i)
	}
	if !open {
		return max(before, e.newest)
	}
	return floor
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

// Run sends until ctx ends; then requests that have begun may finish.
func (e *Engine) Run(ctx context.Context) {
	defer e.running.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l, i, sleep := e.pick()
		if i != nil {
			e.running.Add(1)
			go func() {
				defer e.running.Done()
				e.deliver(ctx, l, i)
			}()
			continue
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// pick begins the next delivery, or says how long there is none.
func (e *Engine) pick() (*lane, *item, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	for len(e.sleeping) > 0 && !e.sleeping[0].wakeAt.After(now) {
		e.settle(heap.Pop(&e.sleeping).(*lane))
	}
	for len(e.queue) > 0 && e.busy < e.Slots {
		p := e.queue[0]
		l := p.lanes[0]
		e.queue, p.lanes = e.queue[1:], p.lanes[1:]
		l.queued, p.queued = false, false
		i, at := l.next(now)
		if i == nil || at.After(now) {
			i = nil
		} else {
			l.take(i)
			e.busy++
		}
		if len(p.lanes) > 0 {
			p.queued = true
			e.queue = append(e.queue, p)
		}
		e.settle(l)
		if i != nil {
			return l, i, 0
		}
	}
	sleep := time.Hour
	if len(e.sleeping) > 0 {
		sleep = e.sleeping[0].wakeAt.Sub(now)
	}
	return nil, nil, max(sleep, 0)
}

// settle puts a lane where it belongs: into its project's turn, to sleep, or nowhere until something happens.
func (e *Engine) settle(l *lane) {
	if l.queued {
		return
	}
	if l.index >= 0 {
		heap.Remove(&e.sleeping, l.index)
	}
	now := e.Now()
	i, at := l.next(now)
	if i != nil && !at.After(now) {
		p := e.projects[l.project]
		if p == nil {
			p = &project{}
			e.projects[l.project] = p
		}
		l.queued = true
		p.lanes = append(p.lanes, l)
		if !p.queued {
			p.queued = true
			e.queue = append(e.queue, p)
		}
		return
	}
	if i != nil {
		l.wakeAt = at
		heap.Push(&e.sleeping, l)
	}
}

func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
