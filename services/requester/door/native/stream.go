package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
)

// Times and bounds of events.md 6.2.
const (
	heartbeat  = 15 * time.Second
	writeLimit = 30 * time.Second
	maxStream  = time.Hour // ± 10 %, so that clients that came together do not come back together
	maxStreams = 100       // of one project
	retryLater = 10        // seconds, for a client that is one too many
)

// Buffered is how many events wait for a slow client; then the log is read no further for it.
const Buffered = 256

// stream answers with server-sent events until the client goes.
func (d *Door) stream(f *feed, progress bool) (*huma.StreamResponse, error) {
	leave, ok := d.streams.enter(f.project)
	if !ok {
		return nil, huma.ErrorWithHeaders(&problem{Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests, Reason: "RATE_LIMITED",
			Detail: fmt.Sprintf("project %s has %d event streams open: close one, or come back", f.project, maxStreams)},
			http.Header{"Retry-After": {fmt.Sprint(retryLater)}})
	}
	if f.start == (Start{}) {
		f.start.Seq = f.last + 1
	}
	s := &stream{feed: f, log: d.log, now: d.now, slog: d.slog, progress: progress}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		hc.SetHeader("Content-Type", "text/event-stream; charset=utf-8")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Accel-Buffering", "no")
		s.run(hc)
	}}, nil
}

// streams counts the open streams of each project.
type streams struct {
	mu   sync.Mutex
	open map[string]int
}

func (s *streams) enter(project string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[project] >= maxStreams {
		return nil, false
	}
	s.open[project]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[project]--; s.open[project] == 0 {
			delete(s.open, project)
		}
	}, true
}

// stream is one client's event stream. One goroutine writes; those that read the log hand it what they have.
type stream struct {
	*feed
	log      Log
	now      func() time.Time
	slog     *slog.Logger
	progress bool

	out http.ResponseWriter
	ctl *http.ResponseController
}

func (s *stream) run(hc huma.Context) {
	var ok bool
	if s.out, ok = hc.BodyWriter().(http.ResponseWriter); !ok {
		return
	}
	s.ctl = http.NewResponseController(s.out)
	ctx, stop := context.WithCancel(hc.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	hello := "retry: 3000\n"
	if s.lost {
		hello += "event: backupbus.reset\ndata: {\"reason\":\"CURSOR_UNKNOWN\"}\n\n"
	}
	at := s.before()
	if s.send(hello+s.idBlock(at)) != nil {
		return
	}
	news, ended := make(chan events.Stored), make(chan struct{})
	readers.Go(func() {
		defer close(ended)
		s.report(ctx, "events", s.log.Follow(ctx, s.project, s.start, func(ev events.Stored) error {
			select {
			case news <- ev:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	})
	latest := newLatest()
	if s.progress {
		readers.Go(func() {
			for ctx.Err() == nil { // nobody comes back for progress alone
				s.report(ctx, "progress", s.log.FollowProgress(ctx, s.project, func(ev events.Stored) error { latest.put(ev); return nil }))
				timer := time.NewTimer(heartbeat)
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
				}
			}
		})
	}
	end := time.NewTimer(time.Duration(float64(maxStream) * (0.9 + 0.2*rand.Float64())))
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case ev := <-news:
			if at = ev.Seq; !s.wants(ev.Event) {
				continue
			}
			err = s.one(ev, "id: "+s.cursor(at)+"\n")
			beat.Reset(heartbeat)
		case <-latest.there:
			for _, ev := range latest.take() {
				if err == nil && s.wants(ev.Event) {
					err = s.one(ev, "")
				}
			}
		case <-beat.C:
			err = s.send(":hb\n" + s.idBlock(at))
		case <-ended:
			return
		case <-end.C:
			s.goAway()
			return
		case <-s.log.Stopping(ctx):
			s.goAway()
			return
		}
		if err != nil {
			return
		}
	}
}

// report says why a stream is read no further, unless the client has gone.
func (s *stream) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.slog.WarnContext(ctx, "event stream is cut", "reading", what, "project", s.project, "error", err.Error())
	}
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

func (s *stream) one(ev events.Stored, id string) error {
	line, err := events.Structured(ev.Event)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, ev.Type, line))
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

// latest keeps the newest progress of each backup until it is sent: a slow client gets fewer, not older ones.
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

func (l *latest) take() map[string]events.Stored {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = map[string]events.Stored{}
	return all
}
