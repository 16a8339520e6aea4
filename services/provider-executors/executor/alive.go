package executor

import "context"

type aliveKey struct{}

// WithAlive gives the work below ctx a way to say that it goes on. f is safe for concurrent use and cheap.
func WithAlive(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, aliveKey{}, f)
}

// Alive is the function by which work says that it goes on: it moves the stall timer without bytes. It is never
// nil and may be called as often as one likes, once per row say.
func Alive(ctx context.Context) func() {
	if f, ok := ctx.Value(aliveKey{}).(func()); ok {
		return f
	}
	return func() {}
}
