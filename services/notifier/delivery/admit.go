package delivery

import (
	"context"
	"sync"
	"time"
)

// lane is the way to one endpoint: so many requests at once, none while it is paused, and a bounded number
// of deliveries that wait for their turn. Safe for concurrent use.
type lane struct {
	now   func() time.Time
	slots chan struct{} // taken while a request runs; those who wait are served in order
	share int           // deliveries that may be here at once, waiting ones included

	mu     sync.Mutex
	inside int
	paused time.Time      // no request before this
	putOff map[string]int // delivery id → how often it was sent away without a request
}

func newLane(now func() time.Time, maxInFlight, share int) *lane {
	return &lane{now: now, slots: make(chan struct{}, maxInFlight), share: max(share, maxInFlight),
		putOff: map[string]int{}}
}

// enter waits for a slot; leave gives it back. Later means that no request may be made now, which does not
// count as an attempt; any other error is ctx's.
func (l *lane) enter(ctx context.Context, deliveryID string) (leave func(), err error) {
	if err := l.admit(deliveryID); err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		l.exit()
		return nil, ctx.Err()
	}
	leave = func() {
		<-l.slots
		l.exit()
	}
	if err := l.stillOpen(deliveryID); err != nil { // the endpoint asked for a pause while this one waited
		leave()
		return nil, err
	}
	return leave, nil
}

func (l *lane) admit(deliveryID string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.open(deliveryID); err != nil {
		return err
	}
	if l.inside >= l.share {
		return l.later(deliveryID, time.Second<<min(l.putOff[deliveryID], 5), "endpoint is busy")
	}
	l.inside++
	return nil
}

func (l *lane) stillOpen(deliveryID string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open(deliveryID)
}

// open tells whether requests may be made; the caller holds the mutex, as for later.
func (l *lane) open(deliveryID string) error {
	if wait := l.paused.Sub(l.now()); wait > 0 {
		return l.later(deliveryID, wait, "endpoint is paused")
	}
	return nil
}

func (l *lane) exit() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside--
}

func (l *lane) later(deliveryID string, after time.Duration, why string) error {
	l.putOff[deliveryID]++
	return Later{after, why}
}

// attempt is the number of the attempt that a delivery begins when it is handed out the count-th time.
func (l *lane) attempt(deliveryID string, count int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(count-l.putOff[deliveryID], 1)
}

// pause keeps every request back for a while; a pause that ends later stays.
func (l *lane) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.now().Add(d); until.After(l.paused) {
		l.paused = until
	}
}

// forget drops what is known of a delivery that has ended.
func (l *lane) forget(deliveryID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.putOff, deliveryID)
}
