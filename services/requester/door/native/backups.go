package native

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type createBody struct {
	Instance    string            `json:"instance" minLength:"1" maxLength:"100"`
	Database    string            `json:"database,omitempty" maxLength:"100"`
	Name        string            `json:"name,omitempty" maxLength:"64"`
	Description string            `json:"description,omitempty" maxLength:"1024"`
	Labels      map[string]string `json:"labels,omitempty"`
	ExpireTime  time.Time         `json:"expireTime,omitzero" required:"false"`
	Location    string            `json:"location,omitempty" maxLength:"63"`
}

type Keyed struct {
	Key string `header:"Idempotency-Key" minLength:"1" maxLength:"256" required:"false" doc:"the same key with the same body gives the same backup, however often it is sent"`
}

type createInput struct {
	InProject
	Traced
	Keyed
	Body createBody
}

// receiptOutput answers a request that was stored (events.md 5.4).
type receiptOutput struct {
	Location string `header:"Location"`
	Body     receiptBody
}

type receiptBody struct {
	RequestID string `json:"requestId"`
	BackupID  string `json:"backupId"`
	RestoreID string `json:"restoreId,omitempty"`
	State     string `json:"state"`
}

type OneBackup struct {
	InProject
	BackupID string `path:"backupId" pattern:"^bk_[a-z2-7]{26}$"`
}

type backupOutput struct{ Body backupBody }

type backupsOutput struct {
	Body struct {
		Backups    []backupBody `json:"backups"`
		NextCursor string       `json:"nextCursor,omitempty"`
	}
}

func (d *Door) backups(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "createBackup", Method: http.MethodPost, Path: project + "/backups", Tags: []string{"backups"}, Extensions: needs("backups.create"),
		Summary: "Ask for a backup", DefaultStatus: http.StatusAccepted,
		Description: "Answered when the request is stored and can be seen. A busy instance is 409 PENDING_BACKUP_EXISTS.",
	}, d.create)

	huma.Register(api, huma.Operation{
		OperationID: "listBackups", Method: http.MethodGet, Path: project + "/backups", Tags: []string{"backups"}, Extensions: needs("backups.list"),
		Summary: "List backups that are not deleted, newest first",
	}, func(ctx context.Context, in *struct {
		InProject
		Paged
		DatedAt
		Instance string `query:"instance" maxLength:"100"`
	},
	) (*backupsOutput, error) {
		from, err := d.at(ctx, in.Project, in.AsOf)
		if err != nil {
			return nil, err
		}
		list, next, err := from.Backups(ctx, in.Project, in.Instance, in.Cursor, in.Limit)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := &backupsOutput{}
		out.Body.Backups, out.Body.NextCursor = []backupBody{}, next
		for _, b := range list {
			out.Body.Backups = append(out.Body.Backups, toBackup(b))
		}
		return out, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getBackup", Method: http.MethodGet, Path: project + "/backups/{backupId}", Tags: []string{"backups"}, Extensions: needs("backups.get"),
		Summary: "Read one backup, with its progress while it runs",
	}, func(ctx context.Context, in *struct {
		OneBackup
		DatedAt
	},
	) (*backupOutput, error) {
		from, err := d.at(ctx, in.Project, in.AsOf)
		if err != nil {
			return nil, err
		}
		b, err := from.Backup(ctx, in.Project, in.BackupID)
		if errors.Is(err, events.ErrNotFound) {
			err = &intake.Error{Kind: intake.NotFound, Reason: intake.BackupNotFound, Message: "there was no backup " + in.BackupID + " in project " + in.Project + " at that time"}
		}
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := toBackup(b)
		if p, ok := d.intake.Progress(ctx, b); ok && b.EndTime.IsZero() && in.AsOf.IsZero() {
			out.Progress = toProgress(p)
		}
		return &backupOutput{out}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "cancelBackup", Method: http.MethodPost, Path: project + "/backups/{backupId}:cancel", Tags: []string{"backups"}, Extensions: needs("backups.cancel"),
		Summary: "Stop a backup", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		OneBackup
		Traced
		Keyed
		Body *struct {
			Reason string `json:"reason,omitempty" maxLength:"256"`
		}
	},
	) (*receiptOutput, error) {
		c := intake.Change{Caller: caller(ctx, in.Key, "", in.Traced), Project: in.Project, BackupID: in.BackupID}
		if in.Body != nil {
			c.Reason = in.Body.Reason
		}
		return d.receipt(d.intake.Cancel(ctx, c))(ctx)
	})

	huma.Register(api, huma.Operation{
		OperationID: "verifyBackup", Method: http.MethodPost, Path: project + "/backups/{backupId}:verify", Tags: []string{"backups"}, Extensions: needs("backups.verify"),
		Summary: "Prove a stored copy again", DefaultStatus: http.StatusAccepted,
		Description: "The outcome is the event verified or verification_failed, and `check` of the backup.",
	}, func(ctx context.Context, in *struct {
		OneBackup
		Traced
		Keyed
		Body *struct {
			Method string `json:"method,omitempty" enum:"CHECKSUM,METADATA,RESTORE_TEST" doc:"absent: CHECKSUM; RESTORE_TEST loads the copy into a scratch database"`
		}
	},
	) (*receiptOutput, error) {
		method := ""
		if in.Body != nil {
			method = in.Body.Method
		}
		return d.receipt(d.intake.Verify(ctx, intake.Change{Caller: caller(ctx, in.Key, "", in.Traced), Project: in.Project, BackupID: in.BackupID}, method))(ctx)
	})

	huma.Register(api, huma.Operation{
		OperationID: "amendBackup", Method: http.MethodPatch, Path: project + "/backups/{backupId}", Tags: []string{"backups"}, Extensions: needs("backups.update"),
		Summary: "Change what may be changed of a backup", DefaultStatus: http.StatusAccepted,
		Description: "A JSON merge patch (RFC 7396): what is not named stays, null takes a member out, also one label of several. " +
			"A backup that is held cannot be deleted, by anybody or any policy, until it is released.",
	}, func(ctx context.Context, in *amendBackupInput) (*receiptOutput, error) {
		c := in.amend()
		c.Caller, c.Project, c.BackupID = caller(ctx, in.Key, "", in.Traced), in.Project, in.BackupID
		return d.receipt(d.intake.Amend(ctx, c))(ctx)
	})

	huma.Register(api, huma.Operation{
		OperationID: "deleteBackup", Method: http.MethodDelete, Path: project + "/backups/{backupId}", Tags: []string{"backups"}, Extensions: needs("backups.delete"),
		Summary: "Delete the copy that a backup took", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct {
		OneBackup
		Traced
		Keyed
	},
	) (*receiptOutput, error) {
		return d.receipt(d.intake.Delete(ctx, intake.Change{Caller: caller(ctx, in.Key, "", in.Traced), Project: in.Project, BackupID: in.BackupID}))(ctx)
	})
}

