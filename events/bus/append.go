package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The words of an append are those of package events, so that services need not import this one.
type (
	Scope    = events.Scope
	Prior    = events.Prior
	Draft    = events.Draft
	Appended = events.Appended
)

// The scopes of events.md 3.2.
const (
	ScopeAggregate = events.ScopeAggregate
	ScopeInstance  = events.ScopeInstance
	ScopeName      = events.ScopeName
)

var (
	// ErrIllegal means that the life cycle does not allow the step. Nothing was stored.
	ErrIllegal = lifecycle.ErrIllegal
	// ErrContended means that other writers won every round. Nothing was stored.
	ErrContended = events.ErrContended
)

const (
	maxRounds           = 10
	minJitter, maxExtra = 5 * time.Millisecond, 45 * time.Millisecond
)

// Append stores the event of d as the next one of its aggregate and returns once the stream has confirmed
// it (events.md 3.2). Calling it again with the same id is harmless while the event is the aggregate's
// last: the stored one is returned as Repeat, also when a round of this very call stored it and its PubAck
// was lost, or when another writer used the same id. Decide runs once a round and must have no effect of its
// own; for backups and restores it returns a record that lifecycle.Advance has advanced.
//
// An error of Decide comes back wrapped; ErrIllegal and ErrContended are as said there; in these cases
// nothing was stored. ErrUnavailable and ctx's error leave open whether it was: call again.
func (b *Bus) Append(ctx context.Context, d Draft) (Appended, error) {
	a := appender{bus: b, draft: d}
	if err := a.address(); err != nil {
		return Appended{}, fmt.Errorf("append %s: %w", d.EventID, err)
	}
	why := ErrContended
	for round := range maxRounds {
		if round > 0 && !pause(ctx, minJitter+rand.N(maxExtra)) {
			return Appended{}, a.ended(ctx)
		}
		done, err := a.round(ctx)
		switch {
		case err == nil:
			return done, nil
		case ctx.Err() != nil && !errors.Is(err, errDecided):
			return Appended{}, a.ended(ctx)
		case !errors.Is(err, errAgain):
			return Appended{}, fmt.Errorf("append %s: %w", d.EventID, err)
		}
		why = ErrContended
		if errors.Is(err, ErrUnavailable) {
			why = ErrUnavailable // the last publish was not answered: it may be stored
		}
	}
	return Appended{}, fmt.Errorf("append %s: %w in %d rounds", d.EventID, why, maxRounds)
}

var (
	errAgain   = errors.New("another round")
	errDecided = errors.New("refused")
)

// decided is an error that is the writer's own answer and not the bus's.
type decided struct{ error }

func (d decided) Is(target error) bool { return target == errDecided }
func (d decided) Unwrap() error        { return d.error }

// appender is one call of Append.
type appender struct {
	bus              *Bus
	draft            Draft
	scope, aggregate string // filters
	subject          string
}

func (a *appender) address() (err error) {
	d := a.draft
	switch {
	case d.EventID == "" || d.Step == "" || d.Decide == nil || d.At.IsZero():
		return errors.New("the draft lacks its id, step, time or decision")
	case d.Scope < ScopeAggregate || d.Scope > ScopeName:
		return fmt.Errorf("unknown scope %d", d.Scope)
	}
	if a.aggregate, err = d.Aggregate.Scope(); err != nil {
		return err
	}
	if a.subject, err = d.Aggregate.EventSubject(d.Step); err != nil {
		return err
	}
	switch d.Scope {
	case ScopeInstance:
		a.scope, err = d.Aggregate.InstanceScope()
	case ScopeName:
		a.scope, err = d.Aggregate.NameScope()
	default:
		a.scope = a.aggregate
	}
	return err
}

// ended is the error of a call whose context has ended.
func (a *appender) ended(ctx context.Context) error {
	if a.bus.nc.IsConnected() {
		return fmt.Errorf("append %s: %w", a.draft.EventID, ctx.Err())
	}
	return fmt.Errorf("append %s: %w: %w", a.draft.EventID, ErrUnavailable, ctx.Err())
}

// round is steps 1 to 5 of events.md 3.2; errAgain asks for another one.
func (a *appender) round(ctx context.Context) (Appended, error) {
	prior, err := a.read(ctx)
	if err != nil {
		return Appended{}, err
	}
	if prior.Last != nil && prior.Last.ID == a.draft.EventID {
		return Appended{Stored: *prior.Last, Repeat: true}, nil
	}
	ev, err := a.decide(ctx, prior)
	if err != nil {
		return Appended{}, decided{err}
	}
	seq, err := a.publish(ctx, ev, prior.ScopeSeq)
	if err != nil {
		return Appended{}, err
	}
	return Appended{Stored: events.Stored{Event: ev, Seq: seq}}, nil
}

// read tries for answerWait, as a server that restarts is away for a second or two.
func (a *appender) read(ctx context.Context) (Prior, error) {
	patience, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	for {
		p, err := a.readOnce(patience)
		if err == nil || !errors.Is(err, ErrUnavailable) || !pause(patience, retryPause) {
			return p, err
		}
	}
}

// readOnce reads the scope before the aggregate: if the aggregate moves in between, the scope's sequence is
// out of date and the publish is refused.
func (a *appender) readOnce(ctx context.Context) (Prior, error) {
	// An answer that was lost with its line never comes: ask again before patience ends.
	ctx, cancel := context.WithTimeout(ctx, answerWait/3)
	defer cancel()
	m, err := a.bus.lastRaw(ctx, EventStream, a.scope)
	if err != nil || m == nil {
		return Prior{}, err
	}
	p := Prior{ScopeSeq: m.seq}
	if !strings.HasPrefix(m.subject, strings.TrimSuffix(a.aggregate, "*")) {
		if m, err = a.bus.lastRaw(ctx, EventStream, a.aggregate); err != nil || m == nil {
			return p, err
		}
	}
	last, err := m.parse()
	if err != nil {
		return Prior{}, err
	}
	p.Last = &last
	return p, nil
}

func (a *appender) decide(ctx context.Context, p Prior) (events.Event, error) {
	d := a.draft
	payload, err := d.Decide(ctx, p)
	if err != nil {
		return events.Event{}, err
	}
	if err := check(d, p.Last, payload); err != nil {
		return events.Event{}, err
	}
	number := uint64(1)
	if p.Last != nil {
		n, err := p.Last.SequenceNumber()
		if err != nil {
			return events.Event{}, fmt.Errorf("last event %s: %w", p.Last.ID, err)
		}
		number = n + 1
	}
	return events.New(a.bus.name, payload, d.Step, d.EventID, number, d.At, d.Cause)
}

// publish stores ev if the scope still ends at expected.
func (a *appender) publish(ctx context.Context, ev events.Event, expected uint64) (uint64, error) {
	header, data, err := events.Encode(ev)
	if err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := a.bus.js.PublishMsg(waiting, &nats.Msg{Subject: a.subject, Header: header, Data: data},
		jetstream.WithMsgID(ev.ID), jetstream.WithExpectLastSequenceForSubject(expected, a.scope))
	switch {
	case err == nil && !ack.Duplicate:
		return ack.Sequence, nil
	case err == nil, wrongSequence(err):
		return 0, errAgain
	case unreachable(err): // whether it was stored is what the next round reads
		return 0, fmt.Errorf("%w: %w", errAgain, ErrUnavailable)
	}
	return 0, err
}

// wrongSequence: the scope has moved. Replicated streams have a code of their own.
func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
