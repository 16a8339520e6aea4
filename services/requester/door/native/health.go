package native

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events/lifecycle"
)

type healthBody struct {
	Instance    string    `json:"instance"`
	LastGood    *lastGood `json:"lastGoodBackup,omitempty" doc:"the newest data that could be restored; none: absent"`
	Since       time.Time `json:"since" doc:"slots due after it are counted"`
	Slots       slotsBody `json:"slots"`
	SuccessRate *float64  `json:"successRate,omitempty" doc:"succeeded of the due slots, 0 to 1; none was due: absent"`
}

type lastGood struct {
	BackupID   string    `json:"backupId"`
	Time       time.Time `json:"time" doc:"the moment whose data it holds"`
	AgeSeconds int64     `json:"ageSeconds"`
	Proof      string    `json:"proof,omitempty"`
}

type slotsBody struct {
	Due       int `json:"due" doc:"slots of the instance's schedules that should have run and are over"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed" doc:"asked for and left no copy; cancelled ones too"`
	Missed    int `json:"missed" doc:"nobody was there in time, or there was no room"`
	Pending   int `json:"pending" doc:"not over; not in due"`
	Spared    int `json:"spared" doc:"did not have to run (no changes, instance stopped); not in due"`
}

type healthOutput struct{ Body healthBody }

func (d *Door) health(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "getInstanceHealth", Method: http.MethodGet, Path: project + "/instances/{instance}/health", Tags: []string{"instances"}, Extensions: needs("instances.get"),
		Summary:     "Read how well one database is backed up",
		Description: "The age of its last good backup, and the share of the due slots of its schedules that succeeded. What retention removed since still counts, for as long as the log keeps it.",
	}, func(ctx context.Context, in *struct {
		InProject
		Instance string `path:"instance" maxLength:"100"`
		Days     int    `query:"days" minimum:"1" maximum:"90" default:"30" doc:"how far back slots are counted"`
	},
	) (*healthOutput, error) {
		now := d.now()
		since := now.Add(-time.Duration(in.Days) * 24 * time.Hour)
		h, err := d.intake.Health(ctx, in.Project, in.Instance, since)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &healthOutput{toHealth(in.Instance, h, since, now)}, nil
	})
}

func toHealth(instance string, h lifecycle.Health, since, now time.Time) healthBody {
	s := h.Slots
	b := healthBody{Instance: instance, Since: since.UTC().Truncate(time.Second),
		Slots: slotsBody{Due: s.Due(), Succeeded: s.Succeeded, Failed: s.Failed, Missed: s.Missed, Pending: s.Pending, Spared: s.Spared}}
	if rate, ok := s.Rate(); ok {
		b.SuccessRate = &rate
	}
	if g := h.LastGood; g != nil {
		at := lifecycle.DataTime(*g)
		b.LastGood = &lastGood{BackupID: g.BackupID, Time: at, AgeSeconds: int64(max(0, now.Sub(at)).Seconds()), Proof: string(g.Proof)}
	}
	return b
}
