package command

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

func mismatch(format string, a ...any) error {
	return &events.Rejection{Reason: events.SubjectMismatch,
		Message: fmt.Sprintf(format, a...) + ": send it where it belongs, or mend what it names"}
}

// addressed holds a command against the subject it came on (events.md 5.1): permissions guard subjects, so project
// and instance of the subject count, and attributes and data must not name others.
func addressed(c Call) error {
	cmd, body := c.Command, c.Command.Body
	if norm.NFC.String(c.Project) != c.Project { // intake would work on another project
		return &events.Rejection{Reason: string(intake.NameInvalid), Message: "the project's name is not in Unicode normal form C: send it so"}
	}
	project, err := events.Token(c.Project)
	if err != nil || strings.ContainsFunc(c.Project, unicode.IsControl) {
		return &events.Rejection{Reason: string(intake.NameInvalid), Message: "the project's name is empty, not UTF-8 or has a control character: send another"}
	}
	if cmd.Project != "" && cmd.Project != project {
		return mismatch("the attribute project names another project")
	}
	if named, err := tokenOf(body.Named.Project); err != nil || named != "" && named != project {
		return mismatch("data names another project")
	}
	if cmd.Provider != "" && body.Provider != "" && cmd.Provider != body.Provider {
		return mismatch("attribute and data name different providers")
	}
	instance, err := tokenOf(body.Named.Instance)
	if err != nil {
		return mismatch("data names no instance")
	}
	if cmd.Instance != "" && instance != "" && cmd.Instance != instance {
		return mismatch("attribute and data name different instances")
	}
	if c.At == nil {
		return nil
	}
	switch {
	case cmd.Verb != c.At.Verb:
		return mismatch("the subject is of another command than the type")
	case cmd.Instance != "" && cmd.Instance != c.At.Instance:
		return mismatch("the attribute instance names another instance than the subject")
	case instance != "" && instance != c.At.Instance:
		return mismatch("data names another instance than the subject")
	case c.At.Provider != "" && (other(cmd.Provider, c.At.Provider) || other(body.Provider, c.At.Provider)):
		return mismatch("another provider is named than in the subject")
	}
	return nil
}

func other(named, wanted string) bool { return named != "" && named != wanted }

func tokenOf(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return events.Token(norm.NFC.String(name))
}

// ofSubject wants the backup to be of the instance that subject and attributes name.
func ofSubject(c Call, b events.Backup) error {
	instance, err := events.Token(b.Instance)
	if err != nil {
		return err
	}
	named, err := tokenOf(c.Command.Body.Named.Instance)
	if err != nil {
		return err
	}
	if other(named, instance) || other(c.Command.Instance, instance) || other(c.Command.Provider, b.Provider) ||
		c.At != nil && (c.At.Instance != instance || other(c.At.Provider, b.Provider)) {
		return mismatch("the backup is of another instance")
	}
	return nil
}

// ofProvider wants the instance to be of the provider that was named, if one was.
func (e *Evaluator) ofProvider(ctx context.Context, c Call) error {
	named := []string{c.Command.Provider, c.Command.Body.Provider}
	if c.At != nil {
		named = append(named, c.At.Provider)
	}
	i, err := e.intake.Instance(ctx, c.Project, norm.NFC.String(c.Command.Body.Instance))
	if err != nil {
		return err
	}
	for _, p := range named {
		if other(p, i.Provider) {
			return &events.Rejection{Reason: string(intake.InstanceNotFound),
				Message: fmt.Sprintf("instance %s is of provider %s, not of the one that was named: name that one, or none", i.Instance, i.Provider)}
		}
	}
	return nil
}
