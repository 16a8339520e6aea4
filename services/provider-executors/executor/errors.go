package executor

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
)

// ErrLost is returned by Poll for work that the executor knows nothing of.
var ErrLost = errors.New("work is not known here")

// ErrRemains is in the error of work that could not remove all that it wrote.
var ErrRemains = errors.New("part of the attempt may remain in a storage")

// FailureOf is what an error becomes in an event: the *events.Failure in it, else INTERNAL without the
// text, which may hold what must not travel.
func FailureOf(err error) *events.Failure {
	var f *events.Failure
	if errors.As(err, &f) {
		return f
	}
	return &events.Failure{
		Code: events.Internal, Category: events.BySystem, Retryable: true,
		Message: "the executor met an error of its own: its log has the details under this backup's id",
	}
}

// Hopeless tells an error of Handle that trying again will not mend: not a pause, and not a bus that is away.
func Hopeless(err error) bool {
	var later Later
	return !errors.As(err, &later) && !errors.Is(err, events.ErrUnavailable) && !errors.Is(err, events.ErrContended) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}
