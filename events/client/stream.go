package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
)

// maxLine is more than one event on one line can be (events.md 2.5).
const maxLine = 1 << 20

// maxRetry is the longest pause that a server may ask for.
const maxRetry = time.Minute

var errEnded = errors.New("the stream ended")

// once follows the stream until it is cut.
func (s *subscription) once(ctx context.Context) error {
	resp, err := s.get(ctx, s.url(url.Values{}), "text/event-stream")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	// A server that is there says so every 15 s; a connection may be dead without anybody saying that.
	silent := time.AfterFunc(s.Silence, func() { _ = resp.Body.Close() })
	defer silent.Stop()
	return s.read(ctx, resp.Body, func() { silent.Reset(s.Silence) })
}

// block is one block of a stream: what stands between two empty lines.
type block struct {
	event, data, id string
	hasID           bool
}

// read takes the stream apart by the WHATWG rules, as far as the server uses them.
// alive is called for every line.
func (s *subscription) read(ctx context.Context, body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	var b block
	for lines.Scan() {
		alive()
		if lines.Text() == "" {
			if err := s.dispatch(ctx, b); err != nil {
				return err
			}
			b = block{}
			continue
		}
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			b.event = value
		case "data":
			b.data = value
		case "id":
			b.id, b.hasID = value, true
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms > 0 {
				s.retry = min(time.Duration(ms)*time.Millisecond, maxRetry)
			}
		}
	}
	return errors.Join(errEnded, lines.Err())
}

func (s *subscription) dispatch(ctx context.Context, b block) error {
	switch {
	case b.event == "backupbus.goaway":
		return errEnded
	case b.event == "backupbus.reset":
		if s.Reset != nil {
			var d struct{ Reason Reset }
			_ = json.Unmarshal([]byte(b.data), &d) // without one, it is a reset all the same
			s.Reset(ctx, d.Reason)
		}
	case b.data != "":
		ev, err := events.Parse(nil, []byte(b.data))
		if err != nil {
			break // of a kind that this version does not know; its cursor counts all the same
		}
		if err := s.handle(ctx, Message{Event: ev, Cursor: b.id, Raw: []byte(b.data)}); err != nil {
			return &stopped{err}
		}
	}
	if b.hasID {
		s.Cursor, s.Since = b.id, time.Time{}
	}
	return nil
}
