package native

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// DeadLetters is what could not be used and is kept for 30 days (events.md 4.5). A project is a token, empty for what
// names none; what is not there is events.ErrNotFound.
type DeadLetters interface {
	// List is a page, the oldest first; next is where the page behind begins, 0 at the end.
	List(ctx context.Context, f DeadLetterFilter) (page []DeadLetter, next uint64, err error)
	Get(ctx context.Context, project string, sequence uint64) (DeadLetter, error)
	// Redrive gives the message to its consumer again, or is a *NotRedrivableError.
	Redrive(ctx context.Context, d DeadLetter) (repeat bool, err error)
}

// DeadLetterFilter picks dead letters; Service and Reason may be empty.
type DeadLetterFilter struct {
	Project, Service, Reason string
	After                    uint64
	Limit                    int
}

// DeadLetter is a message with what went wrong.
type DeadLetter struct {
	Sequence   uint64
	Project    string
	Service    string
	Reason     string
	Stream     string
	StreamSeq  uint64
	Subject    string
	Deliveries int
	Error      string
	Time       time.Time
	Header     map[string][]string
	Data       []byte
}

// NotRedrivableError says why nobody can be given a message again.
type NotRedrivableError struct{ Why string }

// Error is the reason.
func (e *NotRedrivableError) Error() string { return e.Why }

// notRedrivable is its reason word.
const notRedrivable = "NOT_REDRIVABLE"

// noProject is how the API names what belongs to no project.
const noProject = "_"

type deadLetterBody struct {
	Sequence       string      `json:"sequence" doc:"its place among the dead letters; names it"`
	Service        string      `json:"service"`
	Reason         string      `json:"reason"`
	Error          string      `json:"error"`
	Time           time.Time   `json:"time"`
	Stream         string      `json:"stream" doc:"of the message"`
	StreamSequence string      `json:"streamSequence"`
	Subject        string      `json:"subject"`
	Deliveries     int         `json:"deliveries"`
	Headers        http.Header `json:"headers,omitempty" doc:"of the message; only when one is read"`
	Body           string      `json:"body,omitempty" doc:"of the message, or its SHA-256 where the content must not be kept; only when one is read"`
	BodyBase64     string      `json:"bodyBase64,omitempty" doc:"in place of body, if that is no text"`
}

type OneDeadLetter struct {
	InProject
	Sequence string `path:"sequence" pattern:"^[1-9][0-9]{0,18}$"`
}

type deadLetterOutput struct{ Body deadLetterBody }

type deadLettersOutput struct {
	Body struct {
		DeadLetters []deadLetterBody `json:"deadLetters"`
		NextCursor  string           `json:"nextCursor,omitempty"`
	}
}

type redriveOutput struct {
	Body struct {
		Sequence string `json:"sequence"`
		Outcome  string `json:"outcome" enum:"redriven,repeat" doc:"repeat: it was redriven a moment ago"`
	}
}

func (d *Door) deadLetters(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "listDeadLetters", Method: http.MethodGet, Path: project + "/dead-letters", Tags: []string{"dead letters"}, Extensions: needs("deadLetters.list"),
		Summary:     "List messages that could not be used, the oldest first",
		Description: "Those that name no project, or cannot be read, are in project _.",
	}, d.listDeadLetters)

	huma.Register(api, huma.Operation{
		OperationID: "getDeadLetter", Method: http.MethodGet, Path: project + "/dead-letters/{sequence}", Tags: []string{"dead letters"}, Extensions: needs("deadLetters.get"),
		Summary: "Read one, with the message as it was received",
	}, func(ctx context.Context, in *OneDeadLetter) (*deadLetterOutput, error) {
		dead, err := d.deadLetter(ctx, in)
		if err != nil {
			return nil, err
		}
		return &deadLetterOutput{toDeadLetter(dead, true)}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "redriveDeadLetter", Method: http.MethodPost, Path: project + "/dead-letters/{sequence}:redrive", Tags: []string{"dead letters"}, Extensions: needs("deadLetters.redrive"),
		Summary: "Give a message to its consumer again", DefaultStatus: http.StatusAccepted,
		Description: "For commands: they are put into their queue again, and judged anew. Events are in the log still, where their readers " +
			"find them: 409 NOT_REDRIVABLE, as for a message whose content was not kept. The dead letter stays.",
	}, d.redrive)
}

