package events

import (
	"context"
	"errors"
	"time"
)

// Errors that cross package boundaries.
var (
	// ErrNotFound: there is no such thing, or no longer.
	ErrNotFound = errors.New("not found")
	// ErrContended: other writers won every round of an append; nothing was stored.
	ErrContended = errors.New("other writers kept winning")
	// ErrUnavailable: the bus could not be reached, or did not answer in time.
	ErrUnavailable = errors.New("bus unavailable")
)

// Scope says on what an append is compared (events.md 3.2).
type Scope int

const (
	ScopeAggregate Scope = iota // the aggregate's own events
	ScopeInstance               // everything of the instance: what its backups exclude, and who reads them
	ScopeName                   // every instance of that name: instance.registered
)

// Prior is what a writer decides on: the state of the log at one moment.
type Prior struct {
	Last     *Stored // last event of the aggregate, nil if it has none
	ScopeSeq uint64  // stream sequence of the last message in the scope, 0 if there is none
}

// Draft is an event to be appended. Decide is called once per round with what stands in the log, and
// returns the complete record after the step, or an error, with which nothing is stored.
type Draft struct {
	Aggregate Aggregate
	Step      Step
	EventID   string
	Scope     Scope
	At        time.Time
	Cause     Cause
	Decide    func(ctx context.Context, p Prior) (Payload, error)
}

// Appended is an event as it stands in the log.
type Appended struct {
	Stored
	Repeat bool // it stood there before: its payload tells whose it is
}
