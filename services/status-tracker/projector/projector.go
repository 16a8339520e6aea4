// Package projector keeps the view in step with the log: it takes what is waiting, folds it, and writes
// documents and checkpoint together, batch by batch.
//
// Nothing but the checkpoint in the view decides where it goes on. A consumer's acknowledgements can be
// set back by a kill, Redis can be emptied, the log can be restored from an older copy: in each case the
// checkpoint is compared with the log, and what is missing is read again. Reading an event twice changes
// nothing (lifecycle.Fold). If two replicas ever write at the same time, each sees at its next batch that
// the checkpoint is not the one it wrote, and goes on from the one that stands there.
package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// maxBatch is how many events are folded before a write (design.md 4).
const maxBatch = 1024

// checkEvery is how often an idle projector looks whether the view is still there.
const checkEvery = 2 * time.Second

// Log is the part of the bus that a projector reads.
type Log interface {
	State(ctx context.Context) (bus.LogState, error)
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
	DeadLetter(ctx context.Context, service, reason string, m bus.Message, cause error) error
}

// Source is the projector's durable consumer: one replica at a time gets messages.
type Source interface {
	Next(ctx context.Context, max int) ([]bus.Message, error)
	Ack(last bus.Message) error
}

// Projector is the one writer of the view's documents.
type Projector struct {
	log    Log
	source Source
	view   *view.View
	slog   *slog.Logger
	stats  Stats
	at     view.Checkpoint // where the view stands as far as this projector knows
	idleAt view.Checkpoint // where it stood at the idle look before: it should have moved if it is behind
	behind bool            // messages were taken that may not have been applied

	mu sync.Mutex // held while a batch is applied, and between two of them by Forget
}

// Stats is told what became of each event; the owner turns it into metrics.
type Stats interface {
	Folded(v lifecycle.Verdict, n int)
}

// New makes a projector; nothing is read before Run.
func New(log Log, source Source, v *view.View, stats Stats, l *slog.Logger) *Projector {
	return &Projector{log: log, source: source, view: v, stats: stats, slog: l}
}

// Run projects until ctx ends. ready is called when the view has everything that was in the log at the start.
func (p *Projector) Run(ctx context.Context, ready func()) error {
	if err := p.insist(ctx, p.catchUp); err != nil {
		return err
	}
	ready()
	for {
		if err := p.insist(ctx, p.step); err != nil {
			return err
		}
	}
}

