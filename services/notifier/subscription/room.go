package subscription

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

// Room judges a document by all that its project has, itself included if it is there. Which process ever writes, what it
// allowed is stored only while it still holds.
type Room func(d Document, all []Document) error

// putWithin stores a document for which there is room, if nothing else was stored since that was looked at: not by this
// process, nor by another one. What d was made of has to be its newest by then.
func (s *Store) putWithin(ctx context.Context, d Document, sealed []byte, revision uint64, room Room) (uint64, error) {
	next, err := s.tryWithin(ctx, d, sealed, revision, room)
	if errors.Is(err, bus.ErrConflict) {
		if late := s.catchUp(ctx); late != nil {
			return 0, late
		}
	}
	return next, err
}

func (s *Store) tryWithin(ctx context.Context, d Document, sealed []byte, revision uint64, room Room) (uint64, error) {
	s.making.Lock()
	defer s.making.Unlock()
	s.mu.Lock()
	seen, changed := s.seen, s.known[d.ID].revision > revision
	s.mu.Unlock()
	if changed {
		return 0, fmt.Errorf("subscription %s: %w", d.ID, bus.ErrConflict)
	}
	if err := room(d, s.List(d.Project)); err != nil {
		return 0, err
	}
	return s.kv.PutAfter(ctx, d.ID, sealed, seen)
}

// saw notes that everything up to a revision is known.
func (s *Store) saw(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision > s.seen {
		s.seen = revision
		close(s.news)
		s.news = make(chan struct{})
	}
}

// catchUp waits until everything is known that is stored now.
func (s *Store) catchUp(ctx context.Context) error {
	last, err := s.kv.Last(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	for {
		s.mu.Lock()
		seen, news := s.seen, s.news
		s.mu.Unlock()
		if seen >= last {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("subscriptions are known up to %d of %d: %w", seen, last, events.ErrUnavailable)
		}
	}
}

const catchUpTime = 5 * time.Second
