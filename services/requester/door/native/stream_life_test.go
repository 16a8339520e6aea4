package native

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clogged is an answer to a client that reads only while open is closed: a write waits for that until its deadline.
type clogged struct {
	flushed
	open     chan struct{}
	deadline time.Time
}

func (c *clogged) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *clogged) Write(p []byte) (int, error) {
	late := time.NewTimer(time.Until(c.deadline))
	defer late.Stop()
	select {
	case <-c.open:
		return c.flushed.Write(p)
	case <-late.C:
		return 0, os.ErrDeadlineExceeded
	}
}

// openStream opens an event stream behind a cursor; over is closed when it has ended.
func openStream(t *testing.T, d *Door, out http.ResponseWriter, cursor string) (over chan struct{}) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/projects/shop/events", nil)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", cursor)
	over = make(chan struct{})
	go func() {
		defer close(over)
		d.ServeHTTP(out, req)
	}()
	return over
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Streams last an hour, each another ten percent more or less, and say goodbye (events.md 6.2).
func TestStream_LastsAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		d := New(nil, nil, m, nil, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
		start := time.Now()
		took := map[time.Duration]bool{}
		for range 20 {
			out := &clogged{flushed: flushed{header: http.Header{}}, open: closedChan}
			begun := time.Now()
			<-openStream(t, d, out, "abcd1234-1")
			took[time.Since(begun)] = true
			if said := out.take(); !strings.HasSuffix(said, "event: backupbus.goaway\ndata: {}\n\n") {
				t.Errorf("ends with %q", said[max(0, len(said)-80):])
			}
		}
		for life := range took {
			if life < 54*time.Minute || life > 66*time.Minute {
				t.Errorf("one lasted %s", life)
			}
		}
		if len(took) < 10 {
			t.Errorf("in %s they lasted %d different times", time.Since(start), len(took))
		}
	})
}

var idLine = regexp.MustCompile(`(?m)^id: (abcd1234-\d+)\nevent:`)

// A client does not read for a minute in which 200 events a second are stored: what is kept for it stays within its
// bounds all the time, the write that is stuck ends the connection after 30 s, and with its last id it gets the rest.
func TestStream_DoesNotReadForAMinute(t *testing.T) { // case L3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const seconds, each = 60, 200
		m := newMemory(1)
		d := New(nil, nil, m, nil, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
		out := &clogged{flushed: flushed{header: http.Header{}}, open: make(chan struct{})}
		close(out.open)
		over := openStream(t, d, out, "abcd1234-0")
		all := idLine.FindAllStringSubmatch(out.take(), -1)
		out.open = make(chan struct{}) // it stops to read
		stopped, ended := time.Now(), time.Duration(0)
		for range seconds {
			for range each / 10 {
				m.add(10, 500)
				time.Sleep(time.Second * 10 / each)
			}
			synctest.Wait()
			if kept, bytes := d.kept("shop"); kept > roomEvents || bytes > roomBytes {
				t.Fatalf("%d events of %d bytes are kept for it", kept, bytes)
			}
			if ended == 0 && closed(over) {
				ended = time.Since(stopped)
			}
		}
		if ended < 30*time.Second || ended > 31*time.Second {
			t.Errorf("a write that does not end holds its connection for %s", ended)
		}
		rest := &clogged{flushed: flushed{header: http.Header{}}, open: closedChan}
		openStream(t, d, rest, all[len(all)-1][1])
		all = append(all, idLine.FindAllStringSubmatch(rest.take(), -1)...)
		if len(all) != seconds*each+1 {
			t.Errorf("%d events of %d", len(all), seconds*each+1)
		}
		for n, id := range all {
			if want := fmt.Sprintf("abcd1234-%d", n+1); id[1] != want {
				t.Fatalf("%s instead of %s", id[1], want)
			}
		}
	})
}

// kept is what the room of a project holds, nothing if nobody is in it.
func (d *Door) kept(token string) (events, bytes int) {
	d.live.mu.Lock()
	defer d.live.mu.Unlock()
	if d.live.now == nil {
		return 0, 0
	}
	d.live.now.mu.Lock()
	defer d.live.now.mu.Unlock()
	if at := d.live.now.rooms[token]; at != nil {
		return len(at.recent), at.bytes
	}
	return 0, 0
}
