package native

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type applyInput struct {
	InProject
	Traced
	Body struct {
		Provider string     `json:"provider" minLength:"2" maxLength:"20" doc:"who does the backups: sqlite"`
		Instance string     `json:"instance" minLength:"1" maxLength:"100"`
		Config   configBody `json:"config,omitempty"`
	}
}

// OneInstance is embedded in inputs.
type OneInstance struct {
	InProject
	Instance string `path:"instance" maxLength:"100"`
}

type amendInstanceInput struct {
	OneInstance
	Traced
	Body struct {
		Config map[string]any `json:"config" doc:"members to change, as of POST; null takes one out"`
	}
}

type instanceOutput struct{ Body instanceBody }

type instancesOutput struct {
	Body struct {
		Instances  []instanceBody `json:"instances"`
		NextCursor string         `json:"nextCursor,omitempty"`
	}
}

func (d *Door) instances(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "applyInstance", Method: http.MethodPost, Path: project + "/instances", Tags: []string{"instances"}, Extensions: needs("instances.apply"),
		Summary:     "Make a database known, or change what is known of it",
		Description: "Applying the same configuration again changes nothing.",
	}, func(ctx context.Context, in *applyInput) (*instanceOutput, error) {
		i, outcome, err := d.intake.Apply(ctx, intake.Apply{Caller: caller(ctx, "", "", in.Traced), Project: in.Project,
			Provider: in.Body.Provider, Instance: in.Body.Instance, Config: events.InstanceConfig(in.Body.Config)})
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &instanceOutput{toInstance(i, outcome)}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "listInstances", Method: http.MethodGet, Path: project + "/instances", Tags: []string{"instances"}, Extensions: needs("instances.list"),
		Summary: "List databases by name",
	}, func(ctx context.Context, in *struct {
		InProject
		Paged
	},
	) (*instancesOutput, error) {
		list, next, err := d.intake.Instances(ctx, in.Project, in.Cursor, in.Limit)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		out := &instancesOutput{}
		out.Body.Instances, out.Body.NextCursor = []instanceBody{}, next
		for _, i := range list {
			out.Body.Instances = append(out.Body.Instances, toInstance(i, ""))
		}
		return out, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getInstance", Method: http.MethodGet, Path: project + "/instances/{instance}", Tags: []string{"instances"}, Extensions: needs("instances.get"),
		Summary: "Read one database's configuration",
	}, func(ctx context.Context, in *OneInstance) (*instanceOutput, error) {
		i, err := d.intake.Instance(ctx, in.Project, in.Instance)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &instanceOutput{toInstance(i, "")}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "amendInstance", Method: http.MethodPatch, Path: project + "/instances/{instance}", Tags: []string{"instances"}, Extensions: needs("instances.update"),
		Summary: "Change some of what is known of a database", Description: "A JSON merge patch (RFC 7396): what is not named stays, null takes a member out.",
	}, d.amendInstance)

	huma.Register(api, huma.Operation{
		OperationID: "deregisterInstance", Method: http.MethodDelete, Path: project + "/instances/{instance}", Tags: []string{"instances"}, Extensions: needs("instances.delete"),
		Summary:     "Take a database out",
		Description: "Its backups stay, and can be restored into another one. Nothing more is taken of it. Refused while something works on it.",
	}, func(ctx context.Context, in *struct {
		OneInstance
		Traced
	},
	) (*instanceOutput, error) {
		i, err := d.intake.Deregister(ctx, intake.Deregister{Caller: caller(ctx, "", "", in.Traced), Project: in.Project, Instance: in.Instance})
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		return &instanceOutput{toInstance(i, "deregistered")}, nil
	})
}

func (d *Door) amendInstance(ctx context.Context, in *amendInstanceInput) (*instanceOutput, error) {
	patch, err := json.Marshal(in.Body.Config)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	i, err := d.intake.Instance(ctx, in.Project, in.Instance)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	i, outcome, err := d.intake.Apply(ctx, intake.Apply{Caller: caller(ctx, "", "", in.Traced), Project: in.Project, Provider: i.Provider, Instance: i.Instance,
		Merge: func(before events.InstanceConfig) (events.InstanceConfig, error) {
			return d.mergeInstance(before, patch)
		}})
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	return &instanceOutput{toInstance(i, outcome)}, nil
}
