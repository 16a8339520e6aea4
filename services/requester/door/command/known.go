package command

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// known looks whether the request that source and id name was made before (events.md 5.3): by its acceptance, or by
// the backup or restore that it made, whoever accepted it. Found, out says what it made and how that stands now.
func (e *Evaluator) known(ctx context.Context, c Call, out *events.AcceptedRequest) (bool, error) {
	first, found, err := e.accepted(ctx, c.Project, out.RequestID)
	if err != nil {
		return false, err
	}
	if found {
		if first.RequestDigest != out.RequestDigest {
			return false, conflict(first.BackupID)
		}
		out.BackupID, out.RestoreID, out.State = first.BackupID, first.RestoreID, first.State
		return true, e.standing(ctx, out)
	}
	origin := c.Command.Origin()
	if b, found, err := made[events.Backup](ctx, e.log, events.Backups, c.Project, origin, events.BackupID); err != nil || found {
		if err == nil && (c.Command.Verb != events.CreateBackup || b.RequestDigest != out.RequestDigest) {
			err = conflict(b.BackupID)
		}
		out.BackupID, out.State = b.BackupID, b.State
		return found, err
	}
	r, found, err := made[events.Restore](ctx, e.log, events.Restores, c.Project, origin, events.RestoreID)
	if err == nil && found && (c.Command.Verb != events.RestoreBackup || r.RequestDigest != out.RequestDigest) {
		err = conflict(r.BackupID)
	}
	out.BackupID, out.RestoreID, out.State = r.BackupID, r.RestoreID, r.State
	return found, err
}

// conflict says nothing of the first request but its backup.
func conflict(backupID string) error {
	return &events.Rejection{Reason: string(intake.IdempotencyConflict), ExistingBackupID: backupID,
		Message: "source and id were used for another request: send another id, or the first request unchanged"}
}

func (e *Evaluator) accepted(ctx context.Context, project, rq string) (events.AcceptedRequest, bool, error) {
	scope, err := events.Aggregate{Project: project, Entity: events.Requests, ID: rq}.Scope()
	if err != nil {
		return events.AcceptedRequest{}, false, err
	}
	last, found, err := e.log.Last(ctx, scope)
	if err != nil || !found || last.Step() != events.Accepted {
		return events.AcceptedRequest{}, false, err
	}
	a, err := events.Decode[events.AcceptedRequest](last.Event)
	return a, err == nil, err
}

// made is the aggregate of a request that makes one, in whichever instance.
func made[P events.Payload](ctx context.Context, log Log, entity events.Entity, project string, o events.Origin,
	id func(string, events.Origin) (string, error)) (p P, found bool, err error) {
	aggregate, err := id(project, o)
	if err != nil {
		return p, false, err
	}
	scope, err := events.Aggregate{Project: project, Entity: entity, ID: aggregate}.AnywhereScope()
	if err != nil {
		return p, false, err
	}
	last, found, err := log.Last(ctx, scope)
	if err != nil || !found {
		return p, false, err
	}
	p, err = events.Decode[P](last.Event)
	return p, err == nil, err
}

// standing puts the present state into out; what is forgotten keeps the state that it was accepted with.
func (e *Evaluator) standing(ctx context.Context, out *events.AcceptedRequest) error {
	var err error
	if out.RestoreID != "" {
		var r events.Restore
		if r, err = e.intake.RestoreByID(ctx, out.Project, out.RestoreID); err == nil {
			out.State = r.State
		}
	} else {
		var b events.Backup
		if b, err = e.intake.Backup(ctx, out.Project, out.BackupID); err == nil {
			out.State = b.State
		}
	}
	var refused *intake.Error
	if errors.As(err, &refused) && refused.Kind == intake.NotFound {
		return nil
	}
	return err
}
