package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/backupbus/backupbus/events"
)

// State of a delivery (events.md 7.8).
type State string

// The states of events.md 7.8. IN_FLIGHT is never stored: a request that runs is known to its process only.
const (
	Pending    State = "PENDING"
	InFlight   State = "IN_FLIGHT"
	Retrying   State = "RETRYING"
	Delivered  State = "DELIVERED"
	Dead       State = "DEAD"
	Suppressed State = "SUPPRESSED"
)

// Open tells a state in which a delivery is still to be sent.
func (s State) Open() bool { return s == Pending || s == Retrying || s == InFlight }

// Reasons of an end (events.md 2.3).
const (
	Exhausted = "EXHAUSTED"
	Expired   = "EXPIRED"
	Permanent = "PERMANENT_STATUS"
	IsGone    = "GONE"
	Failing   = "FAILING"
	ByAdmin   = "ADMIN"
	Removed   = "DELETED"
	Backlog   = "BACKLOG_FULL" // so many of the subscription waited already; a replay sends it
)

// Record is all that is known of one delivery: what the log keeps and users read (events.md 7.11). It holds no
// header and no secret.
type Record struct {
	DeliveryID      string      `json:"deliveryId"`
	SubscriptionID  string      `json:"subscriptionId"`
	Project         string      `json:"project"` // token
	EventID         string      `json:"eventId"`
	EventType       string      `json:"eventType"`
	EventSource     string      `json:"eventSource"`
	EventSequence   string      `json:"eventSequence"`
	EventSeq        uint64      `json:"eventSeq"` // place in the log of events
	State           State       `json:"state"`
	Reason          string      `json:"reason,omitempty"`
	CreateTime      events.Time `json:"createTime"`
	NextAttemptTime events.Time `json:"nextAttemptTime,omitzero"`
	ReplayOf        string      `json:"replayOf,omitempty"` // the delivery that is sent again
	ReplayID        string      `json:"replayId,omitempty"`
	Attempts        []Attempt   `json:"attempts,omitempty"`

	Seq uint64 `json:"-"` // place in the log of deliveries: what the next write expects
}

// Attempt is one request and what became of it.
type Attempt struct {
	Number              int         `json:"number"`
	StartTime           events.Time `json:"startTime"`
	DurationMs          int64       `json:"durationMs"`
	Outcome             Outcome     `json:"outcome"`
	StatusCode          int         `json:"statusCode,omitempty"`
	RetryAfterSeconds   int64       `json:"retryAfterSeconds,omitempty"`
	ResponseBodyPreview string      `json:"responseBodyPreview,omitempty"`
}

// Encode is the record as the log keeps it.
func (r *Record) Encode() ([]byte, error) {
	b := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(b)
	b.Reset()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(r)
	return bytes.Clone(b.Bytes()), err
}

// scratch has room for most records.
var scratch = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 2<<10)) }}

// ReadRecord reads what Encode wrote. Anything else is events.ErrUnreadable.
func ReadRecord(b []byte, seq uint64) (*Record, error) {
	r := &Record{Seq: seq}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: record %d: %w", events.ErrUnreadable, seq, err)
	}
	switch r.State {
	case Pending, Retrying, Delivered, Dead, Suppressed:
	default:
		return nil, fmt.Errorf("%w: record %d has no state that is known", events.ErrUnreadable, seq)
	}
	if r.DeliveryID == "" || r.SubscriptionID == "" {
		return nil, fmt.Errorf("%w: record %d has no id", events.ErrUnreadable, seq)
	}
	return r, nil
}

// maxPreview keeps twelve attempts within one message; events.md 7.11 allows 4 KiB.
const maxPreview = 2 << 10

// preview is what users see of an answer. What is secret is taken out of the whole first: half a secret that a cut
// has left would not be known as one.
func preview(body string) string {
	return events.Clip(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, events.Redact(strings.ToValidUTF8(body, " "))), maxPreview)
}
