// Package janitor ends history as events.md 4.4 says: of every aggregate whose last event is older than the history
// limit it leaves in the log what lifecycle.LeftBy decides on, and has the view forget what has nothing left.
//
// It holds no lease. Whoever runs it, and however often, purges up to the place of the last event that it saw, so what
// is appended meanwhile stays. The view forgets first: whoever dies in between leaves events that the next run
// purges, and never a document without events.
package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

const (
	every = 24 * time.Hour
	// look is how often it is looked whether a run is due, and how soon one that failed is tried again.
	look = time.Hour
	// together is how many documents are forgotten between two batches of the projector.
	together = 16
)

// Log is the part of the bus that a janitor needs: it publishes nothing but purges and reads (events.md 4.6).
type Log interface {
	State(ctx context.Context) (bus.LogState, error)
	Survey(ctx context.Context, before time.Time, fn func(subject string, seq uint64, ev *events.Event)) error
	Last(ctx context.Context, filter string) (events.Stored, bool, error)
	Purge(ctx context.Context, aggregate events.Subject, before uint64) (int, error)
}

// View is the one writer of the view.
type View interface {
	// Forget drops each document that is still as it was seen, and then calls then for it while nothing else is
	// written; for one that is not there it calls then too. view.ErrBehind: another replica may do better.
	Forget(ctx context.Context, seen []view.Seen, then func(n int) error) error
}

// Stats is told how many events were purged; the owner turns it into metrics.
type Stats interface {
	Purged(left lifecycle.Left, n int)
}

// Janitor runs once a day.
type Janitor struct {
	log   Log
	view  View
	stats Stats
	slog  *slog.Logger
	now   func() time.Time
	most  int // aggregates in memory
}

// New makes a janitor; nothing is read before Run.
func New(log Log, v View, stats Stats, l *slog.Logger, now func() time.Time) *Janitor {
	return &Janitor{log: log, view: v, stats: stats, slog: l, now: now, most: mostAggregates}
}

// Run cleans up now, as nobody knows when it was done last, and then once a day until ctx ends.
func (j *Janitor) Run(ctx context.Context) {
	var last time.Time
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if begun := j.now(); begun.Sub(last) >= every && j.Clean(ctx) == nil {
			last = begun
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// mostSkew is how far two clocks may be apart: what they decide on is counted in days.
const mostSkew = 10 * time.Minute

// agree refuses to end history by a clock that is not that of the log: one that is a year ahead would end everything.
func agree(ours, logs time.Time) error {
	if skew := ours.Sub(logs); skew.Abs() > mostSkew {
		return fmt.Errorf("the clock of this machine is %s from that of the log's server: set them right, nothing is purged until then", skew.Round(time.Second))
	}
	return nil
}

// tally is what a run has done.
type tally struct{ aggregates, purged, kept, forgotten int }

// Clean is one run. It has said what came of it, so its error is for who wants to try again.
func (j *Janitor) Clean(ctx context.Context) error {
	var t tally
	begun := j.now()
	state, err := j.log.State(ctx)
	if err == nil {
		err = agree(begun, state.Now)
	}
	if err == nil {
		err = j.clean(ctx, state.WholeSince(begun), &t)
	}
	line := []any{"history_days", state.HistoryDays, "aggregates", t.aggregates, "events_purged", t.purged, "forgotten", t.forgotten,
		"not_understood", t.kept, "took", j.now().Sub(begun).String()}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, view.ErrBehind): // as on a replica that stands by while another one writes
		j.slog.InfoContext(ctx, "history not cleaned up here", append(line, "why", err.Error())...)
	case err != nil:
		j.slog.WarnContext(ctx, "history not cleaned up, to be tried again", append(line, "error", events.Redact(err.Error()), "retry_in", look)...)
	default:
		j.slog.InfoContext(ctx, "history cleaned up", line...)
	}
	return err
}

