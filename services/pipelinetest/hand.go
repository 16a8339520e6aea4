package pipelinetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Hand is an executor whose work ends when a test says so. It keeps what it knows over a restart of the
// service, as a cloud does.
type Hand struct {
	mu      sync.Mutex
	works   map[string]*work
	starts  int
	changed chan struct{}
	auto    bool
	fail    *events.Failure // of deletions
	copies  map[string]bool
	ends    map[string]error // of work that has not begun
	shape   func(*lifecycle.Outcome)
}

type work struct {
	progress  executor.Progress
	cancelled bool
	asOf      time.Time
}

// NewHand makes an executor whose work waits for Finish.
func NewHand() *Hand {
	return &Hand{works: map[string]*work{}, changed: make(chan struct{}), copies: map[string]bool{}, ends: map[string]error{}}
}

// Auto lets all work succeed by itself from now on.
func (h *Hand) Auto() *Hand {
	h.set(func() {
		h.auto = true
		for id, w := range h.works {
			if !w.progress.Done {
				h.succeed(id, w)
			}
		}
	})
	return h
}

// Pause takes Auto back for work that begins from now on.
func (h *Hand) Pause() { h.set(func() { h.auto = false }) }

// Finish ends the work of a backup's current attempt: with err, or with success if it is nil. Work that has not
// begun ends so when it does: `started` is in the log before it.
func (h *Hand) Finish(backupID string, err error) {
	h.set(func() {
		if w := h.works[backupID]; w != nil {
			h.end(backupID, w, err)
			return
		}
		h.ends[backupID] = err
	})
}

func (h *Hand) end(id string, w *work, err error) {
	if err == nil {
		h.succeed(id, w)
		return
	}
	w.progress.Done, w.progress.Err = true, err
}

// FailDeletions makes Delete fail with f, or work again if f is nil.
func (h *Hand) FailDeletions(f *events.Failure) { h.set(func() { h.fail = f }) }

// Shape lets f change the outcome of what succeeds from now on.
func (h *Hand) Shape(f func(*lifecycle.Outcome)) { h.set(func() { h.shape = f }) }

// Starts is how many pieces of work were ever begun.
func (h *Hand) Starts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts
}

// Copies is how many copies are there.
func (h *Hand) Copies() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.copies)
}

// Started waits until work on a backup has begun.
func (h *Hand) Started(ctx context.Context, backupID string) error {
	for {
		h.mu.Lock()
		_, there := h.works[backupID]
		wait := h.changed
		h.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Hand) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Hand) succeed(id string, w *work) {
	h.copies[id] = true
	w.progress.Done = true
	w.progress.Outcome = lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 4096, Kind: "PHYSICAL",
		ConsistencyTime: time.Now(), Ref: &executor.Ref{BackupName: "hand:" + id}}
	if !w.asOf.IsZero() { // as a provider does that can choose
		w.progress.Outcome.ConsistencyTime = w.asOf
	}
	if h.shape != nil {
		h.shape(&w.progress.Outcome)
	}
}

// Start implements executor.Executor.
func (h *Hand) Start(_ context.Context, j executor.Job) (executor.Ref, error) {
	h.set(func() {
		if w := h.works[j.BackupID]; w == nil || w.progress.Done {
			w = &work{asOf: j.AsOf}
			h.works[j.BackupID] = w
			h.starts++
			err, ends := h.ends[j.BackupID]
			delete(h.ends, j.BackupID)
			if ends || h.auto {
				h.end(j.BackupID, w, err)
			}
		}
	})
	return executor.Ref{BackupName: "hand:" + j.BackupID}, nil
}

func idOf(r executor.Ref) string { return r.BackupName[len("hand:"):] }

// Poll implements executor.Executor.
func (h *Hand) Poll(_ context.Context, r executor.Ref) (executor.Progress, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.works[idOf(r)]
	if w == nil {
		return executor.Progress{}, executor.ErrLost
	}
	return w.progress, nil
}

// Delete implements executor.Executor.
func (h *Hand) Delete(_ context.Context, r executor.Ref) (n int64, err error) {
	h.set(func() {
		if h.fail != nil {
			err = h.fail
			return
		}
		if h.copies[idOf(r)] {
			n = 4096
		}
		delete(h.copies, idOf(r))
	})
	return n, err
}

// Cancel implements executor.Canceler.
func (h *Hand) Cancel(_ context.Context, r executor.Ref) (bool, error) {
	h.set(func() {
		if w := h.works[idOf(r)]; w != nil && !w.progress.Done {
			w.progress.Done, w.progress.Err, w.cancelled = true, errors.New("cancelled"), true
		}
	})
	return false, nil
}

// Recover implements executor.Recoverer.
func (h *Hand) Recover(_ context.Context, j executor.Job) (executor.Ref, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, there := h.works[j.BackupID]
	return executor.Ref{BackupName: "hand:" + j.BackupID}, there, nil
}

// Close implements io.Closer; what is known stays.
func (h *Hand) Close() error { return nil }

var (
	_ executor.Executor  = (*Hand)(nil)
	_ executor.Canceler  = (*Hand)(nil)
	_ executor.Recoverer = (*Hand)(nil)
)

// IsAuto tells whether work ends by itself.
func (h *Hand) IsAuto() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.auto
}
