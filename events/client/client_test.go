package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/client"
	"github.com/backupbus/backupbus/schemas"
)

func oneLine(doc []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		panic(err) // an example of our own
	}
	return b.String()
}

// script answers each request with the next part of it, and keeps what was asked.
type script struct {
	mu    sync.Mutex
	parts []string
	asked []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Query().Get("cursor")+r.Header.Get("Authorization"))
	if len(s.parts) == 0 {
		http.Error(w, `{"reason":"NOT_AUTHORIZED","detail":"enough of you"}`, http.StatusForbidden)
		return
	}
	part := s.parts[0]
	s.parts = s.parts[1:]
	if part == "503" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, part)
}

func block(t *testing.T, id string) string {
	t.Helper()
	ev, err := schemas.Example("dev.backupbus.backup.failed.v1")
	if err != nil {
		t.Fatal(err)
	}
	return "id: " + id + "\nevent: dev.backupbus.backup.failed.v1\ndata: " + oneLine(ev) + "\n\n"
}

func TestSubscribe_GoesOnAfterEveryCut(t *testing.T) {
	t.Parallel()
	s := &script{parts: []string{
		"retry: 1\nid: e-1\n\n" + block(t, "e-2") + block(t, "e-3")[:40], // cut in the middle of a block
		"503",
		block(t, "e-3") + "event: backupbus.goaway\ndata: {}\n\n" + block(t, "e-9"),
		":hb\nid: e-5\n\n",
		"event: backupbus.reset\ndata: {\"reason\":\"CURSOR_UNKNOWN\"}\n\nid: f-1\nevent: new\ndata: {\"what\":\"is this\"}\n\n" + block(t, "f-2"),
	}}
	server := httptest.NewServer(s)
	defer server.Close()
	var got []string
	var resets []client.Reset
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := client.Subscribe(ctx, client.Config{Server: server.URL + "/", Project: "shop", Token: "t", Reset: func(_ context.Context, why client.Reset) { resets = append(resets, why) }},
		func(_ context.Context, m client.Message) error { got = append(got, m.Cursor); return nil })
	var refused *client.Refused
	if !errors.As(err, &refused) || refused.Status != 403 || refused.Reason != "NOT_AUTHORIZED" {
		t.Errorf("%v", err)
	}
	if want := []string{"e-2", "e-3", "f-2"}; !slices.Equal(got, want) || !slices.Equal(resets, []client.Reset{client.CursorUnknown}) {
		t.Errorf("%v, %v", got, resets)
	}
	if want := []string{"Bearer t", "e-2Bearer t", "e-2Bearer t", "e-3Bearer t", "e-5Bearer t", "f-2Bearer t"}; !slices.Equal(s.asked, want) {
		t.Errorf("asked %q", s.asked)
	}
}

func TestSubscribe_EndsWithItsContextAndItsHandler(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, block(t, "e-1"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err := client.Subscribe(ctx, client.Config{Server: server.URL, Project: "shop"}, func(context.Context, client.Message) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	own := errors.New("of its own")
	if err := client.Subscribe(t.Context(), client.Config{Server: server.URL, Project: "shop"}, func(context.Context, client.Message) error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	if err := client.Subscribe(t.Context(), client.Config{Server: ":", Project: "shop"}, nil); err == nil {
		t.Error("an address that is none")
	}
}

func TestReplay_FollowsThePages(t *testing.T) {
	t.Parallel()
	ev, err := schemas.Example("dev.backupbus.backup.failed.v1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.URL.Query().Get("cursor")
		w.Header().Set("Backupbus-Next-Cursor", "e-"+fmt.Sprint(len(at)))
		w.Header().Set("Backupbus-Truncated", "true") // a page that begins before the history limit, and so does the next
		if at == "" {
			w.Header().Set("Link", `</api/v1/projects/shop/events?cursor=e-2>; rel="next"`)
		}
		_, _ = fmt.Fprintf(w, "[%s]", ev)
	}))
	defer server.Close()
	n := 0
	var resets []client.Reset
	reset := func(_ context.Context, why client.Reset) { resets = append(resets, why) }
	cursor, err := client.Replay(t.Context(), client.Config{Server: server.URL, Project: "shop", Reset: reset}, func(context.Context, client.Message) error { n++; return nil })
	if err != nil || n != 2 || cursor != "e-3" {
		t.Errorf("%d events to %s: %v", n, cursor, err)
	}
	if !slices.Equal(resets, []client.Reset{client.HistoryCompacted}) {
		t.Errorf("resets: %v", resets)
	}
	resets = nil
	stop := errors.New("enough")
	if _, err := client.Replay(t.Context(), client.Config{Server: server.URL, Project: "shop", Cursor: "d-7", Reset: reset},
		func(context.Context, client.Message) error { return stop }); !errors.Is(err, stop) || !slices.Equal(resets, []client.Reset{client.CursorUnknown}) {
		t.Errorf("%v, resets: %v", err, resets)
	}
}
