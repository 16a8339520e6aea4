package native

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
)

// What a room keeps for those of its listeners who are a little behind.
const (
	roomEvents = 256
	roomBytes  = 1 << 20
)

// live reads the log once for all event streams, however many there are: a server allows a thousand readers of a
// stream, ours and the services' among them. It reads while somebody listens. What has happened is kept for each
// project that has listeners, in a room; who needs more reads the log.
type live struct {
	log  Log
	slog *slog.Logger

	mu  sync.Mutex
	now *watch // nil while nobody listens
}

// watch is one run of the two readers. When one of them ends by itself, so do the streams that listen to it.
type watch struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when nothing more comes
	once  sync.Once

	mu       sync.Mutex
	known    bool // from where on the rooms are complete
	epoch    string
	to       uint64
	rooms    map[string]*room
	starting chan struct{} // closed when known
}

// room is what happens in one project.
type room struct {
	of        *watch
	listeners map[*listener]bool
	from      uint64 // what has this sequence or a higher one, up to watch.to, is in recent
	recent    []told
	bytes     int
	moved     chan struct{} // closed and replaced when something was added
}

// told is an event as it is sent.
type told struct {
	events.Stored // without its data: that is in line
	line          []byte
}

// tell encodes an event, once for all who get it.
func tell(ev events.Stored) (told, error) {
	line, err := events.Structured(ev.Event)
	ev.Data = nil
	return told{ev, line}, err
}

// listener is one stream's place in a room.
type listener struct {
	*room
	progress *latest // nil: not asked for
}

// enter joins the room of a project; leave has to be called. epoch is that of the log whose sequences the caller
// speaks of: a watch of one that was deleted since ends.
func (l *live) enter(token, epoch string, progress *latest) (in *listener, leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil && l.now.another(epoch) {
		l.now.end()
	}
	if l.now == nil || l.now.over() {
		l.now = l.start()
	}
	r := l.now
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.rooms[token]
	if at == nil {
		at = &room{of: r, listeners: map[*listener]bool{}, from: r.to + 1, moved: make(chan struct{})}
		r.rooms[token] = at
	}
	in = &listener{at, progress}
	at.listeners[in] = true
	return in, func() { l.leave(token, in) }
}

func (l *live) leave(token string, in *listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := in.of
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(in.listeners, in)
	if len(in.listeners) > 0 {
		return
	}
	delete(r.rooms, token)
	if len(r.rooms) > 0 {
		return
	}
	r.stop()
	if l.now == r {
		l.now = nil
	}
}

func (l *live) start() *watch {
	ctx, stop := context.WithCancel(context.Background())
	r := &watch{stop: stop, ended: make(chan struct{}), rooms: map[string]*room{}, starting: make(chan struct{})}
	go func() {
		defer r.end()
		epoch, last, err := l.log.Position(ctx)
		if err == nil {
			r.begin(epoch, last)
			err = l.log.Follow(ctx, last+1, func(token string, ev events.Stored) error { return r.add(token, ev) })
		}
		if ctx.Err() == nil {
			l.slog.WarnContext(ctx, "event streams are cut", "reading", "events", "error", err.Error())
		}
	}()
	go l.followProgress(ctx, r)
	return r
}

// followProgress goes on after an error: nobody's stream ends for want of progress.
func (l *live) followProgress(ctx context.Context, r *watch) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if err := l.log.FollowProgress(ctx, r.report); ctx.Err() == nil {
			l.slog.WarnContext(ctx, "no progress for event streams", "again_in", heartbeat.String(), "error", err.Error())
		}
		timer.Reset(heartbeat)
	}
}

// another tells whether this watch is known to read another log.
func (r *watch) another(epoch string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known && r.epoch != epoch
}

func (r *watch) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (r *watch) end() {
	r.once.Do(func() { r.stop(); close(r.ended) })
}

// begin says that everything after last will be told.
func (r *watch) begin(epoch string, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.epoch, r.to = true, epoch, last
	for _, at := range r.rooms {
		at.from = last + 1
	}
	close(r.starting)
}

func (r *watch) add(token string, ev events.Stored) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = ev.Seq
	at := r.rooms[token]
	if at == nil {
		return nil
	}
	t, err := tell(ev)
	if err != nil {
		return err
	}
	at.recent, at.bytes = append(at.recent, t), at.bytes+len(t.line)
	for len(at.recent) > roomEvents || at.bytes > roomBytes {
		at.from, at.bytes = at.recent[0].Seq+1, at.bytes-len(at.recent[0].line)
		at.recent[0] = told{} // its place goes when the slice grows
		at.recent = at.recent[1:]
	}
	close(at.moved)
	at.moved = make(chan struct{})
	return nil
}

func (r *watch) report(token string, ev events.Stored) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.rooms[token]; at != nil {
		for in := range at.listeners {
			if in.progress != nil {
				in.progress.put(ev)
			}
		}
	}
	return nil
}

// after is what was told from the sequence next on, and the last sequence that is known of. There is nothing yet if
// it is empty: then more is closed when there may be. missed: some of it is no longer here, or happened before
// somebody listened; it is in the log.
func (in *listener) after(next uint64) (list []told, upTo uint64, more <-chan struct{}, missed bool) {
	r := in.of
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.known:
		return nil, 0, r.starting, false
	case next < in.from:
		return nil, 0, nil, true
	}
	n := len(in.recent)
	for n > 0 && in.recent[n-1].Seq >= next {
		n--
	}
	return slices.Clone(in.recent[n:]), r.to, in.moved, false
}