type deadLettersInput struct {
	InProject
	Paged
	Service string `query:"service" maxLength:"64" pattern:"^[a-z0-9-]*$"`
	Reason  string `query:"reason" maxLength:"64" pattern:"^[a-z_]*$"`
}

func (d *Door) listDeadLetters(ctx context.Context, in *deadLettersInput) (*deadLettersOutput, error) {
	project, err := deadLetterProject(in.Project)
	if err != nil {
		return nil, err
	}
	f := DeadLetterFilter{Project: project, Service: in.Service, Reason: in.Reason, Limit: in.Limit}
	if in.Cursor != "" {
		if f.After, err = strconv.ParseUint(in.Cursor, 10, 63); err != nil {
			return nil, rejected(http.StatusBadRequest, &events.Rejection{Reason: events.SchemaViolation, Message: "the cursor is not one that this list gave"})
		}
	}
	page, next, err := d.dead.List(ctx, f)
	if err != nil {
		return nil, d.lost(ctx, err)
	}
	out := &deadLettersOutput{}
	out.Body.DeadLetters = []deadLetterBody{}
	for _, l := range page {
		out.Body.DeadLetters = append(out.Body.DeadLetters, toDeadLetter(l, false))
	}
	if next > 0 {
		out.Body.NextCursor = strconv.FormatUint(next, 10)
	}
	return out, nil
}

func (d *Door) redrive(ctx context.Context, in *OneDeadLetter) (*redriveOutput, error) {
	dead, err := d.deadLetter(ctx, in)
	if err != nil {
		return nil, err
	}
	repeat, err := d.dead.Redrive(ctx, dead)
	var never *NotRedrivableError
	if errors.As(err, &never) {
		return nil, rejected(http.StatusConflict, &events.Rejection{Reason: notRedrivable, Message: never.Why})
	}
	if err != nil {
		return nil, d.lost(ctx, err)
	}
	out := &redriveOutput{}
	out.Body.Sequence, out.Body.Outcome = in.Sequence, "redriven"
	if repeat {
		out.Body.Outcome = "repeat"
	}
	return out, nil
}

func (d *Door) deadLetter(ctx context.Context, in *OneDeadLetter) (DeadLetter, error) {
	project, err := deadLetterProject(in.Project)
	if err != nil {
		return DeadLetter{}, err
	}
	seq, err := strconv.ParseUint(in.Sequence, 10, 64)
	if err == nil {
		var dead DeadLetter
		if dead, err = d.dead.Get(ctx, project, seq); err == nil {
			return dead, nil
		}
	}
	if errors.Is(err, events.ErrUnavailable) {
		return DeadLetter{}, d.lost(ctx, err)
	}
	return DeadLetter{}, rejected(http.StatusNotFound, &events.Rejection{Reason: "DEAD_LETTER_NOT_FOUND",
		Message: "there is no such dead letter in the project: they are kept for 30 days"})
}

// lost is the answer when the bus gave none.
func (d *Door) lost(ctx context.Context, err error) error {
	if errors.Is(err, events.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return rejected(http.StatusServiceUnavailable, &events.Rejection{Reason: string(intake.BusUnavailable), Message: "the bus did not answer: try again"})
	}
	return d.problem(ctx, err)
}

func deadLetterProject(name string) (string, error) {
	if name == noProject {
		return "", nil
	}
	token, err := events.Token(name)
	if err != nil {
		return "", rejected(http.StatusBadRequest, &events.Rejection{Reason: string(intake.NameInvalid), Message: "project: " + err.Error()})
	}
	return token, nil
}

func toDeadLetter(d DeadLetter, whole bool) deadLetterBody {
	out := deadLetterBody{Sequence: strconv.FormatUint(d.Sequence, 10), Service: d.Service, Reason: d.Reason, Error: d.Error, Time: d.Time,
		Stream: d.Stream, StreamSequence: strconv.FormatUint(d.StreamSeq, 10), Subject: d.Subject, Deliveries: d.Deliveries}
	switch {
	case !whole:
	case utf8.Valid(d.Data):
		out.Headers, out.Body = d.Header, string(d.Data)
	default:
		out.Headers, out.BodyBase64 = d.Header, base64.StdEncoding.EncodeToString(d.Data)
	}
	return out
}
