package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// obeyTime is how long a storage has to give up when it is told to.
const obeyTime = 2 * time.Second

// within runs f and waits for its end, or a little longer than ctx: a storage that hangs may not obey. What did
// not return goes on by itself and is told from what has ended.
func within(ctx context.Context, f func(context.Context) error) (returned bool, err error) {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
			}
		}()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return true, err
	case <-ctx.Done():
	}
	timer := time.NewTimer(obeyTime)
	defer timer.Stop()
	select {
	case err := <-done:
		return true, err
	case <-timer.C:
		return false, context.Cause(ctx)
	}
}
