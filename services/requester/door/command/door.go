package command

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"unicode"

	"github.com/backupbus/backupbus/events"
)

// Replies takes the copy of an outcome to who asked for one; nobody need be there.
type Replies interface {
	Tell(ctx context.Context, subject string, ev events.Event) error
}

// Door reads commands from the bus. Safe for concurrent use.
type Door struct {
	*Evaluator
	replies Replies
	slog    *slog.Logger
}

// New makes the door over an Evaluator.
func New(e *Evaluator, r Replies, l *slog.Logger) *Door { return &Door{e, r, l} }

// Message is a message of a command stream.
type Message struct {
	Subject, Stream string
	Seq             uint64
	Header          map[string][]string
	Body            []byte
	Redelivered     bool
	Last            bool // it is not delivered again
}

// Fate of a message that is not only answered but put among the dead letters.
type Fate int

// The fates of events.md 4.5.
const (
	Unreadable Fate = iota
	Forbidden
	Failed
)

// Dead is returned for a message that was answered and is now to be a dead letter.
type Dead struct {
	Fate  Fate
	cause error
}

// Error is the reason.
func (d *Dead) Error() string { return d.cause.Error() }

// Unwrap gives the cause.
func (d *Dead) Unwrap() error { return d.cause }

// Handle evaluates a message and tells its outcome (events.md 5.2). nil, or a *Dead, means that it is done with; any
// other error that it is wanted again.
func (d *Door) Handle(ctx context.Context, m Message) error {
	t, err := d.read(ctx, m)
	if t == nil {
		return err
	}
	if done, dead := t.toldBefore(ctx); done || dead != nil && !m.Last {
		return dead
	}
	var accepted events.AcceptedRequest
	if err == nil {
		accepted, err = d.Evaluate(ctx, Call{Project: t.project, At: &t.at, Command: t.command})
	}
	if err == nil {
		if err = t.accept(ctx, accepted); err == nil {
			return nil
		}
	}
	return t.refuse(ctx, err)
}

// GiveUp is for whoever saw Handle panic: on its last delivery the message's sender is told of INTERNAL.
func (d *Door) GiveUp(ctx context.Context, m Message, cause error) error {
	if !m.Last {
		return cause
	}
	t, err := d.read(ctx, m)
	if t == nil {
		return err
	}
	return t.refuse(ctx, cause)
}

// read takes a message apart. A *Rejection comes with who is to be told of it; without that, nobody can be.
func (d *Door) read(ctx context.Context, m Message) (*telling, error) {
	at, wrong := events.ParseCommandSubject(m.Subject)
	project, err := d.projectOf(ctx, at)
	if errors.Is(err, errNobody) {
		return nil, &Dead{Unreadable, err}
	}
	if err != nil {
		return nil, err
	}
	t := &telling{Door: d, message: m, project: project, at: at, replyTo: replyTo(m.Header, at.Project)}
	if t.command, err = events.ReadCommand(m.Header, m.Body); err == nil && wrong != nil {
		err = mismatch("the subject: %s", wrong)
	}
	return t, err
}

// errNobody: no project can be told of a message.
var errNobody = errors.New("the subject names no project that is known here")

// projectOf is the raw name of a subject's project. One that is too long to be read from its token is in every event
// of the project.
func (d *Door) projectOf(ctx context.Context, at events.CommandSubject) (string, error) {
	if at.Project == "" {
		return "", errNobody
	}
	if name, err := events.Untoken(at.Project); err == nil {
		if strings.ContainsFunc(name, unicode.IsControl) { // no id is made of it (events.md 1.4)
			return "", errNobody
		}
		return name, nil
	}
	last, found, err := d.log.Last(ctx, events.EventRoot+"."+at.Project+".>")
	if err != nil {
		return "", err
	}
	var data struct {
		Project string `json:"project"`
	}
	if !found || json.Unmarshal(last.Data, &data) != nil {
		return "", errNobody
	}
	if token, err := events.Token(data.Project); err != nil || token != at.Project {
		return "", errNobody
	}
	return data.Project, nil
}
