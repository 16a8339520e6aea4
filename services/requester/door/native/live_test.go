package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/client"
)

// memory is a log in memory, of one project.
type memory struct {
	Log // what a stream does not ask for

	mu      sync.Mutex
	kept    []events.Stored
	more    chan struct{}
	readers int // who follow now
	failing error
}

func newMemory(n int) *memory {
	m := &memory{more: make(chan struct{})}
	m.add(n, 0)
	return m
}

// add appends n events with so many bytes of data.
func (m *memory) add(n, size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		seq := uint64(len(m.kept) + 1)
		m.kept = append(m.kept, events.Stored{Seq: seq, Kept: time.Now(), Event: events.Event{
			ID: fmt.Sprintf("e-%d", seq), Source: "//test/projects/shop", PartitionKey: "bk_x", CorrelationID: "rq_x", Subject: "x", Type: "dev.backupbus.backup.started.v1", Project: "shop", Sequence: fmt.Sprintf("%010d", seq), Time: time.Now(),
			Data: fmt.Appendf(nil, `{"pad":%q}`, strings.Repeat("x", size)),
		}})
	}
	close(m.more)
	m.more = make(chan struct{})
}

func (m *memory) from(seq uint64) ([]events.Stored, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[min(max(seq, 1)-1, uint64(len(m.kept))):], m.more, m.failing
}

func (m *memory) count(by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readers += by
	close(m.more)
	m.more = make(chan struct{})
}

// await waits until so many follow.
func (m *memory) await(t *testing.T, readers int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		m.mu.Lock()
		now, more := m.readers, m.more
		m.mu.Unlock()
		if now == readers {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%d readers, not %d", now, readers)
		}
	}
}

// fail makes those who follow fail from now on; nil ends that.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = err
	close(m.more)
	m.more = make(chan struct{})
}

func (m *memory) Follow(ctx context.Context, from uint64, fn func(string, events.Stored) error) error {
	m.count(1)
	defer m.count(-1)
	for {
		list, more, err := m.from(from)
		if err != nil {
			return err
		}
		for _, ev := range list {
			if err := fn("shop", ev); err != nil {
				return err
			}
			from = ev.Seq + 1
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *memory) FollowProgress(ctx context.Context, _ func(string, events.Stored) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (m *memory) Replay(_ context.Context, _ string, start Start, fn func(events.Stored) error) (uint64, error) {
	list, _, _ := m.from(start.Seq)
	for _, ev := range list {
		if err := fn(ev); err != nil {
			return 0, err
		}
	}
	_, last, err := m.Position(context.Background())
	return last, err
}

func (m *memory) Position(context.Context) (string, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return "abcd1234", uint64(len(m.kept)), nil
}

func (m *memory) Whole(context.Context, time.Time) (time.Time, uint64, error) {
	return time.Time{}, 1, nil
}

func (m *memory) Stopping(context.Context) <-chan struct{} { return nil }

// serve serves the door over a log, by connections that buffer little.
func serve(t *testing.T, m *memory) (*Door, string) {
	t.Helper()
	d := New(nil, nil, m, nil, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
	s := httptest.NewUnstartedServer(d)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	s.Start()
	t.Cleanup(s.Close)
	return d, s.URL
}

// TestStream_ASlowClientCostsLittleAndMissesNothing: it does not read while more is told than is kept for it and than
// all buffers hold, and then has every event in order.
func TestStream_ASlowClientCostsLittleAndMissesNothing(t *testing.T) { // case L3
	t.Parallel()
	const first, many, size = 4, 1000, 4 << 10
	m := newMemory(first)
	d, url := serve(t, m)
	next := uint64(first)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := client.Subscribe(ctx, client.Config{Server: url, Project: "shop", Cursor: "abcd1234-3", HTTP: slowly(t)}, func(_ context.Context, got client.Message) error {
		if want := fmt.Sprintf("abcd1234-%d", next); got.Cursor != want || got.Event.Sequence != fmt.Sprintf("%010d", next) {
			return fmt.Errorf("%s %s instead of %s", got.Cursor, got.Event.Sequence, want)
		}
		if next == first { // now it sleeps
			for range many / 100 {
				m.add(100, size)
			}
			if kept, bytes := d.caughtUp("shop", first+many); kept == 0 || kept > roomEvents || bytes > roomBytes {
				return fmt.Errorf("%d events of %d bytes are kept for it", kept, bytes)
			}
		}
		if next++; next > first+many {
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		t.Fatalf("after %d: %v", next-1, err)
	}
}

var errDone = errors.New("all is there")

// TestStreams_ShareOneReader: of the log, for all projects; the last one that goes ends it.
func TestStreams_ShareOneReader(t *testing.T) {
	t.Parallel()
	m := newMemory(1)
	d, url := serve(t, m)
	var open []*http.Response
	for n := range 40 {
		resp, err := http.Get(fmt.Sprintf("%s/api/v1/projects/p%d/events?cursor=abcd1234-0", url, n%4))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	m.await(t, 1)
	for _, resp := range open {
		_ = resp.Body.Close()
	}
	m.await(t, 0)
	d.live.mu.Lock()
	defer d.live.mu.Unlock()
	if d.live.now != nil {
		t.Errorf("%d rooms are open", len(d.live.now.rooms))
	}
}

// TestStreams_OutliveAReaderThatFails: they are told to come back, do, and miss nothing.
func TestStreams_OutliveAReaderThatFails(t *testing.T) {
	t.Parallel()
	m := newMemory(1)
	_, url := serve(t, m)
	next := 2
	m.add(1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := client.Subscribe(ctx, client.Config{Server: url, Project: "shop", Cursor: "abcd1234-1"}, func(_ context.Context, got client.Message) error {
		if want := fmt.Sprintf("abcd1234-%d", next); got.Cursor != want {
			return fmt.Errorf("%s instead of %s", got.Cursor, want)
		}
		switch next++; next {
		case 3:
			m.await(t, 1)
			m.fail(errors.New("away"))
			m.await(t, 0)
			m.fail(nil)
			m.add(1, 10)
		case 4:
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		t.Fatal(err)
	}
}

// slowly is a client whose connections buffer little.
func slowly(t *testing.T) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// caughtUp waits until the reader has read so far, and tells what is kept of the project.
func (d *Door) caughtUp(token string, seq uint64) (kept, bytes int) {
	in, leave := d.live.enter(token, "abcd1234", nil)
	defer leave()
	for {
		_, upTo, more, _ := in.after(seq)
		if upTo >= seq {
			in.of.mu.Lock()
			defer in.of.mu.Unlock()
			return len(in.recent), in.bytes
		}
		<-more
	}
}
