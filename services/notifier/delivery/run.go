package delivery

import (
	"container/heap"
	"context"
	"time"
)

// Run sends until ctx ends; then requests that have begun may finish.
func (e *Engine) Run(ctx context.Context) {
	requests, end := outlive(ctx)
	defer end()
	defer e.running.Wait()
	e.running.Go(func() { e.storeLate(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		l, i, sleep := e.pick()
		if i != nil {
			e.running.Go(func() { e.work(ctx, requests, l, i) })
			continue
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// work makes a delivery, and then what is next as long as there is something: a goroutine for each would cost more.
func (e *Engine) work(ctx, requests context.Context, l *lane, i *item) {
	for i != nil {
		e.deliver(ctx, requests, l, i)
		if ctx.Err() != nil {
			return
		}
		l, i, _ = e.pick()
	}
	nudge(e.wake) // until when there is nothing has changed
}

// pick begins the next delivery, or says how long there is none.
func (e *Engine) pick() (*lane, *item, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.Held() {
		return nil, nil, soon
	}
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
			l.tookAt = now
			e.runs(i, true)
			e.busy++
		}
		if len(p.lanes) > 0 {
			p.queued = true
			e.queue = append(e.queue, p)
		}
		e.settle(l)
		if i != nil {
			if len(e.queue) > 0 && e.busy < e.Slots {
				nudge(e.wake) // there may be more
			}
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

// nudge leaves word for whoever looks at the channel.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
