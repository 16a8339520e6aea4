package native

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/services/requester/intake"
)

// problem is application/problem+json with the reason word of events.md 5.5.
type problem struct {
	Title            string      `json:"title"`
	Status           int         `json:"status"`
	Reason           string      `json:"reason"`
	Detail           string      `json:"detail"`
	ExistingBackupID string      `json:"existingBackupId,omitempty"`
	Violations       []violation `json:"violations,omitempty"`
	// Retryable: the same request may be accepted later, without another change. RetryAfterSeconds is then when to come
	// again, also as the header Retry-After; 0: whenever.
	Retryable         bool `json:"retryable,omitempty"`
	RetryAfterSeconds int  `json:"retryAfterSeconds,omitempty"`
}

// violation says what is wrong where; the value itself is never sent back.
type violation struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// maxViolations is the most that one answer lists (events.md 2.3).
const maxViolations = 20

func (p *problem) Error() string               { return p.Reason + ": " + p.Detail }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) ContentType(_ string) string { return "application/problem+json" }

// GetHeaders are those of the answer.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfterSeconds > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfterSeconds))
	}
	return h
}

var statusOf = map[intake.Kind]int{
	intake.Internal:    http.StatusInternalServerError,
	intake.Invalid:     http.StatusBadRequest,
	intake.NotFound:    http.StatusNotFound,
	intake.Conflict:    http.StatusConflict,
	intake.Exhausted:   http.StatusTooManyRequests,
	intake.Unavailable: http.StatusServiceUnavailable,
}

// problem turns what intake says into an answer, and logs what is our own fault.
func (d *Door) problem(ctx context.Context, err error) error {
	status := statusOf[intake.KindOf(err)]
	p := &problem{Title: http.StatusText(status), Status: status, Reason: string(intake.Fault), Detail: "internal error; the log has the details"}
	var e *intake.Error
	if errors.As(err, &e) {
		p.Reason, p.Detail, p.ExistingBackupID = string(e.Reason), e.Message, e.Existing
	}
	p.Retryable, p.RetryAfterSeconds = intake.Again(err)
	if status >= http.StatusInternalServerError {
		d.slog.ErrorContext(ctx, "request failed", "door", "native", "error", errors.Join(err, errors.Unwrap(err)).Error())
	}
	return p
}

// unknown answers for what is no method of this API.
func unknown(w http.ResponseWriter, _ *http.Request) {
	p := &problem{Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound, Reason: "NOT_FOUND",
		Detail: "no such method: /api/openapi.json lists all"}
	p.write(w)
}

func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", p.ContentType(""))
	maps.Copy(w.Header(), p.GetHeaders())
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that has gone cannot be told
}

// problems gives huma's own refusals (validation, malformed JSON, size) the same form.
func (d *Door) problems(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &problem{Title: m.Title, Status: m.Status, Reason: string(intake.SchemaViolation), Detail: m.Detail}
	if m.Status == http.StatusRequestEntityTooLarge {
		p.Reason = "TOO_LARGE"
	}
	for _, e := range m.Errors {
		if len(p.Violations) == maxViolations {
			break
		}
		path := "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(e.Location)
		p.Violations = append(p.Violations, violation{Path: path, Message: e.Message})
	}
	return p, nil
}
