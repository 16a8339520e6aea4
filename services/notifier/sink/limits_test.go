package sink

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// W10: whatever comes is over in time, and little of it is read.
func TestPost_EndlessAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		write func(w *bufio.Writer) error
		want  delivery.Answer
		limit int64
	}{
		{"1 GiB of body", func(w *bufio.Writer) error {
			_, _ = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<30)
			return flood(w, strings.Repeat("x", 4096), 1<<30)
		}, delivery.Answer{Status: 200}, maxBody + 8<<10},
		{"compressed body", func(w *bufio.Writer) error {
			_, _ = fmt.Fprint(w, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nxxxxx")
			return w.Flush()
		}, delivery.Answer{Status: 200}, 8 << 10},
		{"1 MiB of headers", func(w *bufio.Writer) error {
			_, _ = fmt.Fprint(w, "HTTP/1.1 200 OK\r\n")
			return flood(w, "X-More: "+strings.Repeat("x", 1000)+"\r\n", 1<<20)
		}, delivery.Answer{Failure: delivery.ProtocolError}, maxHeader + 8<<10},
		{"one endless header", func(w *bufio.Writer) error {
			_, _ = fmt.Fprint(w, "HTTP/1.1 200 OK\r\nX: ")
			return flood(w, "xxxxxxxx", 1<<20)
		}, delivery.Answer{Failure: delivery.ProtocolError}, maxHeader + 8<<10},
		{"endless interim answers", func(w *bufio.Writer) error {
			return flood(w, "HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 100)+"\r\n\r\n", 1<<20)
		}, delivery.Answer{Failure: delivery.ProtocolError}, 4*maxHeader + 8<<10},
		{"no HTTP", func(w *bufio.Writer) error {
			_, _ = fmt.Fprint(w, "SSH-2.0-OpenSSH\r\n\r\n")
			return w.Flush()
		}, delivery.Answer{Failure: delivery.ProtocolError}, 8 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			read := new(atomic.Int64)
			w := raw(t, read, c.write)
			got := post(t, w, soon)
			if len(got.Body) > 4<<10 {
				t.Errorf("%d bytes of the body kept", len(got.Body))
			}
			got.Err, got.Body = nil, ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if n := read.Load(); n > c.limit {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
}

// W10: a body that never ends, byte by byte, ends with the attempt; the status stands.
func TestPost_BodyThatHangs(t *testing.T) {
	t.Parallel()
	w := raw(t, new(atomic.Int64), func(w *bufio.Writer) error {
		_, _ = fmt.Fprint(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
		return w.Flush()
	})
	if a := post(t, w, 200*time.Millisecond); a.Status != 200 {
		t.Errorf("got %+v", a)
	}
}

func flood(w *bufio.Writer, piece string, total int) error {
	for n := 0; n < total; n += len(piece) {
		if _, err := w.WriteString(piece); err != nil {
			return err
		}
	}
	return w.Flush()
}

// raw is a webhook to a server that reads a request, writes what it likes and keeps the line open.
func raw(t testing.TB, read *atomic.Int64, write func(*bufio.Writer) error) *Webhook {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = c.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				if write(bufio.NewWriter(c)) == nil {
					_, _ = io.Copy(io.Discard, c) // until the other side closes
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() })
	url := "http://" + ln.Addr().String()
	r := local(t, url)
	s, err := r.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	d := newDialer(r, s)
	connect := d.connect
	d.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := connect(ctx, to)
		if err != nil {
			return nil, err
		}
		return counted{c, read}, nil
	}
	w := newWebhook(r, s, d, Options{Idle: 1})
	t.Cleanup(w.Close)
	return w
}
