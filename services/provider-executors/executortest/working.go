package executortest

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// A server may put things in order after its start, and write what it holds back later: of so many looks at one that
// waits, after the first that finds it idle, one may find it at work.
const waits, orders = 10, 1

// WaitsAndWorks asserts that a server which has nothing to do is not taken for one that works, and that it is while it
// loads. load is called again and again.
func WaitsAndWorks(t testing.TB, pid int, load func(context.Context) error) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the machine does not tell what a program uses")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	looks := make(chan bool)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() {
		tool.Watch(pid, ctx.Done(), func(worked bool) {
			select {
			case looks <- worked:
			case <-ctx.Done():
			}
		})
	})
	await := func(what string, want bool) {
		t.Helper()
		for {
			select {
			case worked := <-looks:
				if worked == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("a server that %s was never seen so", what)
			}
		}
	}
	await("waits", false)
	worked := 0
	for range waits {
		select {
		case w := <-looks:
			if w {
				worked++
			}
		case <-ctx.Done():
			t.Fatal("no look for two minutes")
		}
	}
	if worked > orders {
		t.Errorf("a server that waits was taken for one that works by %d of %d looks", worked, waits)
	}
	all.Go(func() {
		for ctx.Err() == nil {
			if err := load(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("load: %v", err)
				cancel()
			}
		}
	})
	await("loads", true)
	await("still loads", true)
}
