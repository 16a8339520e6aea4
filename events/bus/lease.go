package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A lease is held by renewing its key; who sees the same revision for so many looks takes it. No clock is
// compared with another's. A holder gives up before others may take it.
const (
	looks     = 4 // within the patience
	takeAfter = looks + 1
	giveUp    = looks - 1
)

// Lease is what Lead asks for.
type Lease struct {
	Key, Holder string
	Patience    time.Duration    // until others take it from a holder that is silent
	Now         func() time.Time // of this process, for held
}

// Lead runs fn whenever this process holds the lease, until ctx ends or fn returns an error other
// than that of its context. Of several processes one leads; when it stops, another one does within a look (a
// quarter of patience), when it dies, within one and a half times patience. fn's context ends when the lease
// is lost, and nobody else leads before fn had a quarter of patience to return. A process that stood still for
// longer may believe for a moment that it leads: what fn writes it therefore writes by compare-and-set, and
// before what it cannot take back it asks held, which is false as soon as somebody else may lead.
func (k *KeyValue) Lead(ctx context.Context, a Lease, fn func(ctx context.Context, held func() bool) error) error {
	l := &lease{Lease: a, kv: k, look: a.Patience / looks}
	for {
		taken, err := l.campaign(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrConflict) {
			k.bus.log.WarnContext(ctx, "lease not read", "lease", a.Key, "error", err)
		}
		if taken {
			if err := l.hold(ctx, fn); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if !pause(ctx, l.look) {
			return ctx.Err()
		}
	}
}

type lease struct {
	Lease
	kv   *KeyValue
	look time.Duration

	revision  uint64                    // last seen, or our own
	unchanged int                       // looks that saw it
	asked     time.Time                 // begin of the first write over revision whose answer is not known
	until     atomic.Pointer[time.Time] // nobody takes it before: from the begin of the write that was the last to hold
}

// extend notes a write that began at a time and holds.
func (l *lease) extend(revision uint64, began time.Time) {
	l.revision, l.unchanged, l.asked = revision, 0, time.Time{}
	until := began.Add(looks * l.look) // who takes it needs one more
	l.until.Store(&until)
}

// held tells whether the lease is surely ours, by both clocks: one stands still while the machine sleeps, the other
// is set.
func (l *lease) held() bool {
	until, now := l.until.Load(), l.Now()
	return until != nil && now.Before(*until) && now.Round(0).Before(until.Round(0))
}

// campaign looks once, and takes the lease if it is free.
func (l *lease) campaign(ctx context.Context) (bool, error) {
	ask, cancel := context.WithTimeout(ctx, max(l.look, time.Second))
	defer cancel()
	e, there, err := l.kv.Get(ask, l.Key)
	if err != nil {
		return false, err
	}
	if there && len(e.Value) > 0 {
		if e.Revision != l.revision {
			l.revision, l.unchanged = e.Revision, 0
		}
		if l.unchanged++; l.unchanged <= takeAfter {
			return false, nil
		}
	}
	began := l.Now()
	revision, err := l.kv.Put(ask, l.Key, []byte(l.Holder), e.Revision)
	if err != nil {
		return false, err
	}
	l.extend(revision, began)
	return true, nil
}

// hold runs fn and renews until fn has returned, also while it drains, or the lease is lost.
func (l *lease) hold(ctx context.Context, fn func(ctx context.Context, held func() bool) error) error {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- fn(leading, l.held) }()
	tick := time.NewTicker(l.look)
	defer tick.Stop()
	missed, lost := 0, false
	for {
		select {
		case err := <-done:
			if !lost {
				l.release(ctx)
			}
			if leading.Err() != nil {
				return nil
			}
			return err
		case <-tick.C:
		}
		if lost {
			continue
		}
		err := l.renew(ctx)
		if err == nil {
			if missed = 0; !l.held() { // the process stood still
				l.kv.bus.log.WarnContext(ctx, "lease is held, and may not have been for a while", "lease", l.Key)
			}
			continue
		}
		if missed++; errors.Is(err, ErrConflict) || missed >= giveUp || !l.held() {
			l.kv.bus.log.WarnContext(ctx, "lease lost", "lease", l.Key, "error", err)
			lost = true
			stop()
		}
	}
}

// renew writes the lease once. If it does not learn whether that holds, it looks.
func (l *lease) renew(ctx context.Context) error {
	began := l.Now()
	if l.asked.IsZero() {
		l.asked = began
	}
	write, cancel := l.soon(ctx)
	revision, err := l.kv.Put(write, l.Key, []byte(l.Holder), l.revision)
	cancel()
	if err == nil {
		l.extend(revision, began)
		return nil
	}
	look, cancel := l.soon(ctx)
	defer cancel()
	// One whose answer was lost, this one or one before, has moved the revision on: it began no earlier than asked.
	e, there, unread := l.kv.Get(look, l.Key)
	switch {
	case unread != nil: // whose the conflict is, if it is one, is not known
		return unread
	case there && e.Revision != l.revision && string(e.Value) == l.Holder:
		l.extend(e.Revision, l.asked)
		return nil
	}
	return err
}

// soon bounds a question by a look, and by the end of the lease, so that its loss is known before others have it.
func (l *lease) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := l.look
	if until := l.until.Load(); until != nil {
		if left := until.Sub(l.Now()); left > 0 {
			wait = min(wait, left)
		}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), wait)
}

// release lets others take it at once; if it cannot, they do so when they have waited.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if revision, err := l.kv.Put(ctx, l.Key, nil, l.revision); err == nil {
		l.revision, l.unchanged = revision, 0
	}
}