// insist repeats f until it succeeds or ctx ends: a view or a bus that is away comes back.
func (p *Projector) insist(ctx context.Context, f func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		p.slog.ErrorContext(ctx, "projection waits", "error", err.Error(), "retry_in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// catchUp brings the view to the end of the log, from its checkpoint or, if that is not of this log, from
// the first event.
func (p *Projector) catchUp(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.follow(ctx)
}

// follow is catchUp for who holds the lock.
func (p *Projector) follow(ctx context.Context) error {
	state, err := p.log.State(ctx)
	if err != nil {
		return err
	}
	at, err := p.view.Checkpoint(ctx)
	if err != nil {
		return err
	}
	p.at = at
	if p.at.Epoch != state.Epoch || p.at.Seq > state.Last {
		if p.at != (view.Checkpoint{}) {
			p.slog.WarnContext(ctx, "view is not of this log: rebuilding", "view_epoch", p.at.Epoch, "view_seq", p.at.Seq,
				"log_epoch", state.Epoch, "log_seq", state.Last)
		}
		if err := p.view.Drop(ctx); err != nil {
			return err
		}
		p.at = view.Checkpoint{Epoch: state.Epoch}
	}
	if p.at.Seq == state.Last {
		return p.save(ctx, nil, p.at.Seq) // marks every shard, also on an empty log
	}
	from := p.at.Seq
	var batch []arrived
	end, err := p.log.Scan(ctx, events.AllEvents, p.at.Seq+1, false, func(subject string, s events.Stored) error {
		batch = append(batch, arrived{s, bus.Message{Subject: subject, Seq: s.Seq}})
		if len(batch) < maxBatch {
			return nil
		}
		_, err := p.apply(ctx, batch, s.Seq)
		batch = batch[:0]
		return err
	})
	if err != nil {
		return err
	}
	if _, err := p.apply(ctx, batch, end); err != nil {
		return err
	}
	p.slog.InfoContext(ctx, "view caught up", "from_seq", from, "to_seq", end)
	return nil
}

// arrived is an event with the message it came in.
type arrived struct {
	events.Stored
	msg bus.Message
}

// step applies one batch, or looks after the view when nothing comes. Whatever goes wrong after messages
// were taken, they may never come again: the next step reads what is missing from the log.
func (p *Projector) step(ctx context.Context) error {
	if p.behind {
		if err := p.catchUp(ctx); err != nil {
			return err
		}
		p.behind = false
	}
	wait, cancel := context.WithTimeout(ctx, checkEvery)
	msgs, err := p.source.Next(wait, maxBatch)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if len(msgs) == 0 {
		return p.idle(ctx)
	}
	p.behind = true
	if err := p.take(ctx, msgs); err != nil {
		return err
	}
	p.behind = false
	return nil
}

// take brings the view to the end of a batch. A redelivery may stand anywhere in it, and a gap means that
// a reader before this one took messages and did not apply them: the next ack covers those too, so they
// are read from the log.
func (p *Projector) take(ctx context.Context, msgs []bus.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(msgs, func(a, b bus.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	last := msgs[len(msgs)-1]
	if ok, err := p.inStep(ctx); err != nil || !ok {
		if err == nil {
			err = p.follow(ctx)
		}
		if err != nil {
			return err
		}
	}
	next, gap := p.at.Seq+1, false
	var batch []arrived
	for _, m := range msgs {
		if m.Seq < next {
			continue
		}
		gap = gap || m.Seq > next
		next = m.Seq + 1
		ev, err := events.Parse(m.Header, m.Data)
		if err != nil {
			p.refuse(ctx, "unreadable", m, err)
			continue
		}
		batch = append(batch, arrived{events.Stored{Event: ev, Seq: m.Seq}, m})
	}
	if gap {
		if err := p.follow(ctx); err != nil {
			return err
		}
	}
	refused, err := p.apply(ctx, batch, max(p.at.Seq, last.Seq))
	if err != nil {
		return err
	}
	for _, r := range refused {
		p.refuse(ctx, r.verdict, r.msg, r.err)
	}
	return p.source.Ack(last)
}

// idle looks whether the view is still there and has everything. Another replica that is ahead is only
// followed: nothing is written.
func (p *Projector) idle(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cp, err := p.view.Checkpoint(ctx)
	if err != nil {
		return err
	}
	state, err := p.log.State(ctx)
	if err != nil {
		return err
	}
	if cp.Epoch == state.Epoch && cp.Seq >= p.at.Seq && cp.Seq <= state.Last && (cp.Seq == state.Last || cp != p.idleAt) {
		p.at, p.idleAt = cp, cp
		return nil
	}
	p.slog.WarnContext(ctx, "view is behind the log while nothing comes: catching up", "view_seq", cp.Seq, "log_seq", state.Last)
	return p.follow(ctx)
}

// inStep tells whether the view still stands where this projector left it.
func (p *Projector) inStep(ctx context.Context) (bool, error) {
	cp, err := p.view.Checkpoint(ctx)
	if err != nil {
		return false, err
	}
	if cp != p.at {
		p.slog.WarnContext(ctx, "view moved under the projector: catching up", "expected_seq", p.at.Seq, "found_seq", cp.Seq)
	}
	return cp == p.at, nil
}

// refusal is an event that goes to the dead letters.
type refusal struct {
	msg     bus.Message
	verdict string
	err     error
}

// apply folds a batch into the documents that it concerns and saves them with the checkpoint upTo.
func (p *Projector) apply(ctx context.Context, batch []arrived, upTo uint64) ([]refusal, error) {
	var refused []refusal
	keys, order := map[view.Key]int{}, []view.Key{}
	fit := make([]arrived, 0, len(batch))
	for _, a := range batch {
		if err := events.Mismatch(a.Event, a.msg.Subject); err != nil {
			refused = append(refused, refusal{a.msg, "subject_mismatch", err})
			continue
		}
		k, kept := view.KeyOf(a.Event)
		if !kept {
			continue
		}
		if _, seen := keys[k]; !seen {
			keys[k] = len(order)
			order = append(order, k)
		}
		fit = append(fit, a)
	}
	docs, err := p.view.Load(ctx, order)
	if err != nil {
		return nil, err
	}
	changes := make([]view.Change, len(docs))
	for i, d := range docs {
		changes[i] = view.Change{Before: d, After: d}
	}
	counts := map[lifecycle.Verdict]int{}
	for _, a := range fit {
		k, _ := view.KeyOf(a.Event)
		c := &changes[keys[k]]
		var v lifecycle.Verdict
		c.After, v = view.Fold(c.After, a.Stored)
		counts[v]++
		switch v {
		case lifecycle.Conflict, lifecycle.Illegal, lifecycle.Malformed:
			refused = append(refused, refusal{a.msg, v.String(), fmt.Errorf("%s of %s is not applied", a.Type, k.ID)})
		case lifecycle.Applied, lifecycle.Old, lifecycle.Unknown:
		}
	}
	moved := changes[:0]
	for _, c := range changes {
		if c.After.Head != c.Before.Head {
			moved = append(moved, c)
		}
	}
	if err := p.save(ctx, moved, upTo); err != nil {
		return nil, err
	}
	for v, n := range counts {
		p.stats.Folded(v, n)
	}
	return refused, nil
}

func (p *Projector) save(ctx context.Context, changes []view.Change, upTo uint64) error {
	cp := view.Checkpoint{Epoch: p.at.Epoch, Seq: upTo}
	if err := p.view.Save(ctx, changes, cp); err != nil {
		return err
	}
	p.at = cp
	return nil
}

// refuse puts a message among the dead letters; if that fails it is logged, as the event itself is safe
// in the log.
func (p *Projector) refuse(ctx context.Context, reason string, m bus.Message, cause error) {
	p.slog.WarnContext(ctx, "event not applied", "reason", reason, "subject", m.Subject, "stream_seq", m.Seq, "error", cause.Error())
	if err := p.log.DeadLetter(ctx, "tracker", reason, m, cause); err != nil {
		p.slog.ErrorContext(ctx, "dead letter not stored", "reason", reason, "stream_seq", m.Seq, "error", err.Error())
	}
}