func (d *Door) create(ctx context.Context, in *createInput) (*receiptOutput, error) {
	sum, err := digest(in.Key, "dev.backupbus.command.backup.create.v1", in.Body)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	c := intake.Create{
		Caller: caller(ctx, in.Key, sum, in.Traced), Project: in.Project, Instance: in.Body.Instance, Database: in.Body.Database,
		Name: in.Body.Name, Description: in.Body.Description, Labels: in.Body.Labels, ExpireTime: in.Body.ExpireTime,
		Location: in.Body.Location,
	}
	return d.receipt(d.intake.Create(ctx, c))(ctx)
}

// receipt turns what intake answered into what the caller gets.
func (d *Door) receipt(r intake.Receipt, err error) func(context.Context) (*receiptOutput, error) {
	return func(ctx context.Context) (*receiptOutput, error) {
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &receiptOutput{
			Location: "/api/v1/projects/" + escape(r.Backup.Project) + "/backups/" + r.Backup.BackupID,
			Body:     receiptBody{RequestID: r.RequestID, BackupID: r.Backup.BackupID, State: string(r.Backup.State)},
		}, nil
	}
}

// DatedAt asks for the state at a past time.
type DatedAt struct {
	AsOf time.Time `query:"asOf" doc:"as it was at this time (RFC 3339), told by the log alone; slower"`
}

// at is where to read the state of a moment: the present one if there is none.
func (d *Door) at(ctx context.Context, project string, moment time.Time) (Past, error) {
	if moment.IsZero() {
		return d.intake, nil
	}
	if moment.After(d.now()) {
		return nil, badRequest("asOf is in the future")
	}
	if err := d.whole(ctx, moment); err != nil {
		return nil, err
	}
	leave, err := d.reading.enter(ctx)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	defer leave()
	past, err := d.log.AsOf(ctx, project, moment)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	return past, nil
}
