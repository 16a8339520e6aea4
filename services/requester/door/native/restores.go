package native

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type restoreInput struct {
	OneBackup
	Traced
	Keyed
	Body struct {
		Target targetBody `json:"target"`
	}
}

type restoreOutput struct{ Body restoreBody }

func (d *Door) restores(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "restoreBackup", Method: http.MethodPost, Path: project + "/backups/{backupId}:restore", Tags: []string{"restores"}, Extensions: needs("backups.restore"),
		Summary: "Put a copy into a registered instance", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *restoreInput) (*receiptOutput, error) {
		sum, err := digest(in.Key, "dev.backupbus.command.backup.restore.v1", struct {
			BackupID string     `json:"backupId"`
			Target   targetBody `json:"target"`
		}{in.BackupID, in.Body.Target})
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		r, err := d.intake.Restore(ctx, intake.Restore{Caller: caller(ctx, in.Key, sum, in.Traced), Project: in.Project,
			BackupID: in.BackupID, Target: events.Target(in.Body.Target)})
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &receiptOutput{
			Location: "/api/v1/projects/" + escape(r.Restore.Project) + "/restores/" + r.Restore.RestoreID,
			Body: receiptBody{RequestID: r.RequestID, BackupID: r.Restore.BackupID, RestoreID: r.Restore.RestoreID,
				State: string(r.Restore.State)},
		}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getRestore", Method: http.MethodGet, Path: project + "/restores/{restoreId}", Tags: []string{"restores"}, Extensions: needs("restores.get"),
		Summary: "Read one restore, with its progress while it runs",
	}, func(ctx context.Context, in *struct {
		InProject
		RestoreID string `path:"restoreId" pattern:"^rs_[a-z2-7]{26}$"`
	},
	) (*restoreOutput, error) {
		r, err := d.intake.RestoreByID(ctx, in.Project, in.RestoreID)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := toRestore(r)
		if p, ok := d.intake.RestoreProgress(ctx, r); ok && r.EndTime.IsZero() {
			out.Progress = toProgress(p)
		}
		return &restoreOutput{out}, nil
	})
}
