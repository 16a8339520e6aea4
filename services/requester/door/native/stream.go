package native

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Log is what the event stream reads from. Sequences are those of the log that epoch names.
type Log interface {
	// Follow calls fn for each event of a project, in the order of the log, from a sequence or a time on
	// (both zero: new ones only), until ctx ends or fn returns an error.
	Follow(ctx context.Context, project string, from uint64, since time.Time, fn func(events.Stored) error) error
	// Position is the log's epoch and last sequence.
	Position(ctx context.Context) (epoch string, last uint64, err error)
	// Stopping is closed when a server has to stop.
	Stopping(ctx context.Context) <-chan struct{}
}

// Times of events.md 6.2.
const (
	heartbeat  = 15 * time.Second
	writeLimit = 30 * time.Second
	maxStream  = time.Hour
	// buffered is how many events wait for a slow client; then the log is read no further for it.
	buffered = 256
)

type streamInput struct {
	InProject
	Type        []string `query:"type,explode" maxItems:"50" doc:"exact type, or a prefix ending in *; dev.backupbus. may be left out"`
	Instance    string   `query:"instance" maxLength:"100"`
	Backup      string   `query:"backup" maxLength:"40"`
	Cursor      string   `query:"cursor" maxLength:"64" doc:"go on after this event"`
	Since       string   `query:"since" maxLength:"40" doc:"start at this time (RFC 3339)"`
	LastEventID string   `header:"Last-Event-ID" maxLength:"64"`
}

func (d *Door) events(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "streamEvents", Method: http.MethodGet, Path: project + "/events", Tags: []string{"events"},
		Summary:     "Server-sent events of a project",
		Description: "Last-Event-ID beats cursor beats since; without any of them the stream starts now.",
		Responses: map[string]*huma.Response{"200": {Description: "event stream", Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, func(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
		s, err := d.openStream(ctx, in)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "text/event-stream; charset=utf-8")
			hc.SetHeader("Cache-Control", "no-store")
			hc.SetHeader("X-Accel-Buffering", "no")
			s.run(hc)
		}}, nil
	})
}

// stream is one client's event stream.
type stream struct {
	log     Log
	in      *streamInput
	epoch   string
	from    uint64
	since   time.Time
	reset   bool
	now     func() time.Time
	project string
	last    uint64
}

func (d *Door) openStream(ctx context.Context, in *streamInput) (*stream, error) {
	bad := func(what string) error {
		return &problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
			Reason: string(intake.SchemaViolation), Detail: what}
	}
	if _, err := events.Token(in.Project); err != nil {
		return nil, bad("project: " + err.Error())
	}
	epoch, last, err := d.log.Position(ctx)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	s := &stream{log: d.log, in: in, epoch: epoch, now: d.now, project: in.Project, last: last}
	cursor := in.LastEventID
	if cursor == "" {
		cursor = in.Cursor
	}
	switch {
	case cursor != "":
		of, seq, ok := strings.Cut(cursor, "-")
		n, err := strconv.ParseUint(seq, 10, 63)
		if !ok || err != nil {
			return nil, bad("the cursor is not one that this stream gave")
		}
		s.from = n + 1
		if of != epoch || n > last {
			s.from, s.reset = 1, true
		}
	case in.Since != "":
		if s.since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return nil, bad("since is not an RFC 3339 time")
		}
	default:
		s.from = last + 1
	}
	return s, nil
}

// errClosed ends a stream without fault.
var errClosed = errors.New("stream closed")

func (s *stream) run(hc huma.Context) {
	w := hc.BodyWriter()
	rw, ok := w.(http.ResponseWriter)
	if !ok {
		return
	}
	ctl := http.NewResponseController(rw)
	ctx, stop := context.WithCancel(hc.Context())
	defer stop()
	end := time.NewTimer(maxStream)
	defer end.Stop()
	var mu sync.Mutex // the log's goroutine and the heartbeat both write
	send := func(text string) error {
		mu.Lock()
		defer mu.Unlock()
		if err := ctl.SetWriteDeadline(s.now().Add(writeLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := rw.Write([]byte(text)); err != nil {
			return err
		}
		return ctl.Flush()
	}
	hello := "retry: 3000\n"
	if s.reset {
		hello += "event: backupbus.reset\ndata: {\"reason\":\"CURSOR_UNKNOWN\"}\n\n"
	}
	if send(hello+s.idBlock(s.start())) != nil {
		return
	}
	followed := make(chan error, 1)
	seen, sent := make(chan uint64, buffered), make(chan struct{}, 1)
	go func() {
		followed <- s.log.Follow(ctx, s.project, s.from, s.since, func(ev events.Stored) error { return s.one(ev, send, seen, sent) })
	}()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	at := s.start()
	for {
		select {
		case <-followed:
			return
		case at = <-seen:
		case <-sent:
			beat.Reset(heartbeat)
		case <-beat.C:
			if send(":hb\n"+s.idBlock(at)) != nil {
				stop()
			}
		case <-end.C:
			s.goAway(send, stop, followed)
			return
		case <-s.log.Stopping(ctx):
			s.goAway(send, stop, followed)
			return
		}
	}
}

// goAway says goodbye: the client comes back with its last id and misses nothing.
func (s *stream) goAway(send func(string) error, stop func(), followed <-chan error) {
	_ = send("event: backupbus.goaway\ndata: {}\n\n")
	stop()
	<-followed
}

// nowhere stands for a place in the log that is not known yet: a stream that starts at a time has none
// before its first event.
const nowhere = ^uint64(0)

func (s *stream) start() uint64 {
	if s.from == 0 {
		return nowhere
	}
	return s.from - 1
}

// idBlock moves the client's resume point without dispatching anything.
func (s *stream) idBlock(seq uint64) string {
	if seq == nowhere {
		return "\n"
	}
	return "id: " + s.id(seq) + "\n\n"
}

// one sends an event that the client asked for, and passes over any other.
func (s *stream) one(ev events.Stored, send func(string) error, seen chan<- uint64, sent chan<- struct{}) error {
	if s.wanted(ev.Event) {
		line, err := events.Structured(ev.Event)
		if err != nil {
			return err
		}
		if err := send(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", s.id(ev.Seq), ev.Type, line)); err != nil {
			return errClosed
		}
		select {
		case sent <- struct{}{}:
		default:
		}
	}
	select {
	case seen <- ev.Seq:
	default: // the heartbeat learns of a later one
	}
	return nil
}

func (s *stream) id(seq uint64) string { return s.epoch + "-" + strconv.FormatUint(seq, 10) }

func (s *stream) wanted(ev events.Event) bool {
	if s.in.Backup != "" && ev.PartitionKey != s.in.Backup {
		return false
	}
	if s.in.Instance != "" {
		if t, err := events.Token(s.in.Instance); err != nil || t != ev.Instance {
			return false
		}
	}
	if len(s.in.Type) == 0 {
		return true
	}
	for _, want := range s.in.Type {
		want = strings.TrimPrefix(want, "dev.backupbus.")
		have := strings.TrimPrefix(ev.Type, "dev.backupbus.")
		if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(have, prefix) || want == have {
			return true
		}
	}
	return false
}
