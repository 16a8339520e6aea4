package projector_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/projector"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

const patience = 20 * time.Second

// log is a log in memory, and the source that a durable would be.
type log struct {
	mu      sync.Mutex
	events  []events.Stored
	batches chan []bus.Message
	dead    []string
	acked   uint64
}

func (l *log) State(context.Context) (bus.LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bus.LogState{Epoch: "e", First: 1, Last: uint64(len(l.events))}, nil
}

func (l *log) Scan(_ context.Context, _ string, from uint64, _ bool, fn func(string, events.Stored) error) (uint64, error) {
	l.mu.Lock()
	all := l.events
	l.mu.Unlock()
	for _, s := range all {
		if s.Seq >= from {
			if err := fn(subjectOf(s), s); err != nil {
				return 0, err
			}
		}
	}
	return uint64(len(all)), nil
}

func (l *log) DeadLetter(_ context.Context, _, reason string, _ bus.Message, _ error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = append(l.dead, reason)
	return nil
}

func (l *log) Next(ctx context.Context, _ int) ([]bus.Message, error) {
	select {
	case b := <-l.batches:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *log) Ack(last bus.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = max(l.acked, last.Seq)
	return nil
}

// Folded implements projector.Stats.
func (l *log) Folded(lifecycle.Verdict, int) {}

func subjectOf(s events.Stored) string {
	return "backupbus.v1.event.p.sqlite.i.backup." + s.PartitionKey + "." + string(s.Step())
}

// write appends the request for another backup and returns it as a message.
func (l *log) write(t *testing.T) bus.Message {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.events) + 1
	b := events.Backup{BackupID: fmt.Sprintf("bk_%d", n), Project: "p", Provider: "sqlite", Instance: "i", MaxAttempts: 1,
		IDs: events.NewBackupIDs("x", "", time.UnixMilli(int64(n))), EnqueuedTime: events.At(time.UnixMilli(int64(n)))}
	b, err := lifecycle.Advance(b, events.Requested)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := events.New("bus.local", b, events.Requested, b.BackupID+"-requested", 1, time.Unix(1, 0), events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	s := events.Stored{Event: ev, Seq: uint64(n)}
	l.events = append(l.events, s)
	header, body, err := events.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return bus.Message{Subject: subjectOf(s), Header: header, Data: body, Seq: s.Seq}
}

// failing is a store whose next commits fail.
type failing struct {
	view.Store
	mu   sync.Mutex
	left int
}

func (f *failing) Commit(ctx context.Context, w view.Writes) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 {
		f.left--
		return errors.New("the store is away")
	}
	return f.Store.Commit(ctx, w)
}

func (f *failing) fail(n int) { f.mu.Lock(); defer f.mu.Unlock(); f.left = n }

func run(t *testing.T) (*log, *failing, *view.View) {
	t.Helper()
	l := &log{batches: make(chan []bus.Message)}
	store := &failing{Store: view.NewMemory(time.Now)}
	v := view.New(store, 2)
	p := projector.New(l, l, v, l, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	return l, store, v
}

func passed(t *testing.T, v *view.View, seq uint64, backups ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v.Passed(ctx, "p", seq); err != nil {
		cp, _ := v.Checkpoint(t.Context())
		t.Fatalf("the view does not pass %d: %v; it stands at %d", seq, err, cp.Seq)
	}
	for _, id := range backups {
		if _, err := v.Backup(ctx, "p", id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A batch whose write failed is not delivered again: it is read from the log.
func TestRun_AFailedWriteLosesNothing(t *testing.T) {
	t.Parallel()
	l, store, v := run(t)
	store.fail(1)
	l.batches <- []bus.Message{l.write(t)}
	passed(t, v, 1, "bk_1")
}

// Messages that a reader before took and did not apply lie behind the next ack.
func TestRun_AGapInsideABatchIsFilled(t *testing.T) {
	t.Parallel()
	l, _, v := run(t)
	first := l.write(t)
	l.write(t)
	l.write(t)
	fourth := l.write(t)
	l.batches <- []bus.Message{first, fourth}
	passed(t, v, 4, "bk_1", "bk_2", "bk_3", "bk_4")
}

func TestRun_ARedeliveryDoesNotHoldTheCheckpointBack(t *testing.T) {
	t.Parallel()
	l, _, v := run(t)
	first := l.write(t)
	l.batches <- []bus.Message{first}
	passed(t, v, 1)
	second, third := l.write(t), l.write(t)
	l.batches <- []bus.Message{second, third, first}
	passed(t, v, 3, "bk_1", "bk_2", "bk_3")
}

func TestRun_WhatNeverComesIsFoundInTheLog(t *testing.T) {
	t.Parallel()
	l, _, v := run(t)
	l.write(t)
	passed(t, v, 1, "bk_1")
}

func TestRun_AViewThatIsAheadIsFollowed(t *testing.T) {
	t.Parallel()
	l, _, v := run(t)
	first := l.write(t)
	second := l.write(t)
	if err := v.Save(t.Context(), nil, view.Checkpoint{Epoch: "e", Seq: 1}); err != nil { // another replica
		t.Fatal(err)
	}
	l.batches <- []bus.Message{first, second}
	passed(t, v, 2, "bk_2")
}
