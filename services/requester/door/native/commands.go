package native

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/door/command"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Commands evaluates requests that are events (*command.Evaluator).
type Commands interface {
	Evaluate(ctx context.Context, c command.Call) (events.AcceptedRequest, error)
}

// commandInput is a CloudEvent as the HTTP binding has it: its attributes are headers, or in the body.
type commandInput struct {
	InProject
	Traced
	RawBody []byte
	header  http.Header
}

// Resolve implements huma.Resolver: it keeps the headers, whose names nobody knows beforehand.
func (in *commandInput) Resolve(ctx huma.Context) []error {
	in.header = http.Header{}
	ctx.EachHeader(func(name, value string) { in.header.Add(name, value) })
	return nil
}

func (d *Door) postEvents(api huma.API) {
	object := &huma.Schema{Type: huma.TypeObject}
	huma.Register(api, huma.Operation{
		OperationID: "postCommand", Method: http.MethodPost, Path: project + "/events", Tags: []string{"events"},
		Summary: "Ask for something with a CloudEvent", DefaultStatus: http.StatusAccepted, MaxBodyBytes: events.MaxMessage,
		Description: "One command, dev.backupbus.command.backup.create.v1 or a sibling, in structured or binary mode. " +
			"Source and id name the request: the same again gives the same answer. Batches are 415, other types 403.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/cloudevents+json": {Schema: object}, "application/json": {Schema: object},
		}},
		SkipValidateBody: true,
	}, d.postCommand)
}

func (d *Door) postCommand(ctx context.Context, in *commandInput) (*receiptOutput, error) {
	switch kind := strings.ToLower(in.header.Get("Content-Type")); {
	case strings.HasPrefix(kind, "application/cloudevents-batch"):
		return nil, rejected(http.StatusUnsupportedMediaType, &events.Rejection{Reason: events.MalformedEvent, Message: "batches are not accepted: send one event"})
	case strings.HasPrefix(kind, "application/cloudevents") && !strings.HasPrefix(kind, "application/cloudevents+json"):
		return nil, rejected(http.StatusUnsupportedMediaType, &events.Rejection{Reason: events.MalformedEvent, Message: "only the JSON format is read: send application/cloudevents+json"})
	}
	c, err := events.ReadCommand(attributesOf(in.header), in.RawBody)
	if err != nil {
		return nil, d.rejection(ctx, err)
	}
	if c.Trace.Parent == "" { // a caller that knows only HTTP
		c.Trace = events.Trace{Parent: in.TraceParent, State: in.TraceState}
	}
	if err := mayCommand(ctx, c.Verb); err != nil {
		return nil, err
	}
	a, err := d.commands.Evaluate(ctx, command.Call{Project: in.Project, Caller: access.From(ctx).Name(), Command: c})
	if err != nil {
		return nil, d.rejection(ctx, err)
	}
	out := &receiptOutput{
		Location: "/api/v1/projects/" + escape(a.Project) + "/backups/" + a.BackupID,
		Body:     receiptBody{RequestID: a.RequestID, BackupID: a.BackupID, RestoreID: a.RestoreID, State: string(a.State)},
	}
	if a.RestoreID != "" {
		out.Location = "/api/v1/projects/" + escape(a.Project) + "/restores/" + a.RestoreID
	}
	return out, nil
}

// attributesOf are the headers that belong to the event: those of HTTP itself count for no bound of it.
func attributesOf(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "ce-") || lower == "content-type" {
			out[name] = values
		}
	}
	return out
}

// statusOfReason is where a rejection's status does not follow from intake's kind.
var statusOfReason = map[string]int{
	events.UnsupportedType:             http.StatusForbidden,
	events.TooLarge:                    http.StatusRequestEntityTooLarge,
	string(intake.InstanceNotFound):    http.StatusNotFound,
	string(intake.BackupNotFound):      http.StatusNotFound,
	string(intake.RestoreNotFound):     http.StatusNotFound,
	string(intake.PendingBackupExists): http.StatusConflict,
	string(intake.IdempotencyConflict): http.StatusConflict,
	string(intake.NotCancellable):      http.StatusConflict,
	string(intake.NotDeletable):        http.StatusConflict,
	string(intake.Held):                http.StatusConflict,
	string(intake.NotVerifiable):       http.StatusConflict,
	string(intake.NotRestorable):       http.StatusConflict,
	string(intake.QuotaExceeded):       http.StatusTooManyRequests,
	string(intake.Fault):               http.StatusConflict, // a step that the life cycle does not allow
}

func (d *Door) rejection(ctx context.Context, err error) error {
	var r *events.Rejection
	if !errors.As(err, &r) {
		return d.problem(ctx, err)
	}
	status, ok := statusOfReason[r.Reason]
	if !ok {
		status = http.StatusBadRequest
	}
	return rejected(status, r)
}

func rejected(status int, r *events.Rejection) *problem {
	p := &problem{Title: http.StatusText(status), Status: status, Reason: r.Reason, Detail: r.Message, ExistingBackupID: r.ExistingBackupID,
		Retryable: r.Retryable, RetryAfterSeconds: r.RetryAfterSeconds}
	for _, v := range r.Violations {
		p.Violations = append(p.Violations, violation{Path: v.Path, Message: v.Message})
	}
	return p
}
