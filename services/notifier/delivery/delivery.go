package delivery

import (
	"context"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Delivery is one event on its way to one subscription: what the queue keeps. Its bytes never change.
type Delivery struct {
	ID             string // events.DeliveryID: the same event and subscription give the same id
	SubscriptionID string
	Project        string    // raw name
	Matched        time.Time // when the event was found to be wanted
	Body           []byte    // the event in structured mode: what is signed and sent
}

// Received is a delivery as the queue hands it out.
type Received struct {
	Delivery
	Count int // how often it was handed out, this time included
}

// Subscription is what the stages need to know of one.
type Subscription struct {
	ID, Name, Project string // Project is the raw name
	Interest          Interest
	Secret            Secret
	Endpoint          Endpoint
	Timeout           time.Duration // of a whole attempt
	MaxInFlight       int
}

// Interest tells which events a subscription wants; it looks at attributes only. Safe for concurrent use.
type Interest interface {
	Wants(ev events.Event) bool
}

// Queue keeps deliveries until Deliver has ended them.
type Queue interface {
	// Put returns once d is stored. Putting the same delivery again soon stores nothing.
	Put(ctx context.Context, d Delivery) error
}

// Appender stores the event of a delivery that has died (bus.Append).
type Appender interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
}

// Endpoint is the sink of one subscription. Safe for concurrent use.
type Endpoint interface {
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
	EventID, SubscriptionID, DeliveryID string
	Attempt                             int
	At                                  time.Time // the signed second
	Signature                           string
	Body                                []byte
}

// Answer is what became of a request.
type Answer struct {
	Status     int     // of the HTTP answer, 0 if there was none
	RetryAfter string  // the header, as it came
	Failure    Outcome // why there was no HTTP answer
	Err        error   // the same for the operator's log; never shown to users
}

// Later is returned for a delivery that is wanted again after a while.
type Later struct {
	After time.Duration
	Why   string
}

func (l Later) Error() string { return l.Why + ": again in " + l.After.String() }
