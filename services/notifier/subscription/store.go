package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

// ErrNotFound is returned for a subscription that the project does not have.
var ErrNotFound = events.ErrNotFound

// ErrChanged is returned for a change of a generation that is not the newest.
var ErrChanged = errors.New("the subscription has changed meanwhile")

// Appender stores the event of a change (bus.Append).
type Appender interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
}

// Store keeps the documents, and has all of them at hand. Safe for concurrent use.
type Store struct {
	kv       *bus.KeyValue
	sealer   *Sealer
	appender Appender
	now      func() time.Time
	log      *slog.Logger

	mu      sync.Mutex
	known   map[string]held // by id
	told    map[string]int  // generation whose event is known to be stored, by id
	sealed  map[string]bool // documents that the key does not open, by id
	changed func(id string) // told of every change; may be nil
	seen    uint64          // revision up to which the whole bucket is known
	news    chan struct{}   // closed when seen rises

	making sync.Mutex // of those that are judged by all others, one is written at a time
}

// held is a document as it was last seen. gone: deleted at that revision.
type held struct {
	doc      Document
	revision uint64
	gone     bool
}

// NewStore makes a store over a bucket. Nothing is known before Run is ready.
func NewStore(kv *bus.KeyValue, s *Sealer, a Appender, now func() time.Time, log *slog.Logger) *Store {
	return &Store{kv: kv, sealer: s, appender: a, now: now, log: log, known: map[string]held{}, news: make(chan struct{}),
		told: map[string]int{}, sealed: map[string]bool{}}
}

// Run follows the bucket until ctx ends and calls ready when all that is there is known.
func (s *Store) Run(ctx context.Context, ready func()) error {
	last, err := s.kv.Last(ctx)
	if err != nil { // then what the watch tells has to do
		s.log.WarnContext(ctx, "newest subscription not known", "error", events.Redact(err.Error()))
	}
	all := func() { // nothing stands in the bucket for what was removed for good
		s.saw(last)
		ready()
	}
	return s.kv.Watch(ctx, all, func(e bus.Entry) {
		defer s.saw(e.Revision)
		h := held{revision: e.Revision, gone: true}
		if e.Value != nil {
			d, err := s.sealer.open(e.Key, e.Value)
			s.mu.Lock()
			if delete(s.sealed, e.Key); err != nil {
				s.sealed[e.Key] = true
			}
			s.mu.Unlock()
			if err != nil {
				s.log.ErrorContext(ctx, "subscription left out", "subscription_id", e.Key, "error", err.Error())
				return
			}
			h.doc, h.gone = d, d.Step == events.Deleted
		} else {
			s.mu.Lock()
			delete(s.sealed, e.Key)
			s.mu.Unlock()
		}
		s.learn(e.Key, h)
	})
}

// Sealed is how many documents the key does not open.
func (s *Store) Sealed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sealed)
}

// OnChange sets who is told of changes from now on, and tells it of all that is known; nil for nobody.
func (s *Store) OnChange(fn func(id string)) {
	s.mu.Lock()
	s.changed = fn
	ids := slices.Collect(maps.Keys(s.known))
	s.mu.Unlock()
	for _, id := range ids {
		if fn != nil {
			fn(id)
		}
	}
}

func (s *Store) learn(id string, h held) {
	s.mu.Lock()
	if s.known[id].revision >= h.revision {
		s.mu.Unlock()
		return
	}
	s.known[id] = h
	changed := s.changed
	s.mu.Unlock()
	if changed != nil {
		changed(id)
	}
}

// Known is a document as it is at hand; false if there is none, or no longer.
func (s *Store) Known(id string) (Document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.known[id]
	return h.doc, ok && !h.gone
}

