package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
)

// finishing is how long a request that has begun may go on once the notifier is told to stop.
const finishing = 10 * time.Second

// attempt is one request and what became of it.
type attempt struct {
	number  int
	started time.Time
	took    time.Duration
	answer  Answer
	outcome Outcome
}

// send makes one attempt. An error means that nothing is known of it, so that it has to be made again.
func (p *Pipeline) send(ctx context.Context, s *target, r Received, ev events.Event) (attempt, error) {
	a := attempt{number: s.lane.attempt(r.ID, r.Count), started: p.Now()}
	signature, err := s.Secret.Sign(ev.ID, a.started, r.Body)
	if err != nil {
		return a, fmt.Errorf("sign for %s: %w", s.ID, err)
	}
	running, cancel := outlive(ctx, s.Timeout)
	defer cancel()
	a.answer = s.Endpoint.Post(running, Request{
		EventID: ev.ID, SubscriptionID: s.ID, DeliveryID: r.ID,
		Attempt: a.number, At: a.started, Signature: signature, Body: r.Body,
	})
	if a.answer.Status == 0 && running.Err() == context.Canceled {
		return a, fmt.Errorf("send %s: %w", r.ID, context.Cause(ctx))
	}
	a.outcome, a.took = a.answer.outcome(), p.Now().Sub(a.started)
	return a, nil
}

// outlive is a context with a timeout of its own that goes on for finishing after ctx has ended: a receiver
// that is about to answer should not get the same event again because of a restart.
func outlive(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	running, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	unhook := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(finishing, cancel)
		context.AfterFunc(running, func() { t.Stop() })
	})
	return running, func() {
		unhook()
		cancel()
	}
}
