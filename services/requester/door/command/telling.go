package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// telling is the outcome of one message on its way out.
type telling struct {
	*Door
	message Message
	at      events.CommandSubject
	project string
	replyTo string // empty: nobody asked for a copy
	command events.Command
}

// accept appends request.accepted, once per request.
func (t telling) accept(ctx context.Context, a events.AcceptedRequest) error {
	cause, err := t.command.Cause(a.RequestID)
	if err != nil {
		return err
	}
	done, err := t.log.Append(ctx, events.Draft{
		Aggregate: a.Aggregate(), Step: events.Accepted, EventID: events.EventID(a.RequestID, events.Requests, events.Accepted, 0),
		At: t.now(), Cause: cause,
		Decide: func(context.Context, events.Prior) (events.Payload, error) { return a, nil },
	})
	if err != nil {
		return fmt.Errorf("tell of the acceptance: %w", err)
	}
	if done.Repeat {
		first, err := events.Decode[events.AcceptedRequest](done.Event)
		if err != nil {
			return err
		}
		if first.RequestDigest != a.RequestDigest {
			return conflict(first.BackupID)
		}
		first.State, first.Repeat = a.State, true
		if done.Data, err = json.Marshal(first); err != nil {
			return err
		}
	}
	t.reply(ctx, done.Event)
	return nil
}

// refuse tells of a rejection; an error that is none is wanted again, as long as it may be.
func (t telling) refuse(ctx context.Context, err error) error {
	var r *events.Rejection
	switch {
	case errors.As(err, &r):
	case !t.message.Last:
		return err
	default:
		r = &events.Rejection{Reason: string(intake.Fault), Retryable: true, RetryAfterSeconds: intake.RetryAfter,
			Message: "the command could not be evaluated, however often it was tried: look whether it was done, then send it again"}
	}
	if t.message.Last { // nobody else will tell of it, also when this process has to stop
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer cancel()
	}
	if failed := t.reject(ctx, r); failed != nil {
		return failed
	}
	return t.fate(r.Reason, err)
}

// lastWord is how long the rejection of a command on its last delivery may take.
const lastWord = 10 * time.Second

// fate is what becomes of a message that was rejected for a reason.
func (t telling) fate(reason string, cause error) error {
	switch {
	case reason == events.MalformedEvent:
		return &Dead{Unreadable, cause}
	case reason == events.ForbiddenContent:
		return &Dead{Forbidden, cause}
	case reason == string(intake.Fault) && t.message.Last:
		return &Dead{Failed, cause}
	}
	return nil
}

// reject appends request.rejected, once per message: under the request's id while that is not accepted, else under
// one of the message's own.
func (t telling) reject(ctx context.Context, r *events.Rejection) error {
	rq, err := t.rejectedID(r)
	if err != nil {
		return err
	}
	done, err := t.append(ctx, rq, r)
	if errors.Is(err, lifecycle.ErrIllegal) {
		if rq, err = events.ConflictRequestID(t.message.Stream, t.message.Seq); err == nil {
			done, err = t.append(ctx, rq, r)
		}
	}
	if err != nil {
		return fmt.Errorf("tell of the rejection: %w", err)
	}
	t.reply(ctx, done.Event)
	return nil
}

func (t telling) append(ctx context.Context, rq string, r *events.Rejection) (events.Appended, error) {
	record := r.Rejected(t.project, rq, t.command)
	return t.log.Append(ctx, events.Draft{
		Aggregate: record.Aggregate(), Step: events.Rejected, EventID: t.rejectedEvent(rq), At: t.now(), Cause: t.cause(rq),
		Decide: func(context.Context, events.Prior) (events.Payload, error) { return record, nil },
	})
}

func (t telling) rejectedID(r *events.Rejection) (string, error) {
	switch {
	case t.command.ID == "":
		return events.MalformedRequestID(t.message.Stream, t.message.Seq)
	case r.Reason == string(intake.IdempotencyConflict):
		return events.ConflictRequestID(t.message.Stream, t.message.Seq)
	}
	return t.requestID(t.project, t.command)
}

func (t telling) rejectedEvent(rq string) string {
	return events.EventID(rq, events.Requests, events.Rejected, int(t.message.Seq))
}

// cause of a rejection; what looks like a credential is no part of it.
func (t telling) cause(rq string) events.Cause {
	c, err := t.command.Cause(rq)
	if err != nil || events.HasSecret(t.command.ID) {
		c = events.Cause{CorrelationID: rq, Trace: t.command.Trace}
	}
	if events.HasSecret(c.Trace.State) {
		c.Trace.State = ""
	}
	return c
}

// toldBefore looks, for a message that comes again, whether its rejection stands in the log: then it is not judged
// anew, as things may have changed.
func (t telling) toldBefore(ctx context.Context) (bool, error) {
	if !t.message.Redelivered || t.command.ID == "" {
		return false, nil
	}
	rq, err := t.requestID(t.project, t.command)
	if err != nil {
		return false, err
	}
	scope, err := events.Aggregate{Project: t.project, Entity: events.Requests, ID: rq}.Scope()
	if err != nil {
		return false, err
	}
	var told events.Event
	_, err = t.log.Scan(ctx, scope, 1, false, func(_ string, s events.Stored) error {
		if s.ID == t.rejectedEvent(rq) {
			told = s.Event
			return io.EOF
		}
		return nil
	})
	if told.ID == "" {
		return false, err
	}
	t.reply(ctx, told)
	r, err := events.Decode[events.RejectedRequest](told)
	if err != nil {
		return false, err
	}
	return true, t.fate(r.Reason, &events.Rejection{Reason: r.Reason, Message: r.Message})
}
