package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
)

// Times and bounds of events.md 6.2.
const (
	heartbeat  = 15 * time.Second
	writeLimit = 30 * time.Second
	maxStream  = time.Hour // ± 10 %, so that clients that came together do not come back together
	maxStreams = 100       // of one project
	maxOwn     = 10        // of one caller, where callers have names
	retryLater = 10        // seconds, for a client that is one too many
)

// What one reading of the log takes for a stream that is behind; then it is sent before more is read.
const (
	behindEvents = 256
	behindBytes  = 1 << 20
)

// stream answers with server-sent events until the client goes.
func (d *Door) stream(ctx context.Context, f *feed, who access.Caller, progress bool) (*huma.StreamResponse, error) {
	token, err := events.Token(f.project)
	if err != nil {
		return nil, badRequest("project: " + err.Error())
	}
	leave, err := d.streams.enter(f.project, who.Name())
	if err != nil {
		return nil, &problem{Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests, Reason: "RATE_LIMITED", Detail: err.Error(),
			Retryable: true, RetryAfterSeconds: retryLater}
	}
	if f.start == (Start{}) {
		f.start.Seq = f.last + 1
	}
	why, err := d.reset(ctx, f)
	if err != nil {
		leave()
		return nil, d.problem(ctx, err)
	}
	s := &stream{feed: f, reset: why, token: token, log: d.log, live: d.live, reading: d.reading, now: d.now, slog: d.slog, until: who.Expires()}
	if progress {
		s.progress = newLatest()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		hc.SetHeader("Content-Type", "text/event-stream; charset=utf-8")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Accel-Buffering", "no")
		s.run(hc)
	}}, nil
}

// streams counts the open streams of each project, and of each caller in all of them.
type streams struct {
	mu      sync.Mutex
	project map[string]int
	caller  map[string]int
}

func (s *streams) enter(project, caller string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.project[project] >= maxStreams:
		return nil, fmt.Errorf("project %s has %d event streams open: close one, or come back", project, maxStreams)
	case caller != "" && s.caller[caller] >= maxOwn:
		return nil, fmt.Errorf("you have %d event streams open: close one, or come back", maxOwn)
	}
	s.project[project]++
	s.caller[caller]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.project[project]--; s.project[project] == 0 {
			delete(s.project, project)
		}
		if s.caller[caller]--; s.caller[caller] == 0 {
			delete(s.caller, caller)
		}
	}, nil
}

// stream is one client's event stream: one goroutine, which sends what is live and, while it is behind, reads the log.
type stream struct {
	*feed
	reset    string // why it does not get all that it asked for, if so
	token    string // of the project
	log      Log
	live     *live
	reading  reading
	now      func() time.Time
	slog     *slog.Logger
	progress *latest   // nil: not asked for
	until    time.Time // when what proves the caller expires; zero: never

	at  uint64 // everything up to here has been sent; nowhere: not known yet
	out http.ResponseWriter
	ctl *http.ResponseController
}

// life is how long the stream may last.
func (s *stream) life() time.Duration {
	d := time.Duration(float64(maxStream) * (0.9 + 0.2*rand.Float64()))
	if !s.until.IsZero() {
		d = min(d, s.until.Sub(s.now()))
	}
	return d
}

func (s *stream) run(hc huma.Context) {
	var ok bool
	if s.out, ok = hc.BodyWriter().(http.ResponseWriter); !ok {
		return
	}
	s.ctl = http.NewResponseController(s.out)
	hello := "retry: 3000\n"
	if s.reset != "" {
		hello += "event: backupbus.reset\ndata: {\"reason\":\"" + s.reset + "\"}\n\n"
	}
	s.at = s.before()
	in, leave := s.live.enter(s.token, s.epoch, s.progress)
	defer leave()
	if s.send(hello+s.idBlock(s.at)) != nil {
		return
	}
	ctx := hc.Context()
	end := time.NewTimer(s.life())
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		list, more, err := s.read(ctx, in)
		if err != nil && ctx.Err() == nil {
			s.slog.WarnContext(ctx, "event stream is cut", "project", s.project, "error", err.Error())
			s.goAway()
		}
		if err != nil {
			return
		}
		for _, ev := range list {
			if closed(in.of.ended) || closed(s.log.Stopping(ctx)) { // it goes on after its last id
				s.goAway()
				return
			}
			if s.one(ev, "id: "+s.cursor(ev.Seq)+"\n") != nil {
				return
			}
			beat.Reset(heartbeat)
		}
		select {
		case <-more:
		case <-s.progress.news():
			for _, ev := range s.progress.take() {
				if t, err := tell(ev); err != nil || s.wants(ev.Event) && s.one(t, "") != nil {
					return
				}
			}
		case <-beat.C:
			if s.send(":hb\n"+s.idBlock(s.at)) != nil {
				return
			}
		case <-in.of.ended:
			s.goAway()
			return
		case <-end.C:
			s.goAway()
			return
		case <-s.log.Stopping(ctx):
			s.goAway()
			return
		case <-ctx.Done():
			return
		}
	}
}