// clean goes through the aggregates by shares of which each fits into memory.
func (j *Janitor) clean(ctx context.Context, before time.Time, t *tally) error {
	for s := everything(); !s.over(); s = s.next() {
		err := j.log.Survey(ctx, before, func(subject string, seq uint64, ev *events.Event) { s.take(subject, seq, ev, j.most) })
		if err != nil {
			return err
		}
		t.aggregates += len(s.old)
		if err := j.end(ctx, s, t); err != nil {
			return err
		}
	}
	return nil
}

// end leaves of each aggregate of a share what is to be left.
func (j *Janitor) end(ctx context.Context, s *share, t *tally) error {
	var gone []doomed
	for scope, p := range s.old {
		if p.left == lifecycle.Unclear {
			t.kept++
		}
		if !p.due() {
			continue
		}
		d, doc, err := j.look(ctx, scope, p)
		switch {
		case errors.Is(err, events.ErrUnreadable):
			t.kept++
			continue
		case errors.Is(err, errGoesOn):
			continue
		case err == nil && (p.left == lifecycle.LastEvent || p.more()):
			err = j.compact(ctx, d, t)
		case err == nil && !doc:
			err = j.purge(ctx, d, t)
		case err == nil:
			gone = append(gone, d)
		}
		if err == nil && len(gone) == together {
			err, gone = j.forget(ctx, gone, t), gone[:0]
		}
		if err != nil {
			return err
		}
	}
	return j.forget(ctx, gone, t)
}

// errGoesOn: the last event that was seen is not the last one any more, or another janitor was faster.
var errGoesOn = errors.New("it goes on")

// look reads the last event of an aggregate, and tells whether the view has a document of it.
func (j *Janitor) look(ctx context.Context, scope string, p *past) (d doomed, doc bool, err error) {
	if d.at, err = events.ParseSubject(scope); err != nil {
		return d, false, err
	}
	last, found, err := j.log.Last(ctx, scope)
	if err != nil {
		return d, false, fmt.Errorf("read %s: %w", scope, err)
	}
	if !found || last.Seq != p.last {
		return d, false, errGoesOn
	}
	d.past = p
	d.doc.Seq = last.Seq
	d.doc.Key, doc = view.KeyOf(last.Event)
	return d, doc, nil
}

// doomed is an aggregate of which something is to go.
type doomed struct {
	*past
	at  events.Subject
	doc view.Seen // if it has one
}

// forget has the view forget aggregates that have nothing left, each before its events go.
func (j *Janitor) forget(ctx context.Context, gone []doomed, t *tally) error {
	if len(gone) == 0 {
		return nil
	}
	seen := make([]view.Seen, len(gone))
	for i, d := range gone {
		seen[i] = d.doc
	}
	return j.view.Forget(ctx, seen, func(n int) error {
		t.forgotten++
		return j.purge(ctx, gone[n], t)
	})
}

// purge leaves nothing: up to the last event that was seen, and that one too.
func (j *Janitor) purge(ctx context.Context, d doomed, t *tally) error {
	if err := j.compact(ctx, d, t); err != nil {
		return err
	}
	return j.upTo(ctx, d, d.last+1, t)
}

// compact leaves the last event that was seen. It goes event by event: for a purge that takes several at once the
// server counts anew what each of its consumers has before it, with the log closed meanwhile. Measured with
// nats-server 2.15.2, nine consumers, on two cores: 370 ms for each purge of two events among 120,000, growing with
// the log; 0.4 ms for one of one event, among 300,000 too.
func (j *Janitor) compact(ctx context.Context, d doomed, t *tally) error {
	for _, seq := range d.before {
		if err := j.upTo(ctx, d, seq+1, t); err != nil {
			return err
		}
	}
	return nil
}

func (j *Janitor) upTo(ctx context.Context, d doomed, before uint64, t *tally) error {
	n, err := j.log.Purge(ctx, d.at, before)
	if err != nil {
		return err
	}
	t.purged += n
	j.stats.Purged(d.left, n)
	return nil
}
