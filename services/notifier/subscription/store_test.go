package subscription

import (
	"context"
	"errors"
	"log/slog"
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
	b := bustest.Run(t).Connect(t)
	bustest.Provision(t, b)
	kv, err := b.KeyValue(t.Context(), bus.SubscriptionBucket)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := NewSealer(NewSealKey())
	if err != nil {
		t.Fatal(err)
	}
	return b, func(a Appender) *Store { return NewStore(kv, sealer, a, time.Now, slog.New(slog.DiscardHandler)) }
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
	d, err := dying.Create(ctx, document())
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
	if _, err := open(b).Create(t.Context(), document()); err != nil {
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
	if _, err := dying.Create(ctx, d); err != nil {
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
