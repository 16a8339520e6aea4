package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// Limits of an answer (events.md 7.7.7).
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
	maxKept   = 4 << 10
)

const defaultIdle = 30 * time.Second

// Encoding is the form in which events are sent.
type Encoding interface {
	// Body is what is signed and sent; the same event gives the same bytes.
	Body(ev events.Event) ([]byte, error)
	ContentType() string
	// Form is a name of its own.
	Form() string
}

// Structured is the CloudEvent as JSON (events.md 7.4).
type Structured struct{}

// Body implements Encoding.
func (Structured) Body(ev events.Event) ([]byte, error) { return events.Structured(ev) }

// ContentType implements Encoding.
func (Structured) ContentType() string { return delivery.ContentType }

// Form implements Encoding.
func (Structured) Form() string { return "structured" }

// Binary is the event's data, with its attributes as headers (events.md 7.4).
type Binary struct{}

// Body implements Encoding.
func (Binary) Body(ev events.Event) ([]byte, error) { return ev.Data, nil }

// ContentType implements Encoding.
func (Binary) ContentType() string { return "application/json" }

// Form implements Encoding.
func (Binary) Form() string { return "binary" }

// Options are what differs between subscriptions.
type Options struct {
	Idle     int               // unused connections that are kept
	Encoding Encoding          // default Structured
	Headers  map[string]string // the sink's own, such as its credential
}

// Webhook is one subscription's way to its sink, with connections of its own. Safe for concurrent use.
type Webhook struct {
	Sink
	rules     Rules
	options   Options
	transport *http.Transport
	plain     *http.Request // what all requests have in common, other than headers
	agent     string
}

var _ delivery.Endpoint = (*Webhook)(nil)

// New makes the endpoint of one subscription.
func (r Rules) New(s Sink, o Options) *Webhook { return newWebhook(r, s, newDialer(r, s), o) }

func newWebhook(r Rules, s Sink, d *dialer, o Options) *Webhook {
	if o.Encoding == nil {
		o.Encoding = Structured{}
	}
	keep := r.MaxIdle
	if keep == 0 {
		keep = defaultIdle
	}
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &Webhook{Sink: s, rules: r, options: o, agent: "backupbus-notifier/" + r.Version,
		plain: &http.Request{Method: http.MethodPost, URL: s.url, Host: s.url.Host},
		transport: &http.Transport{
			Proxy:       nil, // whatever the environment says
			DialContext: d.plain, DialTLSContext: d.secure,
			Protocols:              h1,
			MaxIdleConnsPerHost:    o.Idle,
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
	a := delivery.Answer{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	if resp.StatusCode >= 200 {
		a.Body = w.hide(read(resp.Body))
	}
	return a
}

// read keeps the beginning of a body, and reads no more than maxBody of it.
func read(body io.Reader) string {
	if body == http.NoBody {
		return ""
	}
	var head bytes.Buffer
	_, _ = io.CopyN(&head, body, maxKept)
	_, _ = io.CopyN(io.Discard, body, maxBody-maxKept)
	return head.String()
}

// leastSecret is the length below which a value is too common a word to be taken out wherever it stands.
const leastSecret = 4

// hide takes what the sink was sent of its own credentials out of its answer: header values and the query.
func (w *Webhook) hide(answer string) string {
	if answer == "" {
		return ""
	}
	var secret []string
	add := func(v string) {
		for _, v := range append(strings.Fields(v), v) { // Bearer …, and the whole
			secret = append(secret, v, url.QueryEscape(v))
		}
	}
	for _, v := range w.options.Headers {
		add(v)
	}
	for _, values := range w.url.Query() {
		for _, v := range values {
			add(v)
		}
	}
	add(w.url.RawQuery)
	slices.SortFunc(secret, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	for _, v := range secret {
		if len(v) >= leastSecret {
			answer = strings.ReplaceAll(answer, v, events.Redacted)
		}
	}
	return answer
}

// Encode implements delivery.Endpoint.
func (w *Webhook) Encode(ev events.Event) ([]byte, error) { return w.options.Encoding.Body(ev) }

// Form implements delivery.Endpoint.
func (w *Webhook) Form() string { return w.options.Encoding.Form() }

// request is that of events.md 7.4. Nothing that a subscription brings replaces a header of ours.
func (w *Webhook) request(ctx context.Context, r delivery.Request) *http.Request {
	req := w.plain.WithContext(ctx) // which copies it
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	headers := [...]struct{ name, value string }{ // names in their canonical form
		{"Content-Type", w.options.Encoding.ContentType()},
		{"Webhook-Id", r.Event.ID},
		{"Webhook-Timestamp", strconv.FormatInt(r.At.Unix(), 10)},
		{"Webhook-Signature", r.Signature},
		{"Backupbus-Subscription", r.SubscriptionID},
		{"Backupbus-Delivery", r.DeliveryID},
		{"Backupbus-Attempt", strconv.Itoa(r.Attempt)},
		{"Webhook-Request-Origin", w.rules.Origin},
		{"User-Agent", w.agent},
		{"Traceparent", r.TraceParent},
	}
	req.Header = make(http.Header, len(headers)+len(w.options.Headers))
	for name, v := range w.options.Headers {
		req.Header.Set(name, v)
	}
	values := make([]string, len(headers)) // one allocation for all
	for i, h := range headers {
		values[i] = h.value
		req.Header[h.name] = values[i : i+1 : i+1]
	}
	if r.Replay {
		req.Header.Set("Backupbus-Replay", "true")
	}
	if _, binary := w.options.Encoding.(Binary); binary {
		w.attributes(req.Header, r.Event)
	}
	return req
}

// attributes are those of binary mode.
func (w *Webhook) attributes(h http.Header, ev events.Event) {
	encoded, _, err := events.Encode(ev)
	if err != nil { // what stands in the log has been encoded before
		return
	}
	for name, v := range encoded {
		if strings.HasPrefix(name, "ce-") && name != "ce-datacontenttype" {
			h[http.CanonicalHeaderKey(name)] = v
		}
	}
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
