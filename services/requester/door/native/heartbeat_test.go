package native

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// flushed is an answer of which what was flushed can be taken.
type flushed struct {
	header http.Header

	mu        sync.Mutex
	out, done strings.Builder
}

func (f *flushed) Header() http.Header { return f.header }
func (f *flushed) WriteHeader(int)     {}

func (f *flushed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(p)
}

func (f *flushed) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done.WriteString(f.out.String())
	f.out.Reset()
}

// take is what was flushed since the last time, once nothing moves.
func (f *flushed) take() string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.done.Reset()
	return f.done.String()
}

// A stream without events has a heartbeat every 15 s, which moves the client's place and dispatches nothing; an event
// puts it off.
func TestStream_Heartbeat(t *testing.T) { // case L2
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(2)
		d := New(nil, nil, m, nil, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
		ctx, hangUp := context.WithCancel(t.Context())
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/projects/shop/events?cursor=abcd1234-2", nil)
		req.Header.Set("Accept", "text/event-stream")
		client, ended := &flushed{header: http.Header{}}, make(chan struct{})
		go func() {
			defer close(ended)
			d.ServeHTTP(client, req)
		}()
		wants := func(at, want string) {
			t.Helper()
			if diff := cmp.Diff(want, client.take()); diff != "" {
				t.Errorf("%s: %s", at, diff)
			}
		}
		const almost = 15*time.Second - time.Millisecond
		wants("hello", "retry: 3000\nid: abcd1234-2\n\n")
		for range 2 {
			time.Sleep(almost)
			wants("before 15 s", "")
			time.Sleep(time.Millisecond)
			wants("after 15 s", ":hb\nid: abcd1234-2\n\n")
		}
		time.Sleep(almost)
		m.add(1, 0)
		if got := client.take(); !strings.HasPrefix(got, "id: abcd1234-3\nevent: dev.backupbus.backup.started.v1\ndata: {") {
			t.Errorf("the event: %q", got)
		}
		time.Sleep(almost)
		wants("before 15 s after the event", "")
		time.Sleep(time.Millisecond)
		wants("after them", ":hb\nid: abcd1234-3\n\n")
		hangUp()
		<-ended
	})
}