// List is what a project has, the oldest first; of all projects for "".
func (s *Store) List(project string) []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Document
	for _, h := range s.known {
		if !h.gone && (project == "" || h.doc.Project == project) {
			out = append(out, h.doc)
		}
	}
	slices.SortFunc(out, func(a, b Document) int {
		if c := a.CreateTime.Compare(b.CreateTime); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Get reads a document from the bucket.
func (s *Store) Get(ctx context.Context, project, id string) (Document, error) {
	h, err := s.read(ctx, id)
	if err != nil {
		return Document{}, err
	}
	if h.gone || project != "" && h.doc.Project != project {
		return Document{}, fmt.Errorf("subscription: %w", ErrNotFound)
	}
	return h.doc, nil
}

func (s *Store) read(ctx context.Context, id string) (held, error) {
	e, there, err := s.kv.Get(ctx, id)
	if err != nil {
		return held{}, err
	}
	if !there {
		return held{gone: true}, nil
	}
	d, err := s.sealer.open(id, e.Value)
	if err != nil {
		return held{}, err
	}
	return held{d, e.Revision, d.Step == events.Deleted}, nil
}

// Create stores a new document for which there is room, if that is not nil, and tells of it.
func (s *Store) Create(ctx context.Context, d Document, room Room) (Document, error) {
	now := s.now()
	d.Generation, d.Step, d.CreateTime, d.UpdateTime = 1, events.Created, now, now
	for range 10 {
		if err := s.put(ctx, d, 0, room); !errors.Is(err, bus.ErrConflict) {
			return d, err
		}
	}
	return d, fmt.Errorf("subscription: %w", events.ErrContended)
}

// Change applies change to the newest document, if its generation is the one wanted (0: any), stores it, and
// tells of it by step. change returns the fields that changed; none changes nothing. With no step nothing is
// told and the generation stays. It may be called several times.
func (s *Store) Change(ctx context.Context, project, id string, wanted int, step events.Step,
	change func(d *Document) ([]string, error)) (Document, error) {
	return s.ChangeWithin(ctx, nil, project, id, wanted, step, change)
}

// ChangeWithin is Change, if there is room for what comes of it.
func (s *Store) ChangeWithin(ctx context.Context, room Room, project, id string, wanted int, step events.Step,
	change func(d *Document) ([]string, error)) (Document, error) {
	for range 10 {
		h, err := s.read(ctx, id)
		if err != nil {
			return Document{}, err
		}
		d := h.doc
		switch {
		case h.gone, project != "" && d.Project != project:
			return Document{}, fmt.Errorf("subscription: %w", ErrNotFound)
		case wanted != 0 && d.Generation != wanted:
			return d, ErrChanged
		}
		if err := s.tell(ctx, d); err != nil { // the change before, if its writer could not
			return d, err
		}
		fields, err := change(&d)
		if err != nil || len(fields) == 0 {
			return d, err
		}
		if step != "" {
			d.Generation, d.Step, d.ChangedFields = d.Generation+1, step, fields
			d.UpdateTime = s.now()
		}
		if err = s.put(ctx, d, h.revision, room); !errors.Is(err, bus.ErrConflict) {
			return d, err
		}
	}
	return Document{}, fmt.Errorf("subscription: %w", events.ErrContended)
}

// Delete tells that a subscription goes and forgets it, secrets first.
func (s *Store) Delete(ctx context.Context, project, id string, wanted int) (Document, error) {
	d, err := s.Change(ctx, project, id, wanted, events.Deleted, func(d *Document) ([]string, error) {
		d.Secret, d.PreviousSecret, d.Seed, d.PreviousSeed, d.Spec.Settings.Headers = "", "", nil, nil, nil
		return []string{"."}, nil
	})
	if err != nil {
		return d, err
	}
	if s.untold(d) { // Repair tells it, then forgets
		return d, nil
	}
	return d, s.forget(ctx, id)
}

func (s *Store) forget(ctx context.Context, id string) error {
	h, err := s.read(ctx, id)
	if err != nil || h.revision == 0 || h.doc.Step != events.Deleted {
		return err
	}
	if err := s.kv.Delete(ctx, id, h.revision); err != nil && !errors.Is(err, bus.ErrConflict) {
		return err
	}
	return nil
}

// Repair tells what writers that died, or had no answer, have left untold. It asks only about changes that this
// process has not seen told.
func (s *Store) Repair(ctx context.Context) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.known))
	s.mu.Unlock()
	for _, h := range all {
		if h.doc.ID == "" || !h.gone && !s.untold(h.doc) {
			continue
		}
		if err := s.tell(ctx, h.doc); err != nil {
			return err
		}
		if h.gone {
			if err := s.forget(ctx, h.doc.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) put(ctx context.Context, d Document, revision uint64, room Room) error {
	sealed, err := s.sealer.seal(d)
	if err != nil {
		return err
	}
	var next uint64
	if room == nil {
		next, err = s.kv.Put(ctx, d.ID, sealed, revision)
	} else {
		next, err = s.putWithin(ctx, d, sealed, revision, room)
	}
	if err != nil {
		return err
	}
	s.learn(d.ID, held{d, next, d.Step == events.Deleted})
	if err := s.tell(ctx, d); err != nil { // the change is made: the active notifier tells of it (Repair)
		s.log.WarnContext(ctx, "change of a subscription not told yet", "subscription_id", d.ID, "error", events.Redact(err.Error()))
	}
	return nil
}

// untold tells whether it is unknown that the event of a document's generation is stored.
func (s *Store) untold(d Document) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[d.ID] < d.Generation
}

// tell appends the event of a document's generation, unless it is there.
func (s *Store) tell(ctx context.Context, d Document) error {
	if !s.untold(d) {
		return nil
	}
	p := d.public()
	_, err := s.appender.Append(ctx, events.Draft{
		Aggregate: p.Aggregate(), Step: d.Step, At: d.UpdateTime,
		EventID: events.EventID(d.ID, events.Subscriptions, d.Step, d.Generation),
		Decide: func(_ context.Context, prior events.Prior) (events.Payload, error) {
			if prior.Last == nil {
				return p, nil
			}
			last, err := prior.Last.SequenceNumber()
			if err == nil && last >= uint64(d.Generation) {
				return nil, errTold
			}
			return p, err
		},
	})
	if err != nil && !errors.Is(err, errTold) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[d.ID] = max(s.told[d.ID], d.Generation)
	return nil
}

var errTold = errors.New("a later change has been told")