// atOnce: there is more to read now.
var atOnce = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// read is what comes next of what is wanted, from the room or from the log; more is closed when there may be more.
func (s *stream) read(ctx context.Context, in *listener) (list []told, more <-chan struct{}, err error) {
	if s.at == nowhere {
		return s.behind(ctx, s.start)
	}
	list, upTo, more, missed := in.after(s.at + 1)
	if missed {
		return s.behind(ctx, Start{Seq: s.at + 1})
	}
	s.at = max(s.at, upTo)
	return slices.DeleteFunc(list, func(t told) bool { return !s.due(t.Stored) }), more, nil
}

// behind reads a part of the log.
func (s *stream) behind(ctx context.Context, from Start) (list []told, more <-chan struct{}, err error) {
	leave, err := s.reading.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	size, looked, at := 0, 0, s.at
	end, err := s.log.Replay(ctx, s.project, from, func(ev events.Stored) error {
		if looked == maxLooked || len(list) == behindEvents || size >= behindBytes {
			return errFull
		}
		looked, at = looked+1, ev.Seq
		if !s.due(ev) {
			return nil
		}
		t, err := tell(ev)
		list, size = append(list, t), size+len(t.line)
		return err
	})
	switch {
	case errors.Is(err, errFull):
	case err != nil:
		return nil, nil, err
	case at == nowhere:
		at = end
	default:
		at = max(at, end)
	}
	if at == s.at { // nothing moves: it is looked again with the next heartbeat
		return nil, nil, nil
	}
	s.at = at
	return list, atOnce, nil
}

// due tells whether an event is wanted, by what it is and by when it was stored.
func (s *stream) due(ev events.Stored) bool {
	return s.wants(ev.Event) && !ev.Kept.Before(s.start.Time)
}

// goAway says goodbye: the client comes back with its last id and misses nothing.
func (s *stream) goAway() { _ = s.send("event: backupbus.goaway\ndata: {}\n\n") }

func (s *stream) send(text string) error {
	if err := s.ctl.SetWriteDeadline(s.now().Add(writeLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.ctl.Flush()
}

func (s *stream) one(t told, id string) error {
	return s.send(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, t.Type, t.line))
}

// nowhere stands for a place in the log that is not known yet: a stream that starts at a time has none
// before its first event.
const nowhere = ^uint64(0)

func (s *stream) before() uint64 {
	if s.start.Seq == 0 {
		return nowhere
	}
	return s.start.Seq - 1
}

// idBlock moves the client's resume point without dispatching anything.
func (s *stream) idBlock(seq uint64) string {
	if seq == nowhere {
		return "\n"
	}
	return "id: " + s.cursor(seq) + "\n\n"
}

// latest keeps the newest progress of each backup and restore until it is sent: a slow client gets fewer, not older ones.
type latest struct {
	there chan struct{}
	mu    sync.Mutex
	all   map[string]events.Stored
}

func newLatest() *latest {
	return &latest{there: make(chan struct{}, 1), all: map[string]events.Stored{}}
}

func (l *latest) put(ev events.Stored) {
	l.mu.Lock()
	l.all[ev.PartitionKey] = ev
	l.mu.Unlock()
	select {
	case l.there <- struct{}{}:
	default:
	}
}

// news is nil for who has not asked for progress.
func (l *latest) news() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.there
}

func (l *latest) take() map[string]events.Stored {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = map[string]events.Stored{}
	return all
}
