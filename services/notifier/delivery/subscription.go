package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Subscription is what the engine needs to know of one.
type Subscription struct {
	ID, Name, Project string // Project is the raw name
	Interest          Interest
	Signer            Signer
	Endpoint          Endpoint
	Timeout           time.Duration // of a whole attempt
	MaxInFlight       int
	RatePerMinute     int
	Ordered           bool   // events of one source one after the other (events.md 7.10)
	Unverified        bool   // the sink has given no permission: a trickle only
	Disabled          bool   // what matches is SUPPRESSED
	Reason            string // why it is disabled
	// Target is another number once the sink has changed or the subscription was enabled again: what attempts at
	// an earlier target came to is not held against this one.
	Target int

	log *slog.Logger // of its attempts
}

// logger says whose attempts they are.
func (s Subscription) logger(to *slog.Logger) *slog.Logger {
	to = to.With("project", s.Project, "subscription", s.Name, "subscription_id", s.ID)
	if s.Endpoint == nil {
		return to
	}
	return to.With("sink", s.Endpoint.Origin()) // the path of some is a credential
}

// Interest tells which events a subscription wants; it looks at attributes only. An error means that it does
// not want this one, because a filter cannot be evaluated on it. Safe for concurrent use.
type Interest interface {
	Wants(ev events.Event) (bool, error)
}

// Signer makes the header webhook-signature (events.md 7.5). Safe for concurrent use.
type Signer interface {
	Sign(id string, at time.Time, body []byte) (string, error)
}

// Endpoint is the sink of one subscription. Safe for concurrent use.
type Endpoint interface {
	// Encode is the body that is signed and sent for an event; the same event gives the same bytes.
	Encode(ev events.Event) ([]byte, error)
	// Form names how Encode does it: endpoints of the same form encode an event to the same bytes.
	Form() string
	// Post makes one request and returns what became of it, by the end of ctx at the latest. It follows
	// no redirect and repeats nothing.
	Post(ctx context.Context, r Request) Answer
	// Origin is scheme, host and port: what events may tell of the sink.
	Origin() string
	// String is the sink without its query, for logs.
	String() string
}

// Request is one signed attempt (events.md 7.4).
type Request struct {
	Event                      events.Event
	SubscriptionID, DeliveryID string
	Attempt                    int
	At                         time.Time // the signed second
	Signature                  string
	Body                       []byte
	Replay                     bool
	TraceParent                string // of this hop
}

// Answer is what became of a request.
type Answer struct {
	Status     int     // of the HTTP answer, 0 if there was none
	RetryAfter string  // the header, as it came
	Body       string  // its beginning, for the user
	Judged     Outcome // of a status that is not HTTP's: wins over it
	Failure    Outcome // why there was no HTTP answer
	Err        error   // the same for the operator's log; never shown to users
}

// Health is what has to outlive the process that runs a subscription.
type Health struct {
	Target          int           `json:"target,omitempty"`     // whose it is
	PausedUntil     time.Time     `json:"pausedUntil,omitzero"` // Retry-After
	OpenUntil       time.Time     `json:"openUntil,omitzero"`   // circuit: no request before, then one probe
	OpenFor         time.Duration `json:"openFor,omitempty"`    // how long it was opened for; 0: closed
	FirstFailure    time.Time     `json:"firstFailure,omitzero"`
	LastFailure     time.Time     `json:"lastFailure,omitzero"`
	LastSuccess     time.Time     `json:"lastSuccess,omitzero"`
	Failures        int           `json:"failures,omitempty"` // in a row
	ToldFailing     bool          `json:"toldFailing,omitempty"`
	FilterErrors    int           `json:"filterErrors,omitempty"`
	LastFilterError string        `json:"lastFilterError,omitempty"`
	Pending         int           `json:"pending,omitempty"`
	OldestPending   time.Time     `json:"oldestPending,omitzero"`
}

// Fresh is h without what is held against the sink.
func (h Health) Fresh() Health {
	return Health{Target: h.Target, LastSuccess: h.LastSuccess, FilterErrors: h.FilterErrors, LastFilterError: h.LastFilterError,
		Pending: h.Pending, OldestPending: h.OldestPending}
}

// Keeper keeps what is known of subscriptions.
type Keeper interface {
	// SaveHealth returns when h is stored.
	SaveHealth(ctx context.Context, id string, h Health) error
	// Turn makes a subscription FAILING or DISABLED, tells so by an event, and has given the engine the new
	// version when it returns. Doing it again changes nothing. ErrTarget means that the subscription has another
	// target by now, and was left as it is.
	Turn(ctx context.Context, id string, to Turn, h Health) error
}

// Turn is what becomes of a subscription whose sink fails.
type Turn struct {
	Disable bool   // else FAILING
	Reason  string // GONE or FAILING
	Target  int    // that failed
}

// ErrTarget is returned by Keeper.Turn for a target that is not the subscription's any more.
var ErrTarget = errors.New("the subscription has another target by now")

// Log keeps the records of deliveries.
type Log interface {
	// Put writes records, each if it is as it was read, and returns one error or nil for each. events.ErrContended
	// means that somebody else has written it; for a new record, that it is there. It sets Seq of what it wrote.
	Put(ctx context.Context, records []*Record) []error
	// Get reads the record of r's delivery: events.ErrNotFound if there is none.
	Get(ctx context.Context, r *Record) (*Record, error)
}

// Events reads an event of the log again.
type Events interface {
	At(ctx context.Context, seq uint64) (events.Event, error)
}

// Appender stores the event of a delivery that has died (bus.Append).
type Appender interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
}

// ContentType of a request in structured mode (events.md 7.4).
const ContentType = "application/cloudevents+json; charset=utf-8"
