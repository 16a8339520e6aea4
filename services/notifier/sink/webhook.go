package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// Limits of an answer (events.md 7.7.7).
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

const defaultIdle = 30 * time.Second

// Webhook is one subscription's way to its sink, with connections of its own. Safe for concurrent use.
type Webhook struct {
	Sink
	rules     Rules
	transport *http.Transport
}

var _ delivery.Endpoint = (*Webhook)(nil)

// New makes the endpoint of one subscription. It keeps at most idle unused connections.
func (r Rules) New(s Sink, idle int) *Webhook { return newWebhook(r, s, newDialer(r, s), idle) }

func newWebhook(r Rules, s Sink, d *dialer, idle int) *Webhook {
	keep := r.MaxIdle
	if keep == 0 {
		keep = defaultIdle
	}
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &Webhook{s, r, &http.Transport{
		Proxy:       nil, // whatever the environment says
		DialContext: d.plain, DialTLSContext: d.secure,
		Protocols:              h1,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        keep,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}}
}

// Close ends the unused connections.
func (w *Webhook) Close() { w.transport.CloseIdleConnections() }

// Post implements delivery.Endpoint. The status decides: an answer whose body breaks off, hangs or is too
// long is the answer that its status says. The body is read only so that the connection can serve again.
func (w *Webhook) Post(ctx context.Context, r delivery.Request) delivery.Answer {
	// A transport, other than a client, follows no redirect, keeps no cookie and answers no challenge.
	resp, err := w.transport.RoundTrip(w.request(ctx, r))
	if err != nil {
		return delivery.Answer{Failure: classify(ctx, err), Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 200 {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	}
	return delivery.Answer{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
}

// request is that of events.md 7.4, in structured mode.
func (w *Webhook) request(ctx context.Context, r delivery.Request) *http.Request {
	u := *w.url
	req := &http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body)),
	}
	for name, v := range map[string]string{
		"Content-Type":           delivery.ContentType,
		"webhook-id":             r.EventID,
		"webhook-timestamp":      strconv.FormatInt(r.At.Unix(), 10),
		"webhook-signature":      r.Signature,
		"Backupbus-Subscription": r.SubscriptionID,
		"Backupbus-Delivery":     r.DeliveryID,
		"Backupbus-Attempt":      strconv.Itoa(r.Attempt),
		"WebHook-Request-Origin": w.rules.Origin,
		"User-Agent":             "backupbus-notifier/" + w.rules.Version,
	} {
		req.Header.Set(name, v)
	}
	return req.WithContext(ctx)
}

// classify is the word for a request without an answer (events.md 7.8).
func classify(ctx context.Context, err error) delivery.Outcome {
	var f *failure
	var timeout net.Error
	switch {
	case errors.As(err, &f):
		return f.outcome
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return delivery.Timeout
	case broken(err):
		return delivery.Reset
	}
	return delivery.ProtocolError
}

// broken tells an error that means that the line ended before an answer was there.
func broken(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), "server closed idle connection") // net/http does not export it
}
