package view

import (
	"context"
	"time"
)

// Store keeps the view's keys: strings and ordered sets of strings. Redis is the one for production,
// Memory the one for a single process; package viewtest holds the suite that both pass. What the keys
// mean is the business of View, above.
type Store interface {
	// Get returns one value per key, nil where there is none.
	Get(ctx context.Context, keys ...string) ([][]byte, error)

	// Range returns members of an ordered set, in descending byte order when Reverse.
	Range(ctx context.Context, set string, r Range) ([]string, error)

	// Page returns the members of one ordered set, or of two that have none in common, that lie strictly between after
	// and before in byte order (empty: no bound): at most limit of them, from the one with that offset on, and how many
	// there are in all. Both are of one moment, whatever is committed meanwhile. How far it is to them costs no more than
	// the square of a logarithm.
	Page(ctx context.Context, sets []string, after, before string, offset, limit int) (members []string, total int, err error)

	// Commit applies the writes at once: readers of a shard see all of them or none.
	Commit(ctx context.Context, w Writes) error

	// Drop removes every key of the view.
	Drop(ctx context.Context) error

	// Changed returns when key may have another value than seen, or when ctx ends. It may return early.
	Changed(ctx context.Context, key string, seen []byte) error

	// Close ends what the store itself has opened.
	Close() error
}

// Range selects members: those strictly between After and Before in byte order (empty: no bound), at
// most Limit.
type Range struct {
	After, Before string
	Reverse       bool
	Limit         int
}

// Writes are changes to apply together.
type Writes struct {
	Put    []Pair
	Delete []string
	Add    []Member
	Remove []Member
}

// Pair is a key and its value.
type Pair struct {
	Key   string
	Value []byte
	TTL   time.Duration // 0: for ever
}

// Member is one entry of an ordered set.
type Member struct{ Set, Value string }
