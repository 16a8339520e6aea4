package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/filter"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// problem is application/problem+json, as the native door writes it.
type problem struct {
	Title      string                   `json:"title"`
	Status     int                      `json:"status"`
	Reason     string                   `json:"reason"`
	Detail     string                   `json:"detail"`
	Violations []subscription.Violation `json:"violations,omitempty"`

	retryAfter time.Duration
}

func (p *problem) Error() string { return p.Reason + ": " + p.Detail }

// maxViolations is the most that one answer lists (events.md 2.3).
const maxViolations = 20

func invalid(detail string, v ...subscription.Violation) *problem {
	return &problem{Status: http.StatusBadRequest, Reason: "SCHEMA_VIOLATION", Detail: detail, Violations: v[:min(len(v), maxViolations)]}
}

func notFound(detail string) *problem {
	return &problem{Status: http.StatusNotFound, Reason: "NOT_FOUND", Detail: detail}
}

func conflict(reason, detail string) *problem {
	return &problem{Status: http.StatusConflict, Reason: reason, Detail: detail}
}

func tooMany(detail string, after time.Duration) *problem {
	return &problem{Status: http.StatusTooManyRequests, Reason: "RATE_LIMITED", Detail: detail, retryAfter: after}
}

// refuse answers with a problem, and logs what is our own fault.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, subscription.ErrNotFound):
		p = notFound("there is no such subscription: GET …/subscriptions lists all")
	case errors.Is(err, subscription.ErrChanged):
		p = &problem{Status: http.StatusPreconditionFailed, Reason: "CHANGED", Detail: "the subscription has changed meanwhile: read it again"}
	case errors.Is(err, events.ErrContended), errors.Is(err, events.ErrUnavailable):
		p = &problem{Status: http.StatusServiceUnavailable, Reason: "UNAVAILABLE", Detail: "the bus cannot be reached now: try again"}
	default:
		p = &problem{Status: http.StatusInternalServerError, Reason: "INTERNAL", Detail: "internal error; the log has the details"}
	}
	p.Title = http.StatusText(p.Status)
	if p.Status >= http.StatusInternalServerError {
		a.log.ErrorContext(r.Context(), "request failed", "door", "notifier", "error", events.Redact(err.Error()))
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter/time.Second)+1))
	}
	answer(w, p.Status, "application/problem+json", p)
}

func answer(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that has gone cannot be told
}

// maxBody bounds every request.
const maxBody = 64 << 10

// body is the JSON object of a request; empty is {} where the whole body may be left out.
func body(w http.ResponseWriter, r *http.Request, optional bool) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Reason: "TOO_LARGE", Detail: fmt.Sprintf("a request has at most %d bytes", maxBody)}
	case err != nil:
		return nil, invalid("the request broke off")
	case len(b) == 0 && optional:
		return []byte("{}"), nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" && kind != "application/merge-patch+json" {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Reason: "SCHEMA_VIOLATION", Detail: "send Content-Type: application/json"}
	}
	return b, nil
}

// decode is strict: an unknown member or a wrong type is a violation with its place, and shows no value.
func decode(b []byte, into any) error {
	err := strict(b, into)
	if err == nil {
		return nil
	}
	var kind *json.UnmarshalTypeError
	if problems, ok := filter.ProblemsOf(err); ok {
		var out []subscription.Violation
		for _, p := range problems {
			out = append(out, subscription.Violation{Path: "/filters" + p.Pointer, Message: p.Message})
		}
		return invalid("a filter cannot be used", out...)
	}
	if errors.As(err, &kind) {
		return invalid("a member has the wrong type", subscription.Violation{Path: pointer(kind.Field), Message: "has to be " + words(kind.Type.Kind().String())})
	}
	var unknown *unknownMember
	if errors.As(err, &unknown) {
		return invalid("there is no such member", subscription.Violation{Path: unknown.pointer, Message: "is not known here"})
	}
	return invalid("the body is no JSON object")
}
