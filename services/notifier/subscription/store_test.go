package subscription

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/eventstest"
)

// silent stores no event: a writer that dies between the document and its event.
type silent struct{}

func (silent) Append(context.Context, events.Draft) (events.Appended, error) {
	return events.Appended{}, errors.New("died")
}

func setup(t *testing.T) (*bus.Bus, func(a Appender) *Store) {
	t.Helper()
	_, b, open := setupOn(t)
	return b, open
}

func setupOn(t *testing.T) (*bustest.Server, *bus.Bus, func(a Appender) *Store) {
	t.Helper()
	srv := bustest.Run(t)
	b := srv.Connect(t)
	bustest.Provision(t, b)
	kv, err := b.KeyValue(t.Context(), bus.SubscriptionBucket)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := NewSealer(NewSealKey())
	if err != nil {
		t.Fatal(err)
	}
	return srv, b, func(a Appender) *Store { return NewStore(kv, sealer, a, time.Now, slog.New(slog.DiscardHandler)) }
}

func document() Document {
	return Document{ID: events.NewSubscriptionID(), Project: "shop", Spec: Spec{Protocol: HTTP}.WithDefaults(), SinkURL: "https://h.example/",
		Origin: "https://h.example:443", Secret: NewSecret(), SecretGeneration: 1, Permitted: true}
}

func describe(d *Document) ([]string, error) {
	d.Spec.Config.Description += "x"
	return []string{"config"}, nil
}

// steps are the events of a subscription.
func steps(t *testing.T, b *bus.Bus, id string) []string {
	t.Helper()
	var out []string
	_, err := b.Scan(t.Context(), events.EventRoot+".shop._._.subscription."+id+".*", 0, false, func(_ string, ev events.Stored) error {
		eventstest.Valid(t, ev.Event)
		out = append(out, ev.ID[len(id)+1:])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A change whose event could not be told is a change; the active notifier tells of it without another change.
func TestStore_UntoldChangeIsToldByRepair(t *testing.T) {
	t.Parallel()
	b, open := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	active, dying := open(b), open(silent{})
	ready := make(chan struct{})
	go func() { _ = active.Run(ctx, func() { close(ready) }) }()
	<-ready
	seen := make(chan string, 10)
	active.OnChange(func(id string) { seen <- id })
	d, err := dying.Create(ctx, document(), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-seen
	if err := active.Repair(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"created-1"}, steps(t, b, d.ID)); diff != "" {
		t.Error(diff)
	}
	if active.untold(d) {
		t.Error("it would be asked about for ever")
	}
}

// A document under another key is counted: whoever leads has to know all of them.
func TestStore_CountsWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	b, open := setup(t)
	if _, err := open(b).Create(t.Context(), document(), nil); err != nil {
		t.Fatal(err)
	}
	other := open(b)
	var err error
	if other.sealer, err = NewSealer(NewSealKey()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready := make(chan struct{})
	go func() { _ = other.Run(ctx, func() { close(ready) }) }()
	<-ready
	if n := other.Sealed(); n != 1 {
		t.Errorf("%d", n)
	}
}

func TestStore_WhatADeadWriterLeftUntoldIsTold(t *testing.T) {
	t.Parallel()
	b, open := setup(t)
	ctx := t.Context()
	s, dying := open(b), open(silent{})
	d := document()
	// The document is stored: an error would have its secret thrown away, or the call made again.
	if _, err := dying.Create(ctx, d, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(ctx, "shop", d.ID, 1, events.Updated, describe); err != nil { // tells of the creation first
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"created-1", "updated-2"}, steps(t, b, d.ID)); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Change(ctx, "shop", d.ID, 1, events.Updated, describe); !errors.Is(err, ErrChanged) {
		t.Errorf("changed on an old generation: %v", err)
	}
	if _, err := s.Change(ctx, "other", d.ID, 0, events.Updated, describe); !errors.Is(err, ErrNotFound) {
		t.Errorf("changed in another project: %v", err)
	}
	if _, err := dying.Delete(ctx, "shop", d.ID, 2); err == nil { // dies before it deletes: nothing is lost
		t.Error("nobody says that the event was not stored")
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan struct{})
	again := open(b)
	go func() { _ = again.Run(watching, func() { close(ready) }) }()
	<-ready
	if err := again.Repair(ctx); err != nil {
		t.Error(err)
	}
	if err := again.Repair(ctx); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"created-1", "updated-2"}, steps(t, b, d.ID)); diff != "" {
		t.Error(diff)
	}
	if _, err := again.Delete(ctx, "shop", d.ID, 2); err != nil {
		t.Error(err)
	}
	if _, err := again.Get(ctx, "shop", d.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
	if diff := cmp.Diff([]string{"created-1", "updated-2", "deleted-3"}, steps(t, b, d.ID)); diff != "" {
		t.Error(diff)
	}
}

// Two processes that hear late of each other keep names unique and the number within its bound.
func TestStore_RoomHoldsOverSeveralProcesses(t *testing.T) {
	t.Parallel()
	b, open := setup(t)
	const most, tries = 3, 8
	full, taken := errors.New("full"), errors.New("taken")
	room := func(d Document, all []Document) error {
		others := slices.DeleteFunc(all, func(o Document) bool { return o.ID == d.ID })
		if len(others) >= most {
			return full
		}
		if slices.ContainsFunc(others, func(o Document) bool { return o.Spec.Config.Name == d.Spec.Config.Name }) {
			return taken
		}
		return nil
	}
	var stores [2]*Store
	for i := range stores {
		stores[i] = open(b)
		ready := make(chan struct{})
		go func() { _ = stores[i].Run(t.Context(), func() { close(ready) }) }()
		<-ready
	}
	made := func(name func(i int) string) (list []Document, refused []error) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range tries {
			all.Go(func() {
				d := document()
				d.Spec.Config.Name = name(i)
				d, err := stores[i%2].Create(t.Context(), d, room)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused = append(refused, err)
				} else {
					list = append(list, d)
				}
			})
		}
		all.Wait()
		return list, refused
	}
	one, refused := made(func(int) string { return "same" })
	if len(one) != 1 || len(refused) != tries-1 {
		t.Fatalf("%d have one name, refused: %v", len(one), refused)
	}
	for _, err := range refused {
		if !errors.Is(err, taken) {
			t.Error(err)
		}
	}
	rest, refused := made(strconv.Itoa)
	if len(rest) != most-1 || len(refused) != tries-len(rest) {
		t.Fatalf("%d more, refused: %v", len(rest), refused)
	}
	for _, err := range refused {
		if !errors.Is(err, full) {
			t.Error(err)
		}
	}
	// A change takes no room and no name that another one has.
	rename := func(s *Store, id, name string) error {
		_, err := s.ChangeWithin(t.Context(), room, "shop", id, 0, events.Updated, func(d *Document) ([]string, error) {
			d.Spec.Config.Name = name
			return []string{"config.name"}, nil
		})
		return err
	}
	if err := rename(stores[1], one[0].ID, rest[0].Spec.Config.Name); !errors.Is(err, taken) {
		t.Error(err)
	}
	if err := rename(stores[1], one[0].ID, "other"); err != nil {
		t.Error(err)
	}
	if err := rename(stores[0], rest[0].ID, "same"); err != nil { // which is free now
		t.Error(err)
	}
	if _, err := stores[0].Delete(t.Context(), "shop", one[0].ID, 0); err != nil {
		t.Error(err)
	}
	d := document()
	d.Spec.Config.Name = "other"
	if _, err := stores[1].Create(t.Context(), d, room); err != nil {
		t.Error(err)
	}
}

