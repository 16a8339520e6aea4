package command

import (
	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// requestID is `rq_…` of a command.
func (e *Evaluator) requestID(project string, c events.Command) (string, error) {
	return events.RequestID(project, c.Origin())
}

func (e *Evaluator) caller(c Call, digest string) intake.Caller {
	door := "native"
	if c.At != nil {
		door = "bus"
	}
	o := c.Command.Origin()
	cause, err := events.Token(c.Command.ID)
	if err != nil { // ReadCommand has refused an id that is none
		cause = ""
	}
	return intake.Caller{Door: door, Name: c.Caller, Source: o.Source, Key: o.Key, Digest: digest, Trace: c.Command.Trace, Cause: cause}
}
