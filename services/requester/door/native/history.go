package native

import (
	"context"
	"sync"
	"time"
)

// remember is how long it is remembered where history begins: it moves with the clock, slowly.
const remember = time.Minute

// Words of `backupbus.reset` (events.md 6.2).
const (
	cursorUnknown    = "CURSOR_UNKNOWN"
	historyCompacted = "HISTORY_COMPACTED"
)

// history is where the log begins to be whole: of what is older only the last events are left (events.md 4.4).
type history struct {
	mu    sync.Mutex
	asked time.Time
	epoch string
	since time.Time
	first uint64 // the first sequence that was stored since
}

// begins asks the log, at most once in a while.
func (d *Door) begins(ctx context.Context, epoch string) (since time.Time, first uint64, err error) {
	h := &d.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := d.now(); h.epoch != epoch || now.Sub(h.asked).Abs() >= remember {
		if h.since, h.first, err = d.log.Whole(ctx, now); err != nil {
			h.epoch = ""
			return since, 0, err
		}
		h.asked, h.epoch = now, epoch
	}
	return h.since, h.first, nil
}

// reset is why a client has to be told that it does not get all that it asked for; empty if it does. Without a start
// of its own a stream misses nothing, and pages begin with the first event ever.
func (d *Door) reset(ctx context.Context, f *feed) (string, error) {
	if f.lost {
		return cursorUnknown, nil
	}
	since, first, err := d.begins(ctx, f.epoch)
	switch {
	case err != nil:
		return "", err
	case first <= 1: // the log is younger than the limit
		return "", nil
	case !f.start.Time.IsZero() && f.start.Time.Before(since), f.start.Time.IsZero() && max(f.start.Seq, 1) < first:
		return historyCompacted, nil
	}
	return "", nil
}

// whole refuses a past state that the log may no longer know.
func (d *Door) whole(ctx context.Context, moment time.Time) error {
	epoch, _, err := d.log.Position(ctx)
	if err != nil {
		return d.problem(ctx, err)
	}
	since, first, err := d.begins(ctx, epoch)
	switch {
	case err != nil:
		return d.problem(ctx, err)
	case moment.Before(since) && first > 1:
		return badRequest("asOf is before history begins, " + since.UTC().Format(time.RFC3339) + ": of what is older only the last events are left")
	}
	return nil
}
