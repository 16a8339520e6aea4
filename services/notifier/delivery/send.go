package delivery

import (
	"context"
	"errors"
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
	wait    time.Duration // what Retry-After asked for
}

// deliver makes one attempt and draws its consequences. When ctx ends before the request was made, the
// delivery stays as it was.
func (e *Engine) deliver(ctx, requests context.Context, l *lane, i *item) {
	e.mu.Lock()
	s, ended := l.sub, !i.State.Open() // as is found when its first record is written
	e.mu.Unlock()
	if ended {
		e.finish(l, i, forget)
		return
	}
	ev, a, err := e.attempt(ctx, requests, s, i)
	e.claim(i)
	switch {
	case err == nil:
		e.Count(a.outcome)
		e.conclude(ctx, l, s, i, ev.Event, a)
	case errors.Is(err, errUnusable):
		i.State, i.Reason, i.NextAttemptTime = Suppressed, s.Reason, events.Time{}
		e.record(ctx, l, i)
	case errors.Is(err, errOver):
		i.State, i.Reason, i.NextAttemptTime = Dead, Expired, events.Time{}
		e.tellDead(ctx, s, i, ev.Event)
		e.record(ctx, l, i)
	case ctx.Err() == nil && (errors.Is(err, events.ErrNotFound) || errors.Is(err, events.ErrUnreadable)):
		// The event was compacted away: there is nothing to send any more.
		e.Logger.WarnContext(ctx, "delivery without its event", "delivery_id", i.DeliveryID, "event_id", i.EventID)
		i.State, i.Reason, i.NextAttemptTime = Dead, Expired, events.Time{}
		e.record(ctx, l, i)
	default:
		if ctx.Err() == nil {
			e.Logger.WarnContext(ctx, "delivery put off", "delivery_id", i.DeliveryID, "error", events.Redact(err.Error()))
		}
		i.due = e.Now().Add(time.Second)
		e.finish(l, i, again)
	}
}

// Why no attempt is made.
var (
	errUnusable = errors.New("the sink cannot be used any more")
	errOver     = errors.New("its time is over") // it waited behind a pause or a circuit
	errNotHeld  = errors.New("another notifier may be sending")
)

// attempt sends i, unless there is a reason not to.
func (e *Engine) attempt(ctx, requests context.Context, s Subscription, i *item) (*letter, attempt, error) {
	if s.Endpoint == nil {
		return nil, attempt{}, errUnusable
	}
	ev, err := e.letters.at(ctx, i.EventSeq)
	switch {
	case err != nil:
		return nil, attempt{}, err
	case e.Plan.over(i, e.Now()):
		return ev, attempt{}, errOver
	case !e.Held():
		return ev, attempt{}, errNotHeld
	}
	a, err := send(requests, e.Now, s, i.DeliveryID, len(i.Attempts)+1, i.ReplayID != "", ev)
	return ev, a, err
}

// Send makes one signed attempt. An error means that none was made, or that nothing is known of it.
func Send(ctx context.Context, now func() time.Time, s Subscription, deliveryID string, number int, replay bool, ev events.Event) (attempt, error) {
	ctx, end := outlive(ctx)
	defer end()
	return send(ctx, now, s, deliveryID, number, replay, &letter{Event: ev})
}

func send(ctx context.Context, now func() time.Time, s Subscription, deliveryID string, number int, replay bool, ev *letter) (attempt, error) {
	body, err := ev.body(s.Endpoint)
	if err != nil {
		return attempt{}, err
	}
	a := attempt{number: number, started: now()}
	signature, err := s.Signer.Sign(ev.ID, a.started, body)
	if err != nil {
		return a, fmt.Errorf("sign for %s: %w", s.ID, err)
	}
	running, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	a.answer = s.Endpoint.Post(running, Request{
		Event: ev.Event, SubscriptionID: s.ID, DeliveryID: deliveryID, Attempt: number, At: a.started, Signature: signature, Body: body,
		Replay: replay, TraceParent: hop(ev.TraceParent),
	})
	if a.answer.Status == 0 && errors.Is(running.Err(), context.Canceled) {
		return a, fmt.Errorf("send %s: %w", deliveryID, context.Cause(ctx))
	}
	a.outcome, a.took = a.answer.outcome(), now().Sub(a.started)
	if a.outcome != Success {
		a.wait = retryAfter(a.answer.RetryAfter, now())
	}
	return a, nil
}

// Result is the attempt as users read it.
func (a attempt) Result() Attempt {
	return Attempt{Number: a.number, StartTime: events.At(a.started), DurationMs: a.took.Milliseconds(), Outcome: a.outcome,
		StatusCode: a.answer.Status, RetryAfterSeconds: int64(a.wait / time.Second), ResponseBodyPreview: preview(a.answer.Body)}
}

// outlive is a context that goes on for finishing after ctx has ended: a receiver that is about to answer should not
// get the same event again because of a restart.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(finishing, cancel)
		context.AfterFunc(running, func() { t.Stop() })
	})
	return running, func() {
		unhook()
		cancel()
	}
}
