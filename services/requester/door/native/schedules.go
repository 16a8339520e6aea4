package native

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type planInput struct {
	InProject
	Traced
	Body struct {
		Instance string         `json:"instance" minLength:"1" maxLength:"100"`
		Name     string         `json:"name" minLength:"1" maxLength:"100"`
		Database string         `json:"database,omitempty" maxLength:"100" doc:"absent: the whole instance"`
		Config   scheduleConfig `json:"config"`
	}
}

// OneSchedule is embedded in inputs, as InProject is.
type OneSchedule struct {
	InProject
	ScheduleID string `path:"scheduleId" pattern:"^sc_[a-z2-7]{26}$"`
}

type amendInput struct {
	OneSchedule
	Traced
	RawBody []byte
	Body    struct {
		Config *scheduleConfig `json:"config"`
	}
}

type scheduleOutput struct{ Body scheduleBody }

type schedulesOutput struct {
	Body struct {
		Schedules  []scheduleBody `json:"schedules"`
		NextCursor string         `json:"nextCursor,omitempty"`
	}
}

const oneSchedule = project + "/schedules/{scheduleId}"

func (d *Door) schedules(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "planSchedule", Method: http.MethodPost, Path: project + "/schedules", Tags: []string{"schedules"}, Extensions: needs("schedules.apply"),
		Summary: "Make a schedule, or change the one of that name",
		Description: "The configuration becomes what is sent: what is not named is as if it had never been, except that a schedule " +
			"stays paused, or not, where `paused` is absent. Sending the same again changes nothing.",
	}, d.plan)

	huma.Register(api, huma.Operation{
		OperationID: "listSchedules", Method: http.MethodGet, Path: project + "/schedules", Tags: []string{"schedules"}, Extensions: needs("schedules.list"),
		Summary: "List schedules",
	}, func(ctx context.Context, in *struct {
		InProject
		Paged
		Instance string `query:"instance" maxLength:"100"`
	},
	) (*schedulesOutput, error) {
		list, next, err := d.intake.Schedules(ctx, in.Project, in.Instance, in.Cursor, in.Limit)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := &schedulesOutput{}
		out.Body.Schedules, out.Body.NextCursor = []scheduleBody{}, next
		for _, s := range list {
			out.Body.Schedules = append(out.Body.Schedules, d.toSchedule(s, ""))
		}
		return out, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getSchedule", Method: http.MethodGet, Path: oneSchedule, Tags: []string{"schedules"}, Extensions: needs("schedules.get"),
		Summary: "Read one schedule",
	}, func(ctx context.Context, in *OneSchedule) (*scheduleOutput, error) {
		s, err := d.intake.ScheduleByID(ctx, in.Project, in.ScheduleID)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &scheduleOutput{d.toSchedule(s, "")}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "amendSchedule", Method: http.MethodPatch, Path: oneSchedule, Tags: []string{"schedules"}, Extensions: needs("schedules.update"),
		Summary: "Change some of a schedule, pause it or let it go on",
		Description: "A JSON merge patch (RFC 7396): what is not named stays, null takes a member out. A pause skips nothing that " +
			"has begun; what would have been due during it is not made up for.",
	}, d.amend)

	huma.Register(api, huma.Operation{
		OperationID: "deleteSchedule", Method: http.MethodDelete, Path: oneSchedule, Tags: []string{"schedules"}, Extensions: needs("schedules.delete"),
		Summary: "Take a schedule out", Description: "Its backups stay. Its name can be used again.",
	}, func(ctx context.Context, in *struct {
		OneSchedule
		Traced
	},
	) (*scheduleOutput, error) {
		s, err := d.intake.DeleteSchedule(ctx, intake.Unplan{Caller: caller(ctx, "", "", in.Traced), Project: in.Project, ScheduleID: in.ScheduleID})
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := d.toSchedule(s, "deleted")
		out.NextDueTimes = nil
		return &scheduleOutput{out}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "previewSchedule", Method: http.MethodGet, Path: oneSchedule + "/preview", Tags: []string{"schedules"}, Extensions: needs("schedules.get"),
		Summary:     "Say when backups will be due, and what the retention would keep and delete now",
		Description: "Changes nothing. The due times of a paused schedule are those it would have.",
	}, d.preview)
}

func (d *Door) plan(ctx context.Context, in *planInput) (*scheduleOutput, error) {
	return d.planned(ctx, intake.Plan{
		Caller: caller(ctx, "", "", in.Traced), Project: in.Project, Instance: in.Body.Instance, Database: in.Body.Database, Name: in.Body.Name,
		Change: func(_ events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
			return in.Body.Config.over(before), nil
		},
	})
}

func (d *Door) amend(ctx context.Context, in *amendInput) (*scheduleOutput, error) {
	s, err := d.intake.ScheduleByID(ctx, in.Project, in.ScheduleID)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	var patch struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(in.RawBody, &patch); err != nil {
		return nil, d.problem(ctx, err)
	}
	return d.planned(ctx, intake.Plan{
		Caller: caller(ctx, "", "", in.Traced), Project: s.Project, Instance: s.Instance, Database: s.Database, Name: s.Name,
		Change: func(_ events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
			if before == nil { // it went meanwhile: a patch makes none
				return events.ScheduleConfig{}, &intake.Error{Kind: intake.NotFound, Reason: intake.ScheduleNotFound, Message: "the schedule was deleted: make it again with POST"}
			}
			merged, err := mergePatch(toScheduleConfig(before.Config), patch.Config)
			return merged.over(before), err
		},
	})
}

// planned carries a plan out, and says what it was: that follows from the number of the schedule's last event.
func (d *Door) planned(ctx context.Context, p intake.Plan) (*scheduleOutput, error) {
	was := 0
	change := p.Change
	p.Idempotent = true
	p.Change = func(i events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
		if was = 0; before != nil {
			was = before.Generation
		}
		return change(i, before)
	}
	s, err := d.intake.Plan(ctx, p)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	outcome := intake.Updated
	switch was {
	case 0:
		outcome = intake.Created
	case s.Generation:
		outcome = intake.Unchanged
	}
	return &scheduleOutput{d.toSchedule(s, outcome)}, nil
}
