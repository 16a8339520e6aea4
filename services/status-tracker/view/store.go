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

	// Count is how many members of an ordered set lie strictly between after and before in byte order (empty: no
	// bound). It costs no more than their logarithm.
	Count(ctx context.Context, set, after, before string) (int, error)

	// Ranked returns members of an ordered set in byte order from the one with a rank on, the first of which is 0:
	// at most limit, and none past the end. How far it is to them costs no more than a logarithm.
	Ranked(ctx context.Context, set string, rank, limit int) ([]string, error)

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
