package native

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/schemas"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/requester/intake"
)

type feedInput struct {
	InProject
	Accept      string   `header:"Accept" maxLength:"512"`
	Type        []string `query:"type,explode" maxItems:"50" doc:"exact type, or a prefix ending in *; dev.backupbus. may be left out"`
	Instance    string   `query:"instance" maxLength:"100"`
	Backup      string   `query:"backup" maxLength:"40"`
	Filter      string   `query:"filter" maxLength:"1024" doc:"CESQL over the attributes"`
	Progress    bool     `query:"progress" doc:"server-sent events only: progress of running backups and restores too; it has no id and is not replayed"`
	Cursor      string   `query:"cursor" maxLength:"64" doc:"go on after this event"`
	Since       string   `query:"since" maxLength:"40" doc:"start at this time (RFC 3339)"`
	Until       string   `query:"until" maxLength:"40" doc:"pages only: end before this time (RFC 3339)"`
	Limit       int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"pages only"`
	LastEventID string   `header:"Last-Event-ID" maxLength:"64"`
}

const (
	batchType = "application/cloudevents-batch+json"
	eventType = "application/cloudevents+json"

	asyncAPIType = "application/vnd.aai.asyncapi+json"
)

func (d *Door) events(api huma.API) {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	huma.Register(api, huma.Operation{
		OperationID: "streamEvents", Method: http.MethodGet, Path: project + "/events", Tags: []string{"events"}, Extensions: needs("events.list"),
		Summary: "Events of a project, as a stream or in pages",
		Description: "Server-sent events; with Accept: " + batchType + " pages of what is stored. Last-Event-ID beats cursor beats since; " +
			"without any of them a stream starts now and pages with the oldest event. Where history is no longer whole, or the cursor is of " +
			"another log, a stream says so first with backupbus.reset, a page with Backupbus-Truncated: true.",
		Responses: map[string]*huma.Response{"200": {Description: "event stream, or a page of events", Content: map[string]*huma.MediaType{
			"text/event-stream": text, batchType: {Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject}}},
		}}},
	}, func(ctx context.Context, in *feedInput) (*huma.StreamResponse, error) {
		f, err := d.openFeed(ctx, in)
		if err != nil {
			return nil, err
		}
		if strings.Contains(in.Accept, batchType) {
			return d.page(ctx, f, in)
		}
		return d.stream(ctx, f, access.From(ctx), in.Progress)
	})

	huma.Register(api, huma.Operation{
		OperationID: "getEvent", Method: http.MethodGet, Path: project + "/events/{id}", Tags: []string{"events"}, Extensions: needs("events.get"),
		Summary: "Read one event by its id",
		Responses: map[string]*huma.Response{"200": {Description: "the event", Content: map[string]*huma.MediaType{
			eventType: {Schema: &huma.Schema{Type: huma.TypeObject}},
		}}},
	}, func(ctx context.Context, in *struct {
		InProject
		ID string `path:"id" maxLength:"120"`
	},
	) (*rawOutput, error) {
		ev, found, err := d.log.Event(ctx, in.Project, in.ID)
		if err != nil {
			return nil, d.problem(ctx, err)
		}
		if !found {
			return nil, d.problem(ctx, &intake.Error{Kind: intake.NotFound, Reason: "EVENT_NOT_FOUND", Message: "there is no such event in project " + in.Project})
		}
		line, err := events.Structured(ev.Event)
		return &rawOutput{eventType, line}, err
	})

	huma.Register(api, huma.Operation{
		OperationID: "listEventTypes", Method: http.MethodGet, Path: "/v1/event-types", Tags: []string{"events"},
		Summary: "List the types of all events, and of the commands that are understood",
	}, func(context.Context, *struct{}) (*typesOutput, error) {
		out := &typesOutput{}
		for _, name := range schemas.Types() {
			out.Body.EventTypes = append(out.Body.EventTypes, eventTypeBody{
				Type: name, DataSchema: dataSchema(strings.TrimPrefix(name, typeRoot)), Schema: "/api/v1/event-types/" + name + "/schema",
			})
		}
		return out, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getEventSchema", Method: http.MethodGet, Path: "/v1/event-types/{type}/schema", Tags: []string{"events"},
		Summary: "Read the JSON Schema (2020-12) of a type's data",
		Responses: map[string]*huma.Response{"200": {Description: "the schema", Content: map[string]*huma.MediaType{
			"application/schema+json": {Schema: &huma.Schema{Type: huma.TypeObject}},
		}}},
	}, func(ctx context.Context, in *struct {
		Type string `path:"type" maxLength:"100" doc:"dev.backupbus. may be left out"`
	},
	) (*rawOutput, error) {
		doc, err := schemas.Bundled(in.Type)
		if err != nil {
			return nil, d.problem(ctx, &intake.Error{Kind: intake.NotFound, Reason: "EVENT_TYPE_NOT_FOUND", Message: "there is no such event type: /api/v1/event-types lists all"})
		}
		return &rawOutput{"application/schema+json", doc}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "getAsyncAPI", Method: http.MethodGet, Path: "/v1/asyncapi.json", Tags: []string{"events"},
		Summary: "Read the AsyncAPI 3.0 document of the bus: subjects, messages, and who sends them",
		Responses: map[string]*huma.Response{"200": {Description: "the document", Content: map[string]*huma.MediaType{
			asyncAPIType: {Schema: &huma.Schema{Type: huma.TypeObject}},
		}}},
	}, func(context.Context, *struct{}) (*rawOutput, error) {
		return &rawOutput{asyncAPIType, schemas.AsyncAPI()}, nil
	})
}

type rawOutput struct {
	ContentType string `header:"Content-Type"`
	Body        json.RawMessage
}

type eventTypeBody struct {
	Type       string `json:"type"`
	DataSchema string `json:"dataSchema" doc:"the dataschema attribute of its events"`
	Schema     string `json:"schema" doc:"path of the JSON Schema"`
}

type typesOutput struct {
	Body struct {
		EventTypes []eventTypeBody `json:"eventTypes"`
	}
}

// dataSchema of a type without its root, as backup.failed.v1 (events.md 1.1).
func dataSchema(name string) string {
	dot := strings.LastIndexByte(name, '.')
	return fmt.Sprintf("urn:backupbus:schema:%s:%s", name[:dot], name[dot+1:])
}