// What was removed for good stands in the bucket no more, and is waited for by nobody.
func TestStore_RoomIsJudgedAfterRemovalsForGood(t *testing.T) {
	t.Parallel()
	srv, _, open := setupOn(t)
	allow := func(Document, []Document) error { return nil }
	if _, err := open(silent{}).Create(t.Context(), document(), nil); err != nil {
		t.Fatal(err)
	}
	srv.Purge(t, "KV_"+bus.SubscriptionBucket)
	later := open(silent{})
	ready := make(chan struct{})
	go func() { _ = later.Run(t.Context(), func() { close(ready) }) }()
	<-ready
	if _, err := later.Create(t.Context(), document(), allow); err != nil {
		t.Error(err)
	}
}

// A change is made of the newest document, also where another one comes in while all others are looked at.
func TestStore_ChangeWithinGoesOverNoOtherChange(t *testing.T) {
	t.Parallel()
	_, open := setup(t)
	here, there := open(told{}), open(told{})
	ready, seen := make(chan struct{}), make(chan string, 10)
	go func() { _ = here.Run(t.Context(), func() { close(ready) }) }()
	<-ready
	d, err := here.Create(t.Context(), document(), nil)
	if err != nil {
		t.Fatal(err)
	}
	here.OnChange(func(id string) { seen <- id })
	calls := 0
	after, err := here.ChangeWithin(t.Context(), func(Document, []Document) error { return nil }, "shop", d.ID, 0, events.Updated, func(d *Document) ([]string, error) {
		if calls++; calls == 1 {
			if _, err := there.Change(t.Context(), "shop", d.ID, 0, events.Updated, describe); err != nil {
				t.Error(err)
			}
			for now, ok := here.Known(d.ID); !ok || now.Generation < 2; now, ok = here.Known(d.ID) {
				<-seen
			}
		}
		return describe(d)
	})
	if err != nil || calls != 2 || after.Generation != 3 || after.Spec.Config.Description != "xx" {
		t.Errorf("%d calls, generation %d, %q, %v", calls, after.Generation, after.Spec.Config.Description, err)
	}
}

// told takes every event.
type told struct{}

func (told) Append(context.Context, events.Draft) (events.Appended, error) {
	return events.Appended{}, nil
}
