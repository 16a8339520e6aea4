// Package client subscribes to the events of a project over HTTP, for programs that are no part of the pipeline and
// have no NATS: live from a cursor on, through restarts and cuts without a gap (events.md 6.2), or in pages of what
// is stored (6.3). Delivery is at least once: store the highest sequence per source with the effect, and drop what
// is not higher.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Config says what to subscribe to. Server and Project are needed.
type Config struct {
	Server   string // http://127.0.0.1:8080
	Project  string
	Types    []string // exact, or a prefix ending in *; dev.backupbus. may be left out
	Instance string
	Backup   string
	Filter   string    // CESQL over the attributes
	Progress bool      // progress of running backups and restores too; it is not replayed and has no cursor
	Cursor   string    // go on after this one; beats Since
	Since    time.Time // start at this time; zero and no cursor: now (Subscribe), the oldest event (Replay)
	Until    time.Time // Replay only: end before this time
	Token    string    // sent as Authorization: Bearer, if set

	// Silence is how long a stream may say nothing before it counts as cut; default 45 s, three heartbeats.
	Silence time.Duration

	HTTP  *http.Client                         // default http.DefaultClient; without a timeout, or streams end with it
	Reset func(ctx context.Context, why Reset) // told that not all comes that was asked for, or all again; may be nil
}

// Reset is why a start is not the one that was asked for (events.md 6.2).
type Reset string

// The reasons.
const (
	CursorUnknown    Reset = "CURSOR_UNKNOWN"    // it is of another log: everything comes again
	HistoryCompacted Reset = "HISTORY_COMPACTED" // it lies before the history limit: what is left comes
)

// Message is an event and the cursor after it; progress has none.
type Message struct {
	Event  events.Event
	Cursor string
	Raw    []byte // the event as JSON, as it was sent
}

// Refused is what the server said against a subscription: it does not help to ask again.
type Refused struct {
	Status int
	Reason string // word of events.md 5.5
	Detail string
}

func (r *Refused) Error() string { return r.Reason + ": " + r.Detail }

// pause before a stream that was cut is asked for again, unless the server names another.
const pause = time.Second

// Subscribe calls handle for every event, in the order of the log, one at a time, until ctx ends (it returns its
// error), handle returns an error (that), or the server refuses (*Refused). A cut is no error: it goes on after the
// last event that handle has taken.
func Subscribe(ctx context.Context, c Config, handle func(context.Context, Message) error) error {
	s := &subscription{Config: c.withDefaults(), handle: handle, retry: pause}
	for {
		err := s.once(ctx)
		var stop *stopped
		var refused *Refused
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.error
		case errors.As(err, &refused):
			return refused
		}
		if err := s.rest(ctx, err); err != nil {
			return err
		}
	}
}

// rest waits before another try: as long as the server asked for, if it did.
func (s *subscription) rest(ctx context.Context, err error) error {
	wait := s.retry
	var busy *busyError
	if errors.As(err, &busy) {
		wait = max(wait, busy.after)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replayTries is how often a page is asked for before Replay gives up.
const replayTries = 5

// Replay calls handle for every stored event, in the order of the log, and returns the cursor to go on from, also
// with an error. A page that fails is asked for again, some times.
func Replay(ctx context.Context, c Config, handle func(context.Context, Message) error) (cursor string, err error) {
	s := &subscription{Config: c.withDefaults(), handle: handle, retry: pause}
	tries := 0
	for more := true; more; {
		if more, err = s.page(ctx); err == nil {
			tries = 0
			continue
		}
		var stop *stopped
		var refused *Refused
		tries++
		switch {
		case errors.As(err, &stop):
			return s.Cursor, stop.error
		case errors.As(err, &refused), tries == replayTries:
			return s.Cursor, err
		}
		if err := s.rest(ctx, err); err != nil {
			return s.Cursor, err
		}
		more = true
	}
	return s.Cursor, nil
}

type subscription struct {
	Config
	handle func(context.Context, Message) error
	retry  time.Duration
	told   bool // of Replay: whether all comes that was asked for
}

// truncatedBy tells a cursor of another log, whose first part is that log's, from one before the history limit.
func truncatedBy(cursor, next string) Reset {
	was, _, given := strings.Cut(cursor, "-")
	if is, _, _ := strings.Cut(next, "-"); given && was != is {
		return CursorUnknown
	}
	return HistoryCompacted
}

// stopped is what handle returned.
type stopped struct{ error }

func (c Config) withDefaults() Config {
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Silence <= 0 {
		c.Silence = 45 * time.Second
	}
	c.Server = strings.TrimSuffix(c.Server, "/")
	return c
}

func (s *subscription) url(q url.Values) string {
	q["type"] = s.Types
	for name, v := range map[string]string{"instance": s.Instance, "backup": s.Backup, "filter": s.Filter} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if s.Progress {
		q.Set("progress", "true")
	}
	for name, t := range map[string]time.Time{"since": s.Since, "until": s.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if s.Cursor != "" {
		q.Set("cursor", s.Cursor)
	}
	return s.Server + "/api/v1/projects/" + url.PathEscape(s.Project) + "/events?" + q.Encode()
}

func (s *subscription) get(ctx context.Context, address, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &stopped{fmt.Errorf("server: %w", err)}
	}
	req.Header.Set("Accept", accept)
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	r := &Refused{Status: resp.StatusCode, Reason: http.StatusText(resp.StatusCode), Detail: "the server gave no reason"}
	if body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10)); err == nil {
		_ = json.Unmarshal(body, r) // without one the status has to do
	}
	if r.Status = resp.StatusCode; r.Status >= 500 || r.Status == http.StatusTooManyRequests {
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return nil, &busyError{fmt.Errorf("status %d: %w", r.Status, errors.New(r.Error())), min(time.Duration(after)*time.Second, maxRetry)}
	}
	return nil, r
}

// busyError is worth another try, after a while.
type busyError struct {
	error
	after time.Duration
}

// page reads one page after the cursor.
func (s *subscription) page(ctx context.Context) (more bool, err error) {
	resp, err := s.get(ctx, s.url(url.Values{"limit": {"1000"}}), "application/cloudevents-batch+json")
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	var batch []json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&batch); err != nil {
		return false, fmt.Errorf("read a page of events: %w", err)
	}
	if resp.Header.Get("Backupbus-Truncated") != "" && s.Reset != nil && !s.told {
		s.Reset(ctx, truncatedBy(s.Cursor, resp.Header.Get("Backupbus-Next-Cursor")))
	}
	s.told = true // further pages go on where this one ends, and say the same
	for _, raw := range batch {
		ev, err := events.Parse(nil, raw)
		if err != nil {
			return false, &stopped{fmt.Errorf("read a page of events: %w", err)}
		}
		if err := s.handle(ctx, Message{Event: ev, Raw: raw}); err != nil {
			return false, &stopped{err}
		}
	}
	s.Cursor, s.Since = resp.Header.Get("Backupbus-Next-Cursor"), time.Time{}
	return resp.Header.Get("Link") != "", nil
}
