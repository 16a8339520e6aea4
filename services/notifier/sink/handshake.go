package sink

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handshakeWait bounds the question for permission (events.md 7.6).
const handshakeWait = 10 * time.Second

// Permission is what a sink has answered. Without it, it gets a trickle only.
type Permission struct {
	Allowed       bool
	RatePerMinute int // the most that it wants; 0: any
}

// Ask asks the sink whether it wants deliveries from this origin, at that rate (events.md 7.6). The status of
// the answer means nothing.
func (w *Webhook) Ask(ctx context.Context, ratePerMinute int) Permission {
	ctx, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	req := w.plain.WithContext(ctx)
	req.Method, req.Header = http.MethodOptions, http.Header{}
	for name, v := range w.options.Headers {
		req.Header.Set(name, v)
	}
	req.Header.Set("WebHook-Request-Origin", w.rules.Origin)
	req.Header.Set("WebHook-Request-Rate", strconv.Itoa(ratePerMinute))
	req.Header.Set("User-Agent", w.agent)
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		return Permission{}
	}
	defer func() { _ = resp.Body.Close() }()
	read(resp.Body)
	return w.permission(resp.Header)
}

// permission reads the answer. A rate that is missing, 0 or rubbish is none.
func (w *Webhook) permission(h http.Header) Permission {
	origin := strings.TrimSpace(h.Get("WebHook-Allowed-Origin"))
	if origin != "*" && !strings.EqualFold(origin, w.rules.Origin) || origin == "" {
		return Permission{}
	}
	rate := strings.TrimSpace(h.Get("WebHook-Allowed-Rate"))
	if rate == "*" {
		return Permission{Allowed: true}
	}
	n, err := strconv.ParseUint(rate, 10, 31)
	if err != nil || n == 0 {
		return Permission{}
	}
	return Permission{Allowed: true, RatePerMinute: int(n)}
}
