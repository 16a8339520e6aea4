package native_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// message is one block of an event stream.
type message struct{ ID, Event, Data, Retry string }

type listener struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

func listen(t *testing.T, p *pipelinetest.Pipeline, query, lastID string) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), pipelinetest.Patience)
	t.Cleanup(cancel)
	return listenBy(ctx, t, http.DefaultClient, p, query, lastID)
}

func listenBy(ctx context.Context, t *testing.T, c *http.Client, p *pipelinetest.Pipeline, query, lastID string) *listener {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+base+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") ||
		resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Accel-Buffering") != "no" {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, b)
	}
	l := &listener{t: t, resp: resp, in: bufio.NewScanner(resp.Body)}
	l.in.Buffer(nil, 1<<20)
	return l
}

func (l *listener) next() message {
	l.t.Helper()
	var m message
	for l.in.Scan() {
		name, value, _ := strings.Cut(l.in.Text(), ": ")
		switch name {
		case "":
			return m
		case "id":
			m.ID = value
		case "event":
			m.Event = value
		case "data":
			m.Data = value
		case "retry":
			m.Retry = value
		}
	}
	l.t.Fatalf("stream ended: %v", l.in.Err())
	return m
}

func TestStream_FromACursorOn(t *testing.T) { // case L1
	t.Parallel()
	p := setup(t, "orders", "users")
	live := listen(t, p, "instance=orders", "")
	if hello := live.next(); hello.Retry != "3000" || hello.ID == "" || hello.Data != "" {
		t.Errorf("hello %+v", hello)
	}
	p.Hand.Auto()
	id := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"orders"}`).BackupID
	p.Await("shop", id, events.Succeeded)
	other := pipelinetest.JSON[receipt](p, http.MethodPost, base+"/backups", `{"instance":"users"}`).BackupID
	p.Await("shop", other, events.Succeeded)
	var got []message
	for range 3 {
		got = append(got, live.next())
	}
	want := []string{"dev.backupbus.backup.requested.v1", "dev.backupbus.backup.started.v1", "dev.backupbus.backup.succeeded.v1"}
	if diff := cmp.Diff(want, []string{got[0].Event, got[1].Event, got[2].Event}); diff != "" {
		t.Error(diff)
	}
	ev, err := events.Parse(nil, []byte(got[0].Data))
	if err != nil || ev.PartitionKey != id {
		t.Errorf("%s: %v", got[0].Data, err)
	}
	again := listen(t, p, "backup="+id, got[0].ID)
	if hello := again.next(); hello.ID != got[0].ID {
		t.Errorf("hello %+v", hello)
	}
	if next := again.next(); next.ID != got[1].ID || next.Data != got[1].Data {
		t.Errorf("after %s comes %+v", got[0].ID, next)
	}
	since := listen(t, p, "type=backup.succ*&since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "")
	if hello := since.next(); hello.ID != "" {
		t.Errorf("a stream that starts at a time does not know its place yet: %+v", hello)
	}
	if first, second := since.next(), since.next(); first.ID != got[2].ID || second.Event != want[2] {
		t.Errorf("since: %+v, %+v", first, second)
	}
}

func TestStream_UnknownCursorStartsOver(t *testing.T) { // case L2
	t.Parallel()
	p := setup(t, "orders")
	l := listen(t, p, "", "00000000-5")
	if reset := l.next(); reset.Event != "backupbus.reset" || !strings.Contains(reset.Data, "CURSOR_UNKNOWN") {
		t.Errorf("%+v", reset)
	}
	l.next()
	if first := l.next(); first.Event != "dev.backupbus.instance.registered.v1" {
		t.Errorf("%+v", first)
	}
}

func TestStream_SaysGoodbye(t *testing.T) { // case L6
	t.Parallel()
	p := setup(t, "orders")
	l := listen(t, p, "", "")
	hello := l.next()
	go p.Requester.Stop()
	if bye := l.next(); bye.Event != "backupbus.goaway" {
		t.Errorf("%+v after %+v", bye, hello)
	}
}
