package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Intake is the use case behind the door (*intake.Intake).
type Intake interface {
	Instance(ctx context.Context, project, instance string) (events.Instance, error)
	Create(ctx context.Context, c intake.Create) (intake.Receipt, error)
	Cancel(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Delete(ctx context.Context, c intake.Change) (intake.Receipt, error)
	Verify(ctx context.Context, c intake.Change, method string) (intake.Receipt, error)
	Restore(ctx context.Context, c intake.Restore) (intake.RestoreReceipt, error)
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	RestoreByID(ctx context.Context, project, id string) (events.Restore, error)
}

// Log is where requests and what they made are found, and outcomes are told.
type Log interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
	Last(ctx context.Context, filter string) (events.Stored, bool, error)
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
}

// Evaluator does what commands ask for. Safe for concurrent use.
type Evaluator struct {
	intake Intake
	log    Log
	now    func() time.Time
}

// NewEvaluator makes an Evaluator.
func NewEvaluator(in Intake, log Log, now func() time.Time) *Evaluator {
	return &Evaluator{in, log, now}
}

// Call is a command that was read, and where it came in.
type Call struct {
	Project string                 // raw
	Caller  string                 // opaque reference to who sent it; empty where the bus has let it in
	At      *events.CommandSubject // nil where there is no subject
	Command events.Command
}

// Evaluate does what a command asks for and says what it made, or what an earlier one with the same source, id and
// content made. The error is an *events.Rejection, or says that the log or the view did not answer: then calling
// again is safe.
func (e *Evaluator) Evaluate(ctx context.Context, c Call) (events.AcceptedRequest, error) {
	if err := addressed(c); err != nil {
		return events.AcceptedRequest{}, err
	}
	digest, err := Digest(c.Command.Type, c.Command.Data)
	if err != nil {
		return events.AcceptedRequest{}, &events.Rejection{Reason: events.SchemaViolation,
			Message: "data has no canonical form: send numbers that a double holds, and whole characters"}
	}
	rq, err := e.requestID(c.Project, c.Command)
	if err != nil {
		return events.AcceptedRequest{}, err
	}
	out := events.AcceptedRequest{Project: c.Project, RequestID: rq, Command: c.Command.Type, CommandSource: c.Command.Source,
		CommandID: c.Command.ID, RequestDigest: digest}
	found, err := e.known(ctx, c, &out)
	if err == nil && !found {
		err = e.perform(ctx, c, &out)
	}
	return out, refusal(err)
}

func (e *Evaluator) perform(ctx context.Context, c Call, out *events.AcceptedRequest) error {
	caller := e.caller(c, out.RequestDigest)
	body := c.Command.Body
	if c.Command.Verb == events.CreateBackup {
		if err := e.ofProvider(ctx, c); err != nil {
			return err
		}
		if err := e.notExpired(c); err != nil {
			return err
		}
		r, err := e.intake.Create(ctx, intake.Create{Caller: caller, Project: c.Project, Instance: body.Instance, Database: body.Database,
			Name: body.Name, Description: body.Description, Labels: body.Labels, ExpireTime: body.ExpireTime.Time, Location: body.Location})
		out.BackupID, out.State = r.Backup.BackupID, r.Backup.State
		return err
	}
	b, err := e.intake.Backup(ctx, c.Project, body.BackupID)
	if err != nil {
		return err
	}
	if err := ofSubject(c, b); err != nil {
		return err
	}
	if !begun(b, c.Command.Verb, out.RequestID) {
		if err := e.notExpired(c); err != nil {
			return err
		}
	}
	if c.Command.Verb == events.RestoreBackup {
		r, err := e.intake.Restore(ctx, intake.Restore{Caller: caller, Project: c.Project, BackupID: body.BackupID, Target: body.Target})
		out.BackupID, out.RestoreID, out.State = r.Restore.BackupID, r.Restore.RestoreID, r.Restore.State
		return err
	}
	r, err := e.change(ctx, c.Command, intake.Change{Caller: caller, Project: c.Project, BackupID: body.BackupID, Reason: body.Reason})
	out.BackupID, out.State = r.Backup.BackupID, r.Backup.State
	return err
}

func (e *Evaluator) change(ctx context.Context, c events.Command, ch intake.Change) (intake.Receipt, error) {
	switch c.Verb {
	case events.CancelBackup:
		return e.intake.Cancel(ctx, ch)
	case events.DeleteBackup:
		return e.intake.Delete(ctx, ch)
	case events.VerifyBackup:
		return e.intake.Verify(ctx, ch, c.Body.Method)
	}
	return intake.Receipt{}, fmt.Errorf("no command is called %q", c.Verb)
}

func (e *Evaluator) notExpired(c Call) error {
	if t := c.Command.ExpiryTime; !t.IsZero() && !e.now().Before(t) {
		return &events.Rejection{Reason: events.Expired, Message: "the command came after its expirytime: send a new one, with another id"}
	}
	return nil
}

// begun tells whether the command's step is in the record: it was evaluated before, in time.
func begun(b events.Backup, v events.Verb, rq string) bool {
	switch v {
	case events.CancelBackup:
		return b.Cancel != nil && b.Cancel.RequestID == rq
	case events.DeleteBackup:
		return b.Deletion != nil && b.Deletion.RequestID == rq
	case events.VerifyBackup:
		return b.Check != nil && b.Check.RequestID == rq
	}
	return false
}

// refusal turns what intake says into what the sender is told. What is nobody's refusal stays an error.
func refusal(err error) error {
	var e *intake.Error
	if !errors.As(err, &e) || e.Kind == intake.Internal || e.Kind == intake.Unavailable {
		return err
	}
	r := &events.Rejection{Reason: string(e.Reason), Message: e.Message, ExistingBackupID: e.Existing}
	r.Retryable, r.RetryAfterSeconds = intake.Again(err)
	return r
}
