// Package host runs parts: it is everything that a process needs around a service, and knows no service.
// Each cmd hands it one part, `backupbus up` hands it four.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Part is a service, or a piece of one, that runs until it is told to stop.
type Part interface {
	// Name for logs and errors.
	Name() string
	// Run blocks. It calls ready once, when it serves. When ctx ends it drains: stops fetching, finishes
	// what runs or hands it back, and returns nil or ctx's error. Any other return is a fault.
	Run(ctx context.Context, ready func()) error
}

// ErrLate is returned by Run when a part has not stopped in time.
var ErrLate = errors.New("did not stop in time")

// Config of Run. The zero value works.
type Config struct {
	StopIn time.Duration // for all parts together, default 20 s
	Log    *slog.Logger
	Health *Health // told what is ready; may be nil
}

// Run starts the parts in order, each when the one before is ready, calls ready when all are, and stops
// them in reverse order when ctx ends or one of them fails. It returns the first fault, or which part was
// late.
func Run(ctx context.Context, c Config, ready func(), parts ...Part) error {
	if c.StopIn == 0 {
		c.StopIn = 20 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running []*runner
	for _, p := range parts {
		r := start(ctx, p, fail)
		running = append(running, r)
		c.Health.starting(p.Name())
		select {
		case <-r.ready:
			c.Health.ready(p.Name())
			c.Log.DebugContext(ctx, "part ready", "part", p.Name())
			continue
		case <-r.done:
		case <-ctx.Done():
		}
		break
	}
	if ctx.Err() == nil && len(running) == len(parts) {
		ready()
	}
	<-ctx.Done()
	c.Health.stopping()
	late := stop(running, c.StopIn)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return late
}

type runner struct {
	part   Part
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
}

func start(ctx context.Context, p Part, fail context.CancelCauseFunc) *runner {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stopped by stop, in order
	r := &runner{part: p, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	var once sync.Once
	go func() {
		defer close(r.done)
		err := p.Run(own, func() { once.Do(func() { close(r.ready) }) })
		if own.Err() == nil { // it was not told to stop
			if err == nil {
				err = errors.New("ended by itself")
			}
			fail(fmt.Errorf("%s: %w", p.Name(), err))
		}
	}()
	return r
}

func stop(running []*runner, within time.Duration) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	var late []string
	for i := len(running) - 1; i >= 0; i-- {
		r := running[i]
		r.cancel()
		if len(late) > 0 {
			select {
			case <-r.done:
			default:
				late = append(late, r.part.Name())
			}
			continue
		}
		select {
		case <-r.done:
		case <-deadline.C:
			late = append(late, r.part.Name())
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(late, ", "), ErrLate)
	}
	return nil
}
