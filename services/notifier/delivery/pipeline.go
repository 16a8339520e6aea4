package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Deps are what the stages stand on. All are needed.
type Deps struct {
	Queue    Queue
	Appender Appender
	Log      *slog.Logger
	Now      func() time.Time
	Random   func() float64 // in [0, 1): the jitter of the plan
	Count    func(Outcome)  // called once for every finished attempt
	Plan     Plan
	Window   int // deliveries that the queue hands out at once; no subscription may fill it alone
}

// Pipeline is the stages put together. Safe for concurrent use.
type Pipeline struct {
	Deps
	byID      map[string]*target
	byProject map[string][]*target // by token
}

// target is a subscription with the way to its endpoint.
type target struct {
	Subscription
	lane *lane
}

// New puts the stages together for a list of subscriptions that does not change.
func New(d Deps, subscriptions []Subscription) (*Pipeline, error) {
	if d.Queue == nil || d.Appender == nil || d.Log == nil || d.Now == nil || d.Random == nil || d.Count == nil ||
		len(d.Plan.Delays) == 0 || d.Window <= 0 {
		return nil, errors.New("delivery: a dependency is missing")
	}
	p := &Pipeline{Deps: d, byID: map[string]*target{}, byProject: map[string][]*target{}}
	share := d.Window / (len(subscriptions) + 1)
	for _, s := range subscriptions {
		project, err := events.Token(s.Project)
		if err != nil {
			return nil, fmt.Errorf("project of %s: %w", s.ID, err)
		}
		t := &target{s, newLane(d.Now, s.MaxInFlight, share)}
		p.byID[s.ID] = t
		p.byProject[project] = append(p.byProject[project], t)
	}
	return p, nil
}

// Deliver takes one step with a delivery. nil means that it has ended, Later that it is wanted again
// then. events.ErrUnreadable can never succeed; any other error may when it is repeated.
func (p *Pipeline) Deliver(ctx context.Context, r Received) error {
	s, configured := p.byID[r.SubscriptionID]
	if !configured {
		p.Log.InfoContext(ctx, "delivery dropped: its subscription is not configured",
			"delivery_id", r.ID, "subscription_id", r.SubscriptionID)
		return nil
	}
	ev, err := events.Parse(structured, r.Body)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", r.ID, err)
	}
	leave, err := s.lane.enter(ctx, r.ID)
	if err != nil {
		return err
	}
	defer leave()
	a, err := p.send(ctx, s, r, ev)
	if err != nil {
		return err
	}
	return p.record(ctx, s, r, ev, a)
}

// structured is the mode of every Delivery.Body.
var structured = map[string][]string{"content-type": {ContentType}}

// ContentType of a request and of what the queue keeps (events.md 7.4).
const ContentType = "application/cloudevents+json; charset=utf-8"
